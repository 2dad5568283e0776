"""Studies are sent on to DCMTK's storescp, which is away at first and then takes only some syntaxes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.node import RunningNode, free_port
from tests.peers.programs import PATIENCE, by_uid, call, sink

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]


def forwarded(node: RunningNode, destination: str, **wanted: int) -> None:
    """Until the destination's queue counts so many in these states. Fails after PATIENCE seconds."""
    end, queue = time.monotonic() + PATIENCE, {}
    while time.monotonic() < end:
        queue = {q["destination"]: q for q in node.status()["forward"]}.get(destination, {})
        if queue and all(queue[state] == count for state, count in wanted.items()):
            return
        time.sleep(0.3)
    raise AssertionError(f"{destination} is at {queue}, not at {wanted}:\n{node.last_words()}")


def test_storescp_gets_every_study_once_after_it_was_away(sample_data: Path, tmp_path: Path) -> None:
    folders = [sample_data / "ct_thorax", sample_data / "mr_multiframe"]
    port, plain = free_port(), free_port()
    wire = tmp_path / "wire"
    with sink(wire) as there:
        assert call("storescu", "-aec", "SINK", "127.0.0.1", str(there), "+sd", *folders).returncode == 0
    expected = by_uid(wire)
    node = RunningNode(tmp_path, '[coding]\neffort = "fast"\n[forwarding]\nquiet_seconds = 1.0\n'
                                 "first_pause_seconds = 0.5\nlongest_pause_seconds = 2.0\n" + "".join(
        f'[[destinations]]\nae_title = "{name}"\nhost = "127.0.0.1"\nport = {number}\n'
        for name, number in (("AWAY", port), ("PLAIN", plain)))
        + '[[forward]]\nto = ["AWAY"]\n[[forward]]\nto = ["PLAIN"]\nmodality = "CT"\n')
    node.start()
    try:
        with sink(tmp_path / "plain", plain, "+xi"):          # prefers Implicit VR Little Endian
            sent = call("storescu", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port), "+sd", *folders)
            assert sent.returncode == 0, sent.stdout
            forwarded(node, "PLAIN", sent=8, open=0)
        forwarded(node, "AWAY", sent=0, open=len(expected))
        with sink(tmp_path / "away", port, "+xa", "+uf"):     # +uf: a second file of a UID has another name
            forwarded(node, "AWAY", sent=len(expected), open=0)
        assert len(list((tmp_path / "away").iterdir())) == len(expected), "nothing came twice"
        assert by_uid(tmp_path / "away") == expected, "byte for byte, coded meanwhile or not"
        originals = {str(d.SOPInstanceUID): d for d in map(dcmread, folders[0].glob("*.dcm"))}
        came = {str(d.SOPInstanceUID): d for d in map(dcmread, (tmp_path / "plain").iterdir())}
        assert set(came) == set(originals)
        for uid, data in came.items():
            assert (data.pixel_array == originals[uid].pixel_array).all()
    finally:
        node.stop()
