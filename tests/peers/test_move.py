"""movescu asks the node; storescp, dcmqrscp and movescu's own receiver are the destinations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.node import RunningNode
from tests.peers.programs import (
    Ports,
    by_uid,
    call,
    found_by,
    qrscp,
    sink,
    study_uid,
    wait_idle,
)

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def wire(node: RunningNode, sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two studies that the node has, coded: data sets as storescu sent them, by UID."""
    folders = [sample_data / "ct_thorax", sample_data / "mr_multiframe"]
    folder = tmp_path_factory.mktemp("wire")
    with sink(folder) as port:
        assert call("storescu", "-aec", "SINK", "127.0.0.1", str(port), "+sd", *folders).returncode == 0
    sent = call("storescu", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port), "+sd", *folders)
    assert sent.returncode == 0, sent.stdout
    assert wait_idle(node)["coded"]
    return by_uid(folder)


def moved(node: RunningNode, to: str, *keys: str, level: str = "STUDY", options: tuple[str | Path, ...] = (),
          folder: Path | None = None) -> tuple[int, str]:
    """movescu's exit code (0, 68: some failed, 69: failed) and what it printed."""
    asked = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
    done = call("movescu", "-v", "-S", *options, "-aem", to, "-aec", "DICOMNN", *asked, "127.0.0.1",
                str(node.address.port), folder=folder)
    return done.returncode, done.stdout


@pytest.mark.parametrize("study", ["ct_thorax", "mr_multiframe"])
def test_movescu_moves_a_coded_study_to_itself_byte_for_byte(
        study: str, node: RunningNode, ports: Ports, wire: dict[str, bytes], sample_data: Path,
        tmp_path: Path) -> None:
    receive = ("+B", "+xa", "+P", str(ports["MOVESCU"]), "-aet", "MOVESCU")
    code, told = moved(node, "MOVESCU", f"StudyInstanceUID={study_uid(sample_data / study)}", options=receive,
                       folder=tmp_path)
    assert code == 0, told
    came = by_uid(tmp_path)
    assert came == {uid: wire[uid] for uid in came}
    assert len(came) == len(list((sample_data / study).glob("*.dcm")))


def test_a_study_is_moved_to_storescp_byte_for_byte(
        node: RunningNode, ports: Ports, wire: dict[str, bytes], sample_data: Path, tmp_path: Path) -> None:
    with sink(tmp_path, ports["SINK"]):
        code, told = moved(node, "SINK", f"StudyInstanceUID={study_uid(sample_data / 'ct_thorax')}")
    assert code == 0, told
    came = by_uid(tmp_path)
    assert len(came) == 8 and came == {uid: wire[uid] for uid in came}


@pytest.mark.parametrize("option", ["+xi", "+xe"], ids=["implicit", "explicit"])
def test_storescp_that_prefers_one_uncompressed_syntax_gets_every_value(
        option: str, node: RunningNode, ports: Ports, wire: dict[str, bytes], sample_data: Path,
        tmp_path: Path) -> None:
    with sink(tmp_path, ports["SINK"], option):
        code, told = moved(node, "SINK", f"StudyInstanceUID={study_uid(sample_data / 'mr_multiframe')}")
    assert code == 0 and wire, told
    originals = {str(d.SOPInstanceUID): d
                 for d in map(dcmread, (sample_data / "mr_multiframe").glob("*.dcm"))}
    came = {str(d.SOPInstanceUID): d for d in map(dcmread, tmp_path.iterdir())}
    assert set(came) == set(originals)
    for uid, data in came.items():
        assert (data.pixel_array == originals[uid].pixel_array).all()


def test_storescp_that_takes_nothing_compressed_gets_it_decoded(
        node: RunningNode, ports: Ports, sample_data: Path, tmp_path: Path) -> None:
    original, lossy = sample_data / "ct_head" / "ct_01.dcm", tmp_path / "lossy.dcm"
    renewed = tmp_path / "renewed.dcm"
    shutil.copy(original, renewed)
    assert call("dcmodify", "-nb", "-gst", "-gse", "-gin", renewed).returncode == 0
    assert call("dcmcjpls", "+en", "+md", "3", renewed, lossy).returncode == 0    # near-lossless
    call("dcmsend", "-nh", "-dn", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port), lossy)
    wait_idle(node)
    header = dcmread(lossy, stop_before_pixels=True)
    with sink(tmp_path / "in", ports["SINK"], "+x="):
        code, told = moved(node, "SINK", f"StudyInstanceUID={header.StudyInstanceUID}")
    assert code == 0, told
    (path,) = (tmp_path / "in").iterdir()
    assert call("dcmdjpls", lossy, tmp_path / "decoded.dcm").returncode == 0
    came, decoded = dcmread(path), dcmread(tmp_path / "decoded.dcm")
    assert came.PixelData == decoded.PixelData, "as DCMTK itself decodes it"
    assert (came.SOPInstanceUID, came.LossyImageCompression) == (header.SOPInstanceUID, "01")
    assert not came.file_meta.TransferSyntaxUID.is_compressed


def test_an_unknown_destination_and_one_that_is_down_are_told(node: RunningNode, wire: dict[str, bytes],
                                                              sample_data: Path) -> None:
    key = f"StudyInstanceUID={study_uid(sample_data / 'ct_thorax')}"
    code, told = moved(node, "NOBODY", key)
    assert code == 69 and "MoveDestinationUnknown" in told
    code, told = moved(node, "SINK", key)
    assert code == 69 and "OutOfResourcesSubOperations" in told and wire


def test_dcmqrscp_takes_what_is_moved_to_it_answers_queries_for_it_and_moves_it_back(
        node: RunningNode, ports: Ports, wire: dict[str, bytes], sample_data: Path, tmp_path: Path) -> None:
    study = study_uid(sample_data / "ct_thorax")
    with qrscp(tmp_path / "qr", ports["QRSCP"], {"DICOMNN": node.address.port}) as port:
        code, told = moved(node, "QRSCP", f"StudyInstanceUID={study}")
        assert code == 0, told
        there = found_by(port, tmp_path, "-S", "IMAGE", f"StudyInstanceUID={study}", "SeriesInstanceUID",
                         "SOPInstanceUID", called="QRSCP")
        here = found_by(node.address.port, tmp_path, "-S", "IMAGE", f"StudyInstanceUID={study}",
                        "SeriesInstanceUID", "SOPInstanceUID")
        assert {a.SOPInstanceUID for a in there} == {a.SOPInstanceUID for a in here}
        assert {str(a.SOPInstanceUID) for a in here} <= set(wire)
        back = call("movescu", "-v", "-S", "-aem", "DICOMNN", "-aec", "QRSCP", "-k",
                    "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", "127.0.0.1", str(port))
        assert back.returncode in (0, 68), back.stdout
    status = node.status()
    assert status["duplicates"] + status["conflicts"] >= 8, "dcmqrscp sent what the node had"
