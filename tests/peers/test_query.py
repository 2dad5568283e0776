"""findscu asks the node (Orthanc does in test_orthanc.py; what matches is in test_matching.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from demo.node import RunningNode
from tests.peers.programs import call, found_by

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def stored(node: RunningNode, sample_data: Path) -> list[Dataset]:
    """Headers of three studies that the node has."""
    folders = [sample_data / name for name in ("ct_thorax", "mr_brain", "sc_chart")]
    for folder in folders:
        sent = call("storescu", "-aec", "DICOMNN", "127.0.0.1", str(node.address.port), "+sd", folder)
        assert sent.returncode == 0, sent.stdout
    return [dcmread(path, stop_before_pixels=True) for folder in folders for path in folder.glob("*.dcm")]


def test_findscu_finds_the_studies_with_their_modalities_and_numbers(
        node: RunningNode, stored: list[Dataset], tmp_path: Path) -> None:
    asked = ("StudyInstanceUID", "PatientName", "PatientID=DEMO-000?", "StudyDate", "ModalitiesInStudy",
             "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "InstanceAvailability")
    answers = found_by(node.address.port, tmp_path, "-S", "STUDY", *asked)
    wanted = {header.StudyInstanceUID for header in stored}
    assert {answer.StudyInstanceUID for answer in answers} >= wanted
    for answer in answers:
        own = [header for header in stored if header.StudyInstanceUID == answer.StudyInstanceUID]
        if own:
            assert (answer.PatientName, answer.PatientID, answer.StudyDate) == (
                own[0].PatientName, own[0].PatientID, own[0].StudyDate)
            assert answer.ModalitiesInStudy == own[0].Modality
            assert answer.NumberOfStudyRelatedInstances == len(own)
            assert answer.NumberOfStudyRelatedSeries == len({header.SeriesInstanceUID for header in own})
            assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("DICOMNN", "ONLINE")


def test_findscu_walks_down_from_the_patient_to_the_images(
        node: RunningNode, stored: list[Dataset], tmp_path: Path) -> None:
    def ask(level: str, *keys: str) -> list[Dataset]:
        return found_by(node.address.port, tmp_path, "-P", level, *keys)

    one = next(header for header in stored if header.Modality == "MR")
    (patient,) = ask("PATIENT", f"PatientID={one.PatientID}", "PatientName", "NumberOfPatientRelatedStudies")
    assert patient.PatientName == one.PatientName and patient.NumberOfPatientRelatedStudies == 1
    (study,) = ask("STUDY", f"PatientID={one.PatientID}", "StudyInstanceUID", "StudyDate")
    assert study.StudyInstanceUID == one.StudyInstanceUID
    keys = (f"PatientID={one.PatientID}", f"StudyInstanceUID={one.StudyInstanceUID}")
    series = ask("SERIES", *keys, "SeriesInstanceUID", "Modality")
    assert {s.SeriesInstanceUID for s in series} == {
        h.SeriesInstanceUID for h in stored if h.StudyInstanceUID == one.StudyInstanceUID}
    images = ask("IMAGE", *keys, f"SeriesInstanceUID={one.SeriesInstanceUID}", "SOPInstanceUID", "Rows")
    assert {i.SOPInstanceUID: i.Rows for i in images} == {
        h.SOPInstanceUID: h.Rows for h in stored if h.SeriesInstanceUID == one.SeriesInstanceUID}


def test_findscu_is_refused_the_patient_level_of_study_root(node: RunningNode, tmp_path: Path) -> None:
    assert found_by(node.address.port, tmp_path, "-S", "PATIENT", "PatientID") == []
    done = call("findscu", "-v", "-S", "-aec", "DICOMNN", "-k", "QueryRetrieveLevel=PATIENT",
                "-k", "PatientID", "127.0.0.1", str(node.address.port))
    assert "DataSetDoesNotMatchSOPClass" in done.stdout
