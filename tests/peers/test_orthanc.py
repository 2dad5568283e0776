"""Orthanc as a foreign archive that carries coded objects, as a sender, and as a peer that asks.

Over C-STORE Orthanc encodes anew what arrives (lengths, padding), so what can be promised after such a trip
are the pixels and the elements' values, not the bytes of the data set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.modality import read_study
from demo.node import RunningNode
from tests.peers.orthanc import Orthanc
from tests.peers.programs import call, found_by, wait_idle

pytestmark = pytest.mark.peers

DICOMNN = Path(sys.executable).with_name("dicomnn")


@pytest.mark.parametrize("name", [
    "ct_thorax/ct_04.dcm", "ct_head/ct_02.dcm", "mr_multiframe/mr_enhanced.dcm"])
def test_a_coded_object_that_went_through_orthanc_gives_its_pixels_back(
        name: str, orthanc: Orthanc, sample_data: Path, tmp_path: Path) -> None:
    original = sample_data / name
    coded, carried, back = tmp_path / "coded.dcm", tmp_path / "carried.dcm", tmp_path / "back.dcm"
    done = call(DICOMNN, "compress", original, coded)
    assert done.returncode == 0, done.stdout
    sent = call("storescu", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port), coded)
    assert sent.returncode == 0, sent.stdout

    header = dcmread(original)
    carried.write_bytes(orthanc.ask(f"/instances/{orthanc.identifier(header.SOPInstanceUID)}/file"))
    done = call(DICOMNN, "restore", carried, back)
    assert back.is_file(), done.stdout
    restored = dcmread(back)
    assert (restored.pixel_array == header.pixel_array).all()
    values = {element.tag: element.value for element in header if element.tag.element}
    assert {element.tag: element.value for element in restored if element.tag.element} == values


def test_what_orthanc_sends_is_coded_and_comes_back_with_the_same_pixels(
        orthanc: Orthanc, node: RunningNode, sample_data: Path, tmp_path: Path) -> None:
    study = read_study(sample_data / "mr_flow_bigendian")
    for image in study.images:
        orthanc.ask("/instances", image.path.read_bytes())
    answer = json.loads(orthanc.ask("/modalities/node/store", json.dumps({
        "Resources": [orthanc.identifier(image.sop_instance_uid) for image in study.images],
        "Synchronous": True}).encode()))
    assert answer["FailedInstancesCount"] == 0, answer
    status = wait_idle(node)
    assert status["coded"], status

    got = call("getscu", "-S", "+B", "-od", tmp_path, "-aec", "DICOMNN", "-k", "QueryRetrieveLevel=STUDY",
               "-k", f"StudyInstanceUID={study.study_instance_uid}", "127.0.0.1", str(node.address.port))
    came = {str(data.SOPInstanceUID): data for data in map(dcmread, tmp_path.iterdir())}
    assert set(came) == {image.sop_instance_uid for image in study.images}, got.stdout
    for image in study.images:
        assert (came[image.sop_instance_uid].pixel_array == dcmread(image.path).pixel_array).all()


@pytest.fixture(scope="module")
def brain(node: RunningNode, sample_data: Path) -> list[Path]:
    """Files of a study that the node has, coded."""
    files = sorted((sample_data / "mr_brain").glob("*.dcm"))
    sent = call("storescu", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port), *files)
    assert sent.returncode == 0, sent.stdout
    wait_idle(node)
    return files


def test_orthanc_finds_a_study_its_series_and_its_images_in_the_node(
        orthanc: Orthanc, brain: list[Path]) -> None:
    headers = [dcmread(path, stop_before_pixels=True) for path in brain]
    study = str(headers[0].StudyInstanceUID)
    _, studies = orthanc.query("Study", {"StudyInstanceUID": study, "PatientName": "phantom*",
                                         "NumberOfStudyRelatedInstances": "", "ModalitiesInStudy": ""})
    assert [(s["StudyInstanceUID"], s["NumberOfStudyRelatedInstances"], s["ModalitiesInStudy"])
            for s in studies] == [(study, str(len(headers)), "MR")]
    _, series = orthanc.query("Series", {"StudyInstanceUID": study, "SeriesInstanceUID": "",
                                         "Modality": "MR"})
    assert {s["SeriesInstanceUID"] for s in series} == {str(h.SeriesInstanceUID) for h in headers}
    _, images = orthanc.query("Instance", {"StudyInstanceUID": study, "SOPInstanceUID": "",
                                           "SeriesInstanceUID": str(headers[0].SeriesInstanceUID)})
    assert {i["SOPInstanceUID"] for i in images} == {
        str(h.SOPInstanceUID) for h in headers if h.SeriesInstanceUID == headers[0].SeriesInstanceUID}


def test_what_orthanc_moves_from_the_node_arrives_with_the_same_pixels(
        orthanc: Orthanc, brain: list[Path], tmp_path: Path) -> None:
    study = str(dcmread(brain[0], stop_before_pixels=True).StudyInstanceUID)
    query, answers = orthanc.query("Study", {"StudyInstanceUID": study})
    assert len(answers) == 1
    orthanc.json(f"/queries/{query}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    for path in brain:
        sent = dcmread(path)
        came = tmp_path / path.name
        came.write_bytes(orthanc.ask(f"/instances/{orthanc.identifier(sent.SOPInstanceUID)}/file"))
        assert (dcmread(came).pixel_array == sent.pixel_array).all()
    there = orthanc.json(f"/studies/{orthanc.identifier(study, 'Study')}/statistics")
    assert int(there["CountInstances"]) == len(brain)


def test_a_series_that_movescu_moves_to_orthanc_is_found_there(
        orthanc: Orthanc, node: RunningNode, sample_data: Path, tmp_path: Path) -> None:
    path = next(iter(sorted((sample_data / "dx_chest").glob("*.dcm"))))
    header = dcmread(path, stop_before_pixels=True)
    port = str(node.address.port)
    assert call("storescu", "-aec", "DICOMNN", "127.0.0.1", port, path).returncode == 0
    done = call("movescu", "-S", "-aem", "ORTHANC", "-aec", "DICOMNN", "-k", "QueryRetrieveLevel=SERIES",
                "-k", f"StudyInstanceUID={header.StudyInstanceUID}",
                "-k", f"SeriesInstanceUID={header.SeriesInstanceUID}", "127.0.0.1", port)
    assert done.returncode == 0, done.stdout
    answers = found_by(orthanc.dicom_port, tmp_path, "-S", "SERIES", "StudyInstanceUID",
                       f"SeriesInstanceUID={header.SeriesInstanceUID}", called="ORTHANC")
    assert [answer.StudyInstanceUID for answer in answers] == [header.StudyInstanceUID]
