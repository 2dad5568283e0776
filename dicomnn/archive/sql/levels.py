"""Which attributes are kept at which level, and the columns that are made of them for search.

A patient, study or series holds the attributes of its objects: the first value that came for each. They
are kept as they came (``attributes``); where comparing needs another form, that is in ``search``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from dicomnn.archive.sql.keys import date_key, name_groups, patient_key, time_key


class Kind(Enum):
    """How an attribute is stored and compared. TEXTS and NAMES may have several values."""

    TEXT = "text"
    TEXTS = "texts"
    NAMES = "names"
    DATE = "date"
    TIME = "time"
    NUMBER = "number"
    ITEMS = "items"
    COMPUTED = "computed"


LEVELS = ("patient", "study", "series", "instance")

_TEXT = {
    "patient": "patient_id issuer_of_patient_id patient_sex ethnic_group patient_comments",
    "study": "study_instance_uid accession_number study_id study_description patient_age patient_size "
             "patient_weight occupation additional_patient_history timezone_offset_from_utc",
    "series": "series_instance_uid modality series_description body_part_examined laterality protocol_name "
              "manufacturer manufacturer_model_name station_name institution_name "
              "institutional_department_name performed_procedure_step_id "
              "performed_procedure_step_description",
    "instance": "sop_instance_uid sop_class_uid image_comments content_label content_description "
                "completion_flag verification_flag",
}
_TEXTS = {"patient": "other_patient_ids", "study": "admitting_diagnoses_description", "series": "",
          "instance": "image_type"}
_NAMES = {"patient": "patient_name other_patient_names",
          "study": "referring_physician_name name_of_physicians_reading_study",
          "series": "performing_physician_name operators_name", "instance": ""}
_DATE = {"patient": "patient_birth_date", "study": "study_date",
         "series": "series_date performed_procedure_step_start_date",
         "instance": "acquisition_date content_date"}
_TIME = {"patient": "patient_birth_time", "study": "study_time",
         "series": "series_time performed_procedure_step_start_time",
         "instance": "acquisition_time content_time"}
_NUMBER = {"patient": "", "study": "", "series": "series_number",
           "instance": "instance_number acquisition_number number_of_frames rows columns bits_allocated"}
_ITEMS = {"patient": "", "study": "procedure_code_sequence", "series": "request_attributes_sequence",
          "instance": "concept_name_code_sequence"}
_COMPUTED = {
    "patient": "number_of_patient_related_studies number_of_patient_related_series "
               "number_of_patient_related_instances",
    "study": "modalities_in_study sop_classes_in_study number_of_study_related_series "
             "number_of_study_related_instances",
    "series": "number_of_series_related_instances", "instance": "",
}
_TABLES = ((Kind.TEXT, _TEXT), (Kind.TEXTS, _TEXTS), (Kind.NAMES, _NAMES), (Kind.DATE, _DATE),
           (Kind.TIME, _TIME), (Kind.NUMBER, _NUMBER), (Kind.ITEMS, _ITEMS), (Kind.COMPUTED, _COMPUTED))

ATTRIBUTES: dict[str, dict[str, Kind]] = {
    level: {name: kind for kind, table in _TABLES for name in table[level].split()} for level in LEVELS}
"""level -> attribute -> how it is kept."""

LEVEL_OF: dict[str, str] = {name: level for level, names in ATTRIBUTES.items() for name in names}

# Read with the attributes of each level, because texts of that level are written in it.
CHARACTER_SET = "specific_character_set"


def own_attributes(level: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``attributes`` (as they came) that a row of this level keeps."""
    kept = {name: attributes[name] for name, kind in ATTRIBUTES[level].items()
            if kind is not Kind.COMPUTED and attributes.get(name) is not None}
    if kept and attributes.get(CHARACTER_SET) is not None:
        kept[CHARACTER_SET] = attributes[CHARACTER_SET]
    return kept


def search_values(level: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared instead of the value itself: lists of values, of folded names; dates and times that
    came in another form."""
    search: dict[str, Any] = {}
    for name, kind in ATTRIBUTES[level].items():
        value = attributes.get(name)
        if value is None:
            continue
        if kind is Kind.TEXTS:
            search[name] = [part.strip() for part in str(value).split("\\")]
        elif kind is Kind.NAMES:
            search[name] = [group for part in str(value).split("\\") for group in name_groups(part) if group]
        elif kind in (Kind.DATE, Kind.TIME):
            key = (date_key if kind is Kind.DATE else time_key)(value)
            if key != value:
                search[name] = key or ""
    return search


def patient_columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a patient's row beside its keys and counts."""
    groups = name_groups(str(attributes.get("patient_name") or "").split("\\")[0])
    names = {f"name_{number + 1}": groups[number] if number < len(groups) and groups[number] else None
             for number in range(3)}
    return {**names, "patient_id": attributes.get("patient_id"),
            "birth_date": date_key(attributes.get("patient_birth_date")),
            "attributes": dict(attributes), "search": search_values("patient", attributes)}


def study_columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a study's row that the search reads."""
    return {"date_key": date_key(attributes.get("study_date")),
            "time_key": time_key(attributes.get("study_time")),
            "accession_number": attributes.get("accession_number"),
            "study_description": attributes.get("study_description"),
            "study_date": attributes.get("study_date"), "study_time": attributes.get("study_time"),
            "attributes": dict(attributes), "search": search_values("study", attributes)}


def series_columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a series' row that the search reads."""
    number = attributes.get("series_number")
    return {"modality": attributes.get("modality"),
            "series_number": number if isinstance(number, int) and abs(number) < 1 << 63 else None,
            "series_description": attributes.get("series_description"),
            "attributes": dict(attributes), "search": search_values("series", attributes)}


def instance_columns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of an instance's row that come from its attributes alone, beside the attributes."""
    modality, number = attributes.get("modality"), attributes.get("instance_number")
    return {"modality": None if modality is None else str(modality),
            "instance_number": number if isinstance(number, int) and abs(number) < 1 << 63 else None,
            "patient_key": patient_key(attributes),
            "search": search_values("instance", attributes) or None}
