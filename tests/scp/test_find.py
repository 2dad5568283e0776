"""C-FIND with real sockets and a real node process: both models, statuses, cancel, negotiation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import build_context
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.scp.objects import fill_index, made
from tests.scp.peer import EXPLICIT, IMPLICIT, MR, NodeProcess, connected, identifier, send

STUDY_FIND, PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.1.1"
LIMIT = 1000


@dataclass
class Found:
    """What a C-FIND brought. final: its last status; statuses: of the answers."""

    answers: list[Dataset] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    final: int | None = None
    comment: str = ""

    def values(self, keyword: str) -> list[Any]:
        return [answer.get(keyword) for answer in self.answers]


def find(port: int, query: Dataset, *, model: str = STUDY_FIND, syntax: str | None = None,
         extended: bytes | None = None, cancel_after: int | None = None) -> Found:
    items = []
    if extended is not None:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = model, extended
        items.append(item)
    found = Found()
    with connected(port, [build_context(model, syntax)], roles=items) as assoc:
        assert assoc.is_established
        for status, answer in assoc.send_c_find(query, model):
            found.final, found.comment = status.Status, str(status.get("ErrorComment", ""))
            if answer is not None:
                found.statuses.add(status.Status)
                found.answers.append(answer)
                if len(found.answers) == cancel_after:
                    assoc.send_c_cancel(1, query_model=model)
    return found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Three patients, four studies, five series, nine instances; and 1000 more studies of one patient."""
    places = [("P1", "Meier^Anna", "1.2.10", "20240101", "101500", "CT", 2),
              ("P1", "Meier^Anna", "1.2.10", "20240101", "101500", "MR", 1),
              ("P1", "Meier^Anna", "1.2.11", "20240201", "08", "CT", 2),
              ("P2", "Müller^Jörg", "1.2.12", "20240201", "120000.5", "MR", 3),
              ("p3", "Yamada^Tarou=山田^太郎", "1.2.13", "", "", "CT", 1)]
    items = []
    for number, (patient, name, study, date, time, modality, count) in enumerate(places):
        series = f"{study}.{number}"
        items += [made(f"{series}.{n}", study=study, series=series, Modality=modality,
                       syntax=IMPLICIT if patient == "P2" else EXPLICIT,
                       sop_class=MR if modality == "MR" else "1.2.840.10008.5.1.4.1.1.2",
                       SpecificCharacterSet="ISO_IR 100" if patient != "p3" else ["", "ISO 2022 IR 87"],
                       PatientID=patient, PatientName=name, StudyDate=date, StudyTime=time, InstanceNumber=n,
                       SeriesNumber=number, StudyDescription=f"study_{number}%") for n in range(1, count + 1)]
    archive = tmp_path_factory.mktemp("node") / "archive"
    fill_index(archive, LIMIT, patient_id="MANY", patient_name="Many^Studies", study_date="20200101")
    config = f"[node]\nmax_associations_per_peer = 64\n[query]\nmax_answers = {LIMIT}\n"
    with NodeProcess(archive, "--workers", "-1", config=config) as running:
        assert set(send(running.port, items)) == {0}
        yield running


def keys(level: str, *empty: str, **values: Any) -> Dataset:
    return identifier(level, **dict.fromkeys(empty, ""), **values)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_four_levels_of_patient_root_from_the_top_down(node: NodeProcess, syntax: str) -> None:
    def ask(query: Dataset) -> Found:
        found = find(node.port, query, model=PATIENT_FIND, syntax=syntax)
        assert found.final == 0 and found.statuses <= {0xFF00}
        return found

    patients = ask(keys("PATIENT", "PatientID", PatientName="m*r^*"))
    assert sorted(patients.values("PatientID")) == ["P1", "P2"]
    studies = ask(keys("STUDY", "StudyInstanceUID", "StudyDate", "PatientName", PatientID="P1"))
    assert studies.values("StudyInstanceUID") == ["1.2.10", "1.2.11"]
    assert studies.values("PatientName") == ["Meier^Anna"] * 2
    series = ask(keys("SERIES", "SeriesInstanceUID", "Modality", PatientID="P1", StudyInstanceUID="1.2.10"))
    assert sorted(series.values("Modality")) == ["CT", "MR"]
    images = ask(keys("IMAGE", "SOPInstanceUID", "InstanceNumber", PatientID="P1", StudyInstanceUID="1.2.10",
                      SeriesInstanceUID="1.2.10.0"))
    assert sorted(images.values("InstanceNumber")) == [1, 2]


def test_three_levels_of_study_root_and_a900_for_the_patient_level(node: NodeProcess) -> None:
    found = find(node.port, keys("STUDY", "StudyInstanceUID", PatientID="P2"))
    assert found.values("StudyInstanceUID") == ["1.2.12"]
    refused = find(node.port, keys("PATIENT", "PatientID"))
    assert (refused.final, refused.answers) == (0xA900, [])
    assert "PATIENT" in refused.comment


