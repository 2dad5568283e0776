"""DCMTK as the scanner and as the viewer.

DCMTK encodes anew what it sends (group lengths, padding and sequence lengths change), so 'what was sent' is
taken from the wire: the same files go to DCMTK's own storescp, which writes exactly what arrives.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.node import RunningNode
from tests.peers.programs import by_uid, call, sink, study_uid, wait_idle

pytestmark = pytest.mark.peers

GET_STUDY = ("-S", "+B", "-k", "QueryRetrieveLevel=STUDY")


def test_echoscu_is_answered(node: RunningNode) -> None:
    done = call("echoscu", "-v", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("study", ["ct_thorax", "mr_brain", "dx_chest", "mr_multiframe", "sc_chart"])
def test_a_study_sent_by_storescu_is_coded_and_comes_back_to_getscu_byte_for_byte(
        study: str, node: RunningNode, sample_data: Path, tmp_path: Path) -> None:
    files, port = sample_data / study, str(node.address.port)
    with sink(tmp_path / "wire") as sink_port:
        sent = call("storescu", "-aec", "SINK", "127.0.0.1", str(sink_port), "+sd", files)
        assert sent.returncode == 0, sent.stdout
    wire = by_uid(tmp_path / "wire")
    assert len(wire) == len(list(files.glob("*.dcm")))

    sent = call("storescu", "-aec", "DICOMNN", "127.0.0.1", port, "+sd", files)
    assert sent.returncode == 0, sent.stdout
    status = wait_idle(node)
    assert status["coded"], status

    (tmp_path / "got").mkdir()
    got = call("getscu", *GET_STUDY, "-od", tmp_path / "got", "-aec", "DICOMNN",
               "-k", f"StudyInstanceUID={study_uid(files)}", "127.0.0.1", port)
    assert by_uid(tmp_path / "got") == wire, got.stdout


@pytest.mark.parametrize(("compress", "offer"), [
    (("dcmcjpls",), "+xt"), (("dcmcjpeg", "+e1"), "+xs"), (("dcmcrle",), "+xr")])
def test_what_dcmsend_sends_compressed_without_loss_comes_back_with_the_same_pixels(
        compress: tuple[str, ...], offer: str, node: RunningNode, sample_data: Path, tmp_path: Path) -> None:
    original, port = sample_data / "ct_head" / "ct_01.dcm", str(node.address.port)
    renewed, packed = tmp_path / "renewed.dcm", tmp_path / "packed.dcm"
    shutil.copy(original, renewed)
    # A study of its own for each syntax: same pixels, new UIDs.
    assert call("dcmodify", "-nb", "-gst", "-gse", "-gin", renewed).returncode == 0
    assert call(*compress, renewed, packed).returncode == 0
    call("dcmsend", "-nh", "-dn", "-aec", "DICOMNN", "127.0.0.1", port, packed)
    wait_idle(node)

    (tmp_path / "got").mkdir()
    study = str(dcmread(packed, stop_before_pixels=True).StudyInstanceUID)
    got = call("getscu", *GET_STUDY, offer, "-od", tmp_path / "got", "-aec", "DICOMNN",
               "-k", f"StudyInstanceUID={study}", "127.0.0.1", port)
    (path,) = (tmp_path / "got").iterdir()
    assert dcmread(path).pixel_array.tobytes() == dcmread(original).pixel_array.tobytes(), got.stdout


def test_getscu_that_asks_for_an_unknown_study_gets_no_file_and_the_node_stays_up(
        node: RunningNode, tmp_path: Path) -> None:
    port = str(node.address.port)
    call("getscu", *GET_STUDY, "-od", tmp_path, "-aec", "DICOMNN", "-k", "StudyInstanceUID=1.2.3.4.5.6",
         "127.0.0.1", port)
    assert list(tmp_path.iterdir()) == []
    assert call("echoscu", "-aec", "DICOMNN", "127.0.0.1", port).returncode == 0
