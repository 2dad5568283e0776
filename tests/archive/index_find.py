"""Part of the index's suite: what a query finds at each level, by every kind of condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dicomnn.archive import Index
from dicomnn.archive.records import Disputed
from dicomnn.conditions import (
    AnyItem,
    Condition,
    DateRange,
    MomentRange,
    Name,
    OneOf,
    TimeRange,
    Wildcard,
)
from dicomnn.errors import IdentifierInvalid
from tests.archive.conftest import arrived
from tests.archive.index_base import IndexBase

STUDIES: dict[str, dict[str, Any]] = {
    "S1": {"patient_id": "P1", "patient_name": "Meier^Anna", "study_date": "20240101", "study_time": "1015",
           "study_description": "100%_head", "accession_number": "A1",
           "referring_physician_name": "Ruiz^José=\u5c71\u7530"},
    "S2": {"patient_id": "p1", "patient_name": "MEIER^ANNA^^", "study_date": "2024.02.01",
           "study_time": "101559.5", "study_description": "100x-head", "accession_number": "A2"},
    "S3": {"patient_id": "P3", "patient_name": "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060",
           "study_time": "23:59:59", "study_description": "thorax", "patient_birth_date": "19700102",
           "other_patient_ids": "X1\\X2"},
    "S4": {"patient_id": None, "patient_name": None, "study_date": "nonsense", "study_time": "235959"},
}


def stored(index: Index) -> None:
    """S1: series E1 (CT, 2 images), E2 (MR); S2: E3 (CT); S3: E4; S4: E5, without a patient."""
    places = (("1.1", "S1", "E1", "CT", 1), ("1.2", "S1", "E1", "CT", 2), ("1.3", "S1", "E2", "MR", 1),
              ("1.4", "S2", "E3", "CT", 1), ("1.5", "S3", "E4", "OT", 1), ("1.6", "S4", "E5", "CT", 7))
    for uid, study, series, modality, number in places:
        about = {"study_instance_uid": study, "series_instance_uid": series, "sop_instance_uid": uid}
        request = [{"scheduled_procedure_step_id": "step", "requested_procedure_id": number_of}
                   for number_of in (f"R-{series}", "R-all")]
        index.receive(arrived(
            uid, content=uid.encode(), study_instance_uid=study, series_instance_uid=series,
            sop_class_uid=f"class-{modality}",
            attributes={**STUDIES[study], **about, "modality": modality, "instance_number": number,
                        "series_number": int(series[1:]), "image_type": "ORIGINAL\\PRIMARY",
                        "content_time": "10:00", "request_attributes_sequence": request}))


def uids(index: Index, level: str, *conditions: Condition, page: int = 500) -> list[str]:
    key = {"patient": "patient_id", "study": "study_instance_uid", "series": "series_instance_uid",
           "instance": "sop_instance_uid"}[level]
    return [row.get(key) or "" for row in index.find(level, conditions, page=page)]


class FindSuite(IndexBase):
    @pytest.fixture
    def found(self, make_index: Callable[..., Index]) -> Index:
        index = make_index()
        stored(index)
        return index

    def test_each_level_gives_each_of_its_things_once_whatever_the_page(self, found: Index) -> None:
        for page in (1, 2, 500):
            assert sorted(uids(found, "patient", page=page)) == ["", "P1", "P3", "p1"]
            assert uids(found, "study", page=page) == ["S1", "S2", "S3", "S4"]
            assert uids(found, "series", page=page) == ["E1", "E2", "E3", "E4", "E5"]
            assert uids(found, "instance", page=page) == ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]

    @pytest.mark.parametrize(("condition", "studies"), [
        (OneOf("study_instance_uid", ("S1", "S3", "S9")), ["S1", "S3"]),
        (OneOf("patient_id", ("P1",)), ["S1"]),
        (Wildcard("patient_id", ("P*",)), ["S1", "S3"]),
        (Wildcard("study_description", ("100%*",)), ["S1"]),
        (Wildcard("study_description", ("100?_head", "none")), ["S1"]),
        (Wildcard("study_description", ("100??head",)), ["S1", "S2"]),
        (Wildcard("study_description", ("HEAD*",)), []),
        (Name("patient_name", ("meier^anna",)), ["S1", "S2"]),
        (Name("patient_name", ("Meier^Anna^^^",)), ["S1", "S2"]),
        (Name("patient_name", ("Meier",)), []),
        (Name("patient_name", ("ME?ER*", "nobody")), ["S1", "S2"]),
        (Name("patient_name", ("\u5c71\u7530*",)), ["S3"]),
        (Name("patient_name", ("yamada*=\u5c71*",)), ["S3"]),
        (Name("patient_name", ("yamada*=x*",)), []),
        (Name("referring_physician_name", ("ruiz^JOS\u00c9",)), ["S1"]),
        (Name("referring_physician_name", ("\u5c71*",)), ["S1"]),
        (DateRange("study_date", "20240101", "20240131"), ["S1"]),
        (DateRange("study_date", "20240102", None), ["S2"]),
        (DateRange("study_date", None, "20240201"), ["S1", "S2"]),
        (DateRange("patient_birth_date", "19700102", "19700102"), ["S3"]),
        (TimeRange("study_time", "101500", "101559.999999"), ["S1", "S2"]),
        (TimeRange("study_time", "101501", "101559.499999"), []),
        (TimeRange("study_time", "230000", None), ["S3", "S4"]),
        (MomentRange("study_date", "study_time", ("20240101", "101501"), ("20240201", "101559.6")), ["S2"]),
        (MomentRange("study_date", "study_time", None, ("20240101", "101500")), ["S1"]),
        (OneOf("modalities_in_study", ("MR",)), ["S1"]),
        (OneOf("modalities_in_study", ("MR", "OT")), ["S1", "S3"]),
        (Wildcard("modalities_in_study", ("C*",)), ["S1", "S2", "S4"]),
        (OneOf("sop_classes_in_study", ("class-MR",)), ["S1"]),
        (OneOf("other_patient_ids", ("X2",)), ["S3"]),
        (Wildcard("other_patient_ids", ("X?",)), ["S3"]),
        (OneOf("other_patient_ids", ("X1\\X2",)), []),
    ], ids=lambda value: repr(value)[:60])
    def test_a_condition_finds_its_studies(self, found: Index, condition: Condition,
                                           studies: list[str]) -> None:
        assert uids(found, "study", condition) == studies

    def test_conditions_of_upper_levels_hold_below(self, found: Index) -> None:
        anna = Name("patient_name", ("meier*",))
        assert uids(found, "series", anna, OneOf("modality", ("CT",))) == ["E1", "E3"]
        assert uids(found, "series", DateRange("study_date", "20240101", "20240101")) == ["E1", "E2"]
        assert uids(found, "instance", anna, OneOf("modality", ("CT",)),
                    OneOf("instance_number", (1,))) == ["1.1", "1.4"]
        assert uids(found, "instance", OneOf("study_instance_uid", ("S1",)),
                    OneOf("series_instance_uid", ("E2",))) == ["1.3"]
        assert uids(found, "instance", OneOf("image_type", ("PRIMARY",)),
                    TimeRange("content_time", "100000", "100000.9"),
                    OneOf("patient_id", ("P3",))) == ["1.5"]

    def test_one_item_of_a_sequence_must_meet_all_conditions(self, found: Index) -> None:
        def asked(step: str, procedure: str) -> list[str]:
            return uids(found, "series", AnyItem("request_attributes_sequence", (
                OneOf("scheduled_procedure_step_id", (step,)),
                Wildcard("requested_procedure_id", (procedure,)))))

        assert asked("step", "R-E2*") == ["E2"]
        assert asked("step", "R-*") == ["E1", "E2", "E3", "E4", "E5"]
        assert asked("other", "R-*") == []

    def test_answers_have_the_values_as_they_came_and_those_of_the_levels_above(self, found: Index) -> None:
        (row,) = found.find("series", [OneOf("series_instance_uid", ("E3",))],
                            wanted=["patient_name", "study_time", "study_date"])
        assert (row["patient_name"], row["study_date"], row["study_time"]) == (
            "MEIER^ANNA^^", "2024.02.01", "101559.5")
        assert row["request_attributes_sequence"][0]["requested_procedure_id"] == "R-E3"
        (row,) = found.find("instance", [OneOf("sop_instance_uid", ("1.5",))])
        assert row["patient_name"] == STUDIES["S3"]["patient_name"] and row["sop_class_uid"] == "class-OT"

    def test_what_is_counted_is_right_at_every_level(self, found: Index) -> None:
        found.delete("1.2", reason="r", by="b")
        study = ("modalities_in_study", "sop_classes_in_study", "number_of_study_related_series",
                 "number_of_study_related_instances")
        patient = ("number_of_patient_related_studies", "number_of_patient_related_series",
                   "number_of_patient_related_instances")
        for level, key in (("study", "study_instance_uid"), ("series", "study_instance_uid"),
                           ("instance", "study_instance_uid")):
            row = next(iter(found.find(level, [OneOf(key, ("S1",))], wanted=[*study, *patient])))
            assert [row[name] for name in study] == [["CT", "MR"], ["class-CT", "class-MR"], 2, 2], level
            assert [row[name] for name in patient] == [1, 2, 2], level
        (row,) = found.find("series", [OneOf("series_instance_uid", ("E1",))],
                            wanted=["number_of_series_related_instances", "coded"])
        assert (row["number_of_series_related_instances"], row["coded"]) == (1, False)
        assert self.finish(found, self.take(found))
        rows = {row["study_instance_uid"]: row["coded"] for row in found.find("study", [], wanted=["coded"])}
        assert rows == {"S1": True, "S2": False, "S3": False, "S4": False}
        assert [row["coded"] for row in found.find("patient", [OneOf("patient_id", ("P1",))],
                                                   wanted=["coded"])] == [True]

    def test_what_was_deleted_is_not_found(self, found: Index) -> None:
        for uid in ("1.3", "1.4"):
            found.delete(uid, reason="r", by="b")
        assert uids(found, "patient", Name("patient_name", ("meier*",))) == ["P1"]
        assert uids(found, "study") == ["S1", "S3", "S4"]
        assert uids(found, "series") == ["E1", "E4", "E5"]
        assert uids(found, "study", OneOf("modalities_in_study", ("MR",))) == []
        assert "1.3" not in uids(found, "instance")
        found.receive(arrived("1.3", study_instance_uid="S1", series_instance_uid="E2",
                              attributes={**STUDIES["S1"], "modality": "MR"}))
        assert uids(found, "study", OneOf("modalities_in_study", ("MR",))) == ["S1"]

    def test_a_study_with_two_patients_is_one_study_and_found_under_both(self, found: Index) -> None:
        found.receive(arrived("1.7", study_instance_uid="S1", series_instance_uid="E1",
                              attributes={**STUDIES["S1"], "patient_id": "P9", "patient_name": "Other"}))
        assert uids(found, "study", page=1) == ["S1", "S2", "S3", "S4"]
        assert uids(found, "study", OneOf("patient_id", ("P1",))) == ["S1"]
        assert uids(found, "study", OneOf("patient_id", ("P9",))) == ["S1"]
        assert "P9" in uids(found, "patient")
        assert uids(found, "instance", OneOf("patient_id", ("P9",))) == ["1.7"]
        assert list(found.disputed()) == [Disputed("patients", "S1", ("P1", "P9"))]
        found.delete("1.7", reason="r", by="b")
        assert "P9" not in uids(found, "patient") and list(found.disputed()) == []

    def test_a_series_uid_in_two_studies_is_a_series_of_each(self, found: Index) -> None:
        found.receive(arrived("1.7", study_instance_uid="S2", series_instance_uid="E1"))
        rows = [(row["study_instance_uid"], row["number_of_series_related_instances"])
                for row in found.find("series", [OneOf("series_instance_uid", ("E1",))], page=1,
                                      wanted=["number_of_series_related_instances"])]
        assert rows == [("S1", 2), ("S2", 1)]
        assert Disputed("studies", "E1", ("S1", "S2")) in found.disputed()

    def test_objects_without_study_uid_are_found_as_instances_alone(self, found: Index) -> None:
        found.receive(arrived("1.8", study_instance_uid="", series_instance_uid="", attributes={}))
        assert "" not in uids(found, "study") and "" not in uids(found, "series")
        assert "1.8" in uids(found, "instance")
        assert len(uids(found, "patient")) == 4

    def test_what_later_objects_say_fills_what_the_first_left_out(self, index: Index) -> None:
        index.receive(arrived("1.1", study_instance_uid="S", attributes={"patient_id": "P"}))
        index.receive(arrived("1.2", study_instance_uid="S", attributes={
            "patient_id": "P", "patient_name": "A^B", "study_date": "20240101", "study_description": "late"}))
        index.receive(arrived("1.3", study_instance_uid="S", attributes={
            "patient_id": "P", "study_description": "later"}))
        (row,) = index.find("study", [DateRange("study_date", "20240101", "20240101"),
                                      Name("patient_name", ("a^b",))], wanted=["patient_name"])
        assert (row["study_description"], row["patient_name"]) == ("late", "A^B")

    def test_more_than_a_limit_is_known_without_reading_all(self, found: Index) -> None:
        assert found.more_than("study", [], 3) and not found.more_than("study", [], 4)
        assert found.more_than("patient", [], 3) and not found.more_than("patient", [], 4)
        assert not found.more_than("instance", [OneOf("study_instance_uid", ("S1",))], 3)

    def test_a_list_that_no_statement_can_hold_is_refused_by_name(self, found: Index) -> None:
        many = OneOf("sop_instance_uid", tuple(f"1.{number}" for number in range(20_000)))
        with pytest.raises(IdentifierInvalid, match="sop_instance_uid"):
            list(found.find("instance", [many]))

    def test_an_attribute_below_the_level_is_an_error_of_the_caller(self, found: Index) -> None:
        with pytest.raises(ValueError, match="modality"):
            list(found.find("study", [OneOf("modality", ("CT",))]))

    def test_attributes_that_are_read_again_are_found_and_change_nothing_else(self, found: Index) -> None:
        before = found.get("1.1")
        outdated = {instance.sop_instance_uid: instance for instance in found.outdated(2)}
        assert len(outdated) == 6
        again = {**outdated["1.1"].attributes, "patient_id": "P7", "image_comments": "read again"}
        assert found.describe(outdated["1.1"], again, 2)
        assert not found.describe(outdated["1.1"], again, 2), "done already"
        assert found.describe(outdated["1.2"], None, 2)
        assert [i.sop_instance_uid for i in found.outdated(2)] == ["1.3", "1.4", "1.5", "1.6"]
        assert uids(found, "instance", OneOf("image_comments", ("read again",))) == ["1.1"]
        assert uids(found, "instance", OneOf("patient_id", ("P7",))) == ["1.1"]
        assert sorted(uids(found, "patient")) == ["", "P1", "P3", "P7", "p1"]
        after = found.get("1.1")
        assert (after.state, after.revision, after.digest) == (before.state, before.revision, before.digest)
        for uid in ("1.2", "1.3"):
            found.delete(uid, reason="r", by="b")
        assert "P1" not in uids(found, "patient")