def test_a_relational_query_needs_no_unique_keys_above_its_level(node: NodeProcess) -> None:
    found = find(node.port, keys("IMAGE", "SOPInstanceUID", "StudyInstanceUID", "PatientName",
                                 Modality="MR", StudyDate="20240201"))
    assert set(found.values("StudyInstanceUID")) == {"1.2.12"} and len(found.answers) == 3
    assert {str(name) for name in found.values("PatientName")} == {"Müller^Jörg"}


def test_numbers_modalities_and_availability_are_computed(node: NodeProcess) -> None:
    found = find(node.port, keys("STUDY", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
                                 "ModalitiesInStudy", "SOPClassesInStudy", StudyInstanceUID="1.2.10"))
    (answer,) = found.answers
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 3)
    assert list(answer.ModalitiesInStudy) == ["CT", "MR"] and len(answer.SOPClassesInStudy) == 2
    assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("DICOMNN", "ONLINE")
    (patient,) = find(node.port, keys("PATIENT", "NumberOfPatientRelatedStudies",
                                      "NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances",
                                      PatientID="P1"), model=PATIENT_FIND).answers
    assert (patient.NumberOfPatientRelatedStudies, patient.NumberOfPatientRelatedSeries,
            patient.NumberOfPatientRelatedInstances) == (2, 3, 5)


@pytest.mark.parametrize(("name", "charset", "told"), [
    ("MÜLLER^*", "ISO_IR 100", "ISO_IR 100"), ("müller^jörg", "ISO_IR 192", "ISO_IR 100"),
    ("山田^*", "ISO_IR 192", ["", "ISO 2022 IR 87"])])
def test_names_match_without_case_in_any_character_set_and_keep_their_own(
        node: NodeProcess, name: str, charset: str, told: object) -> None:
    query = keys("STUDY", "StudyInstanceUID")
    query.SpecificCharacterSet = charset
    query.PatientName = name
    (answer,) = find(node.port, query).answers
    assert answer.SpecificCharacterSet == told
    assert str(answer.PatientName) in ("Müller^Jörg", "Yamada^Tarou=山田^太郎")


def test_keys_that_the_level_does_not_have_are_empty_and_told_by_ff01(node: NodeProcess) -> None:
    query = keys("STUDY", "Modality", StudyInstanceUID="1.2.10")
    query.add_new(0x00091001, "LO", "private")
    found = find(node.port, query)
    assert found.statuses == {0xFF01} and found.final == 0
    assert found.answers[0]["Modality"].is_empty


@pytest.mark.parametrize(("keyword", "value"), [
    ("StudyDate", "last week"), ("StudyInstanceUID", "1.2.*"), ("StudyTime", "noon")])
def test_a_value_that_no_query_can_have_is_refused_with_a900_and_the_key_named(
        node: NodeProcess, keyword: str, value: str) -> None:
    found = find(node.port, keys("STUDY", **{keyword: value}))
    assert (found.final, found.answers) == (0xA900, []) and keyword in found.comment


def test_nothing_found_is_a_success_without_answers(node: NodeProcess) -> None:
    found = find(node.port, keys("STUDY", PatientID="nobody"))
    assert (found.final, found.answers) == (0, [])


def test_too_many_matches_are_refused_and_none_is_given(node: NodeProcess) -> None:
    found = find(node.port, keys("STUDY", "StudyInstanceUID"))
    assert (found.final, found.answers) == (0xA700, [])
    assert str(LIMIT) in found.comment
    assert len(find(node.port, keys("STUDY", PatientID="MANY")).answers) == LIMIT


def test_a_cancelled_query_ends_with_fe00(node: NodeProcess) -> None:
    found = find(node.port, keys("STUDY", PatientID="MANY"), cancel_after=1)
    assert found.final == 0xFE00 and 1 <= len(found.answers) < LIMIT


def test_date_and_time_are_one_moment_only_where_that_was_negotiated(node: NodeProcess) -> None:
    query = keys("STUDY", "StudyInstanceUID", StudyDate="20240101-20240201", StudyTime="1000-0900")
    assert find(node.port, query).answers == []
    assert find(node.port, query, extended=b"\1\0").answers == []
    found = find(node.port, query, extended=b"\1\1\1\1")
    assert found.values("StudyInstanceUID") == ["1.2.10", "1.2.11"]


def test_the_answer_to_extended_negotiation_says_what_the_node_does(node: NodeProcess) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = STUDY_FIND, b"\1\1\1\1\1"
    with connected(node.port, [build_context(STUDY_FIND)], roles=[item]) as assoc:
        assert assoc.acceptor.sop_class_extended[STUDY_FIND] == b"\1\1\0\0\0"


def test_the_log_has_no_patient_data(node: NodeProcess) -> None:
    find(node.port, keys("STUDY", PatientName="Meier*"))
    assert "found" in node.log and "Meier" not in node.log
