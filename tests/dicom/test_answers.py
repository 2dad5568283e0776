"""Answers to queries: the keys that were asked for, in the character sets of what is stored."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicomnn.dicom.answers import answer
from dicomnn.dicom.matching import parse


def answered(row: dict[str, Any], *, explicit: bool = True, level: str = "SERIES", **keys: Any) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    raw = answer(parse(asked, patient_root=True), row, explicit=explicit, retrieve_ae_title="NODE",
                 availability="NEARLINE")
    return read_dataset(io.BytesIO(raw), not explicit, True)


@pytest.mark.parametrize("explicit", [True, False])
def test_an_answer_has_the_keys_that_were_asked_for_and_where_to_fetch(explicit: bool) -> None:
    row = {"patient_name": "A^B", "series_number": 7, "series_instance_uid": "1.2.3", "modality": "CT",
           "number_of_series_related_instances": 70000, "modalities_in_study": ["CT", "MR"],
           "timezone_offset_from_utc": "+0100"}
    found = answered(row, explicit=explicit, PatientName="", SeriesNumber="", SeriesInstanceUID="",
                     NumberOfSeriesRelatedInstances="", ModalitiesInStudy="", StudyDate="", Rows=None)
    assert [element.keyword for element in found] == [
        "StudyDate", "QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "ModalitiesInStudy",
        "PatientName", "SeriesInstanceUID", "SeriesNumber", "NumberOfSeriesRelatedInstances", "Rows"]
    assert (found.PatientName, found.SeriesNumber, found.SeriesInstanceUID) == ("A^B", 7, "1.2.3")
    assert found.NumberOfSeriesRelatedInstances == 70000 and found.ModalitiesInStudy == ["CT", "MR"]
    assert (found.RetrieveAETitle, found.InstanceAvailability) == ("NODE", "NEARLINE")
    assert found["StudyDate"].is_empty and found["Rows"].is_empty, "unknown and unsupported: empty"
    assert answered(row, TimezoneOffsetFromUTC="").TimezoneOffsetFromUTC == "+0100"
    assert "TimezoneOffsetFromUTC" not in answered({}, TimezoneOffsetFromUTC="")


@pytest.mark.parametrize(("stored", "name", "told"), [
    ("ISO_IR 100", "Jérôme^X", "ISO_IR 100"),
    ("ISO_IR 144", "Люк", "ISO_IR 144"),
    ("ISO_IR 192", "山田", "ISO_IR 192"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
    ("GB18030", "Wang^XiaoDong=王^小东", "GB18030"),
    ("ISO_IR 100", "山田", "ISO_IR 192"),
    ("", "Jérôme", "ISO_IR 192"),
    ("NO SUCH SET", "plain", None),
    ("ISO_IR 100", "plain", "ISO_IR 100"),
    ("", "plain", None),
])
@pytest.mark.parametrize("explicit", [True, False])
def test_texts_leave_in_the_character_set_that_they_came_in(
        explicit: bool, stored: str, name: str, told: object) -> None:
    found = answered({"patient_name": name, "specific_character_set": stored}, explicit=explicit,
                     PatientName="")
    assert found.get("SpecificCharacterSet") == told
    assert str(found.PatientName) == name


def test_bytes_that_nobody_could_read_are_question_marks() -> None:
    found = answered({"patient_name": "M\ufffdller"}, PatientName="")
    assert (found.PatientName, found.get("SpecificCharacterSet")) == ("M?ller", None)


def test_wrong_values_are_given_as_they_are() -> None:
    row = {"study_date": "no date", "patient_weight": "heavy", "series_number": None, "modality": "X" * 70000}
    raw = answer(parse(_asked("StudyDate", "PatientWeight", "SeriesNumber", "Modality"), patient_root=True),
                 row, explicit=True, retrieve_ae_title="N", availability="ONLINE")
    assert b"no date " in raw and b"heavy " in raw
    assert read_dataset(io.BytesIO(raw), False, True)["Modality"].value.startswith("XXX")


def _asked(*keywords: str) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "SERIES"
    for keyword in keywords:
        setattr(asked, keyword, "")
    return asked


def test_items_are_given_whole_or_by_the_keys_of_the_requested_item() -> None:
    row = {"request_attributes_sequence": [
        {"scheduled_procedure_step_id": "S1", "requested_procedure_id": "R1"},
        {"scheduled_procedure_step_id": "S2"}]}
    whole = answered(row, RequestAttributesSequence=[]).RequestAttributesSequence
    assert [sorted(item.dir()) for item in whole] == [
        ["RequestedProcedureID", "ScheduledProcedureStepID"], ["ScheduledProcedureStepID"]]
    item = Dataset()
    item.RequestedProcedureID, item.PatientID = "", ""
    some = answered(row, RequestAttributesSequence=[item]).RequestAttributesSequence
    assert [one.get("RequestedProcedureID") or "" for one in some] == ["R1", ""]
    assert all(one["PatientID"].is_empty and "ScheduledProcedureStepID" not in one for one in some)


def test_an_answer_is_what_pydicom_would_write_for_plain_values() -> None:
    found = answered({"patient_id": "P1", "study_instance_uid": "1.2.3"}, level="STUDY", PatientID="",
                     StudyInstanceUID="")
    buffer = io.BytesIO()
    write_dataset(_writer(buffer), found)
    asked = _asked("PatientID", "StudyInstanceUID")
    asked.QueryRetrieveLevel = "STUDY"
    raw = answer(parse(asked, patient_root=True), {"patient_id": "P1", "study_instance_uid": "1.2.3"},
                 explicit=True, retrieve_ae_title="NODE", availability="NEARLINE")
    assert buffer.getvalue() == raw


def _writer(buffer: io.BytesIO) -> Any:
    from pydicom.filebase import DicomIO

    writer = DicomIO(buffer)
    writer.is_little_endian, writer.is_implicit_VR = True, False
    return writer
