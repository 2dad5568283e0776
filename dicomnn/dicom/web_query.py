"""The parameters of a QIDO-RS request -> the same typed query as that of a C-FIND (PS3.18 8.3.4, 10.6).

What this level cannot match or return is no error but said: `Parameters.ignored` becomes a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword

from dicomnn.conditions import Condition
from dicomnn.dicom.matching import ANSWERED, Asked, Query, condition_of
from dicomnn.dicom.query_keys import BY_ATTRIBUTE, KEYS, Key, Level
from dicomnn.errors import IdentifierInvalid

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_PATH = re.compile(r"[0-9A-Za-z.]{1,200}")
_RETURNED = {
    Level.STUDY: """study_date study_time accession_number modalities_in_study referring_physician_name
        patient_name patient_id patient_birth_date patient_sex study_instance_uid study_id
        number_of_study_related_series number_of_study_related_instances""",
    Level.SERIES: """modality series_description series_instance_uid series_number
        number_of_series_related_instances performed_procedure_step_start_date
        performed_procedure_step_start_time request_attributes_sequence""",
    Level.IMAGE: """sop_class_uid sop_instance_uid instance_number number_of_frames rows columns
        bits_allocated""",
}
"""Returned whether asked for or not (PS3.18 tables 10.6.3-3 to -5)."""


@dataclass(frozen=True)
class Parameters:
    """A request, read. `limit` None: as many as there are. `ignored`: parameters that mean nothing here."""

    query: Query
    limit: int | None
    offset: int
    fuzzy: bool
    ignored: tuple[str, ...]


def parse_parameters(level: Level, parameters: Iterable[tuple[str, str]],
                     fixed: Iterable[tuple[str, str]] = ()) -> Parameters:
    """``parameters``: names and values of the query part, decoded; ``fixed``: what the path says, likewise.

    Answers to a question below a level that the path does not fix carry that level's attributes too.

    Raises
    ------
    IdentifierInvalid
        A value that no query can have; the message names its key.
    """
    fixed = list(fixed)
    asked: dict[int, Asked] = {}
    for upper in sorted(_RETURNED):
        unfixed = upper < level and _unique(upper) not in dict(fixed)
        if upper == level or unfixed:
            for name in _RETURNED[upper].split():
                _ask(asked, BY_ATTRIBUTE[name])
    for upper in (Level.STUDY, Level.SERIES):
        if upper <= level:
            _ask(asked, KEYS[int(tag_for_keyword(_unique(upper)) or 0)])
    limit, offset, fuzzy = None, 0, False
    conditions: list[Condition] = []
    ignored: list[str] = []
    for name, value in [*fixed, *parameters]:
        folded = name.lower()
        if folded == "limit":
            limit = _number(name, value)
        elif folded == "offset":
            offset = _number(name, value)
        elif folded == "fuzzymatching":
            fuzzy = _flag(name, value)
        elif folded == "includefield":
            for part in value.split(","):
                if not _include(asked, level, part.strip()):
                    ignored.append(part.strip()[:64])
        elif (key := _key(name)) is None or key.level > level or key.returned_only or key.vr == "SQ":
            ignored.append(name[:64])
        else:
            _ask(asked, key)
            condition = condition_of(key, _texts(key, value))
            if condition is not None:
                conditions.append(condition)
    query = Query(level, tuple(conditions), tuple(asked[tag] for tag in sorted(asked)))
    return Parameters(query, limit, offset, fuzzy, tuple(ignored))


def _unique(level: Level) -> str:
    return {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID",
            Level.IMAGE: "SOPInstanceUID"}[level]


def _ask(asked: dict[int, Asked], key: Key) -> None:
    asked.setdefault(key.tag, Asked(key.tag, key.vr, key))


def _key(name: str) -> Key | None:
    """By tag or keyword; of a path into a sequence there is none yet."""
    if not _PATH.fullmatch(name):
        return None
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name)
    return None if tag is None else KEYS.get(int(tag))


def _include(asked: dict[int, Asked], level: Level, name: str) -> bool:
    """Whether it is known; what no object of this level has is silently not there."""
    if name.lower() == "all":
        for key in KEYS.values():
            if key.level <= level:
                _ask(asked, key)
        return True
    named = _key(name)
    if named is not None and named.level <= level:
        _ask(asked, named)
        return True
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name) or 0
    return not name or int(tag) in ANSWERED


def _texts(key: Key, value: str) -> list[str]:
    """UIDs may be listed with commas (PS3.18 8.3.4.1) or backslashes; other values have backslashes alone."""
    separators = r"[\\,]" if key.vr == "UI" else r"\\"
    return [text for text in (part.strip() for part in re.split(separators, value)) if text]


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value.strip()):
        raise IdentifierInvalid(f"{name} must be a whole number, 0 or more")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise IdentifierInvalid(f"{name} must be true or false")
    return value.lower() == "true"
