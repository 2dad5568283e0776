"""Identifiers become conditions; what cannot be meant is refused by name (PS3.4 C.2.2.2)."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

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
from dicomnn.dicom.matching import Query, parse
from dicomnn.dicom.query_keys import KEYS, Level, attribute_name
from dicomnn.errors import IdentifierInvalid
from tests.dicom.made import EXPLICIT, IMPLICIT, Writer

TAGS = {key.keyword: (key.tag, key.vr) for key in KEYS.values()}


def identifier(level: str, *keys: tuple[str, bytes | str], charset: str = "",
               syntax: str = EXPLICIT) -> Dataset:
    """As it comes over the wire: values are not decoded yet."""
    writer = Writer.of(syntax)
    parts = {0x00080052: writer.element(0x00080052, "CS", level)}
    if charset:
        parts[0x00080005] = writer.element(0x00080005, "CS", charset)
    for keyword, value in keys:
        tag, vr = TAGS[keyword]
        raw = value.encode() if isinstance(value, str) else value
        parts[tag] = writer.element(tag, vr, raw + b" " * (len(raw) % 2))
    raw = b"".join(parts[tag] for tag in sorted(parts))
    return read_dataset(io.BytesIO(raw), syntax == IMPLICIT, True)


def conditions(level: str, *keys: tuple[str, bytes | str], **more: object) -> tuple[Condition, ...]:
    return parse(identifier(level, *keys), patient_root=True, **more).conditions  # type: ignore[arg-type]


def one(keyword: str, value: bytes | str, level: str = "IMAGE") -> Condition:
    (condition,) = conditions(level, (keyword, value))
    return condition


# ------------------------------------------------------------------ levels
@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_patient_root_has_four_levels(level: str) -> None:
    assert parse(identifier(level), patient_root=True).level is Level[level]


@pytest.mark.parametrize("level", ["PATIENT", "FRAME", "", "study"])
def test_study_root_refuses_the_patient_level_and_what_is_no_level(level: str) -> None:
    with pytest.raises(IdentifierInvalid):
        parse(identifier(level), patient_root=False)


def test_keys_below_the_level_and_unknown_ones_are_answered_empty_and_told() -> None:
    asked = identifier("STUDY", ("Modality", "CT"), ("StudyDate", "20240101"))
    asked.add_new(0x00091010, "LO", "private")
    query = parse(asked, patient_root=False)
    assert query.unsupported == (0x00080060, 0x00091010)
    assert query.conditions == (DateRange("study_date", "20240101", "20240101"),)
    assert [each.tag for each in query.asked] == [0x00080020, 0x00080060, 0x00091010]


def test_keys_of_upper_levels_are_matched_without_their_unique_keys() -> None:
    assert conditions("IMAGE", ("PatientName", "A"), ("Modality", "CT")) == (
        OneOf("modality", ("CT",)), Name("patient_name", ("A",)))


# ------------------------------------------------------------------ kinds of matching
@pytest.mark.parametrize("value", ["", "  ", "*", "**"])
@pytest.mark.parametrize("keyword", ["PatientName", "StudyDate", "StudyTime", "StudyInstanceUID", "Modality",
                                     "InstanceNumber", "SeriesNumber"])
def test_an_empty_key_or_a_star_asks_for_anything(keyword: str, value: str) -> None:
    query = parse(identifier("IMAGE", (keyword, value)), patient_root=True)
    assert query.conditions == () and query.wanted == [attribute_name(keyword)] and not query.unsupported


def test_single_values_keep_their_case_and_lose_their_padding() -> None:
    assert one("PatientID", " Ab1 ") == OneOf("patient_id", ("Ab1",))
    assert one("StudyInstanceUID", b"1.2.3\0") == OneOf("study_instance_uid", ("1.2.3",))


def test_a_list_of_uids_is_any_of_them() -> None:
    assert one("SOPInstanceUID", "1.2\\1.3\\1.4") == OneOf("sop_instance_uid", ("1.2", "1.3", "1.4"))
    assert one("ModalitiesInStudy", "CT\\MR", "STUDY") == OneOf("modalities_in_study", ("CT", "MR"))


def test_wildcards_are_for_text_only() -> None:
    assert one("StudyDescription", "ab*c?") == Wildcard("study_description", ("ab*c?",))
    for keyword in ("StudyInstanceUID", "StudyDate", "StudyTime", "InstanceNumber"):
        with pytest.raises(IdentifierInvalid, match=keyword):
            one(keyword, "1*2")


@pytest.mark.parametrize(("value", "first", "last"), [
    ("20240101", "20240101", "20240101"), ("20240101-20240131", "20240101", "20240131"),
    ("20240101-", "20240101", None), ("-20240131", None, "20240131"),
    ("2024.01.01 - 2024.01.31", "20240101", "20240131")])
def test_ranges_of_dates_include_their_ends(value: str, first: str | None, last: str | None) -> None:
    assert one("StudyDate", value) == DateRange("study_date", first, last)


@pytest.mark.parametrize(("value", "first", "last"), [
    ("101530", "101530", "101530.999999"), ("1015", "101500", "101559.999999"),
    ("10", "100000", "105959.999999"), ("101530.25", "101530.25", "101530.259999"),
    ("08-10", "080000", "105959.999999"), ("0815-", "081500", None), ("-0815", None, "081559.999999"),
    ("10:15:30", "101530", "101530.999999")])
def test_a_short_time_means_all_of_its_hour_or_minute(
        value: str, first: str | None, last: str | None) -> None:
    assert one("StudyTime", value) == TimeRange("study_time", first, last)


@pytest.mark.parametrize(("keyword", "value"), [
    ("StudyDate", "yesterday"), ("StudyDate", "-"), ("StudyDate", "2024"),
    ("StudyDate", "20240101\\20240102"), ("StudyTime", "1"), ("StudyTime", "noon"),
    ("InstanceNumber", "first")])
def test_what_no_query_can_mean_is_refused_by_name(keyword: str, value: str) -> None:
    with pytest.raises(IdentifierInvalid, match=keyword):
        one(keyword, value)


def test_numbers_are_compared_as_numbers() -> None:
    assert one("InstanceNumber", "007") == OneOf("instance_number", (7,))
    assert one("Rows", b"\0\2") == OneOf("rows", (512,))


def test_names_are_decoded_by_the_character_set_of_the_request() -> None:
    asked = identifier("STUDY", ("PatientName", "Jér*".encode("latin-1")), charset="ISO_IR 100")
    assert parse(asked, patient_root=False).conditions == (Name("patient_name", ("Jér*",)),)
    asked = identifier("STUDY", ("PatientName", b"=\x1b$B;3ED\x1b(B^*"), charset="\\ISO 2022 IR 87")
    assert parse(asked, patient_root=False).conditions == (Name("patient_name", ("=山田^*",)),)


def test_counts_are_returned_and_not_matched() -> None:
    query = parse(identifier("STUDY", ("NumberOfStudyRelatedInstances", "5")), patient_root=False)
    assert query.conditions == () and query.wanted == ["number_of_study_related_instances"]


def test_the_timezone_is_not_matched() -> None:
    asked = identifier("STUDY")
    asked.TimezoneOffsetFromUTC = "+0100"
    query = parse(asked, patient_root=False)
    assert query.conditions == () and query.unsupported == ()


# ------------------------------------------------------------------ sequences, combined date and time
def with_item(**keys: str) -> Query:
    item = Dataset()
    for keyword, value in keys.items():
        setattr(item, keyword, value)
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    asked.RequestAttributesSequence = [item]
    raw = DicomBytesIO()
    raw.is_little_endian, raw.is_implicit_VR = True, False
    write_dataset(raw, asked)
    return parse(read_dataset(io.BytesIO(raw.getvalue()), False, True), patient_root=False)


def test_a_sequence_key_asks_for_one_item_that_meets_all_of_its_keys() -> None:
    query = with_item(ScheduledProcedureStepID="S1", RequestedProcedureID="R*", StudyInstanceUID="")
    assert query.conditions == (AnyItem("request_attributes_sequence", (
        OneOf("scheduled_procedure_step_id", ("S1",)), Wildcard("requested_procedure_id", ("R*",)))),)
    (sequence,) = query.asked
    assert [each.tag for each in sequence.items] == [0x0020000D, 0x00400009, 0x00401001]
    assert query.unsupported == (0x0020000D,)


def test_an_empty_sequence_or_item_asks_for_anything() -> None:
    assert with_item().conditions == ()
    asked = identifier("SERIES")
    asked.RequestAttributesSequence = []
    assert parse(asked, patient_root=False).wanted == ["request_attributes_sequence"]
    asked.RequestAttributesSequence = [Dataset(), Dataset()]
    with pytest.raises(IdentifierInvalid, match="RequestAttributesSequence"):
        parse(asked, patient_root=False)


def test_date_and_time_are_one_moment_only_where_that_was_negotiated() -> None:
    keys = (("StudyDate", "20240101-20240103"), ("StudyTime", "1000-1200"))
    assert conditions("STUDY", *keys) == (DateRange("study_date", "20240101", "20240103"),
                                          TimeRange("study_time", "100000", "120059.999999"))
    assert conditions("STUDY", *keys, combined_datetime=True) == (
        MomentRange("study_date", "study_time", ("20240101", "100000"), ("20240103", "120059.999999")),)
    assert conditions("STUDY", keys[0], combined_datetime=True) == (
        DateRange("study_date", "20240101", "20240103"),)
