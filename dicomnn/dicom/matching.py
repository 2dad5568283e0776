"""A query's identifier -> typed conditions (PS3.4 C.2.2.2, C.4.1.1.3).

Lenient where clients are known to be: unique keys of upper levels may be missing (relational behaviour for
everybody), ``*`` alone asks for anything whatever the VR, several values mean any of them. What cannot
be meant is refused and named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

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
from dicomnn.dicom.character_sets import decoded_text, python_encodings
from dicomnn.dicom.query_keys import KEYS, Key, Level
from dicomnn.errors import IdentifierInvalid

CHARACTER_SET, LEVEL = 0x00080005, 0x00080052
RETRIEVE_AE_TITLE, AVAILABILITY, TIMEZONE = 0x00080054, 0x00080056, 0x00080201
ANSWERED = (CHARACTER_SET, LEVEL, RETRIEVE_AE_TITLE, AVAILABILITY, TIMEZONE)
"""Not matched in any query, and answered in each (TIMEZONE: only where it is known)."""

_WILD = frozenset("AE CS LO LT PN SH ST UC UR UT".split())
_WHOLE = frozenset("IS US SS UL SL".split())
_DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")
_TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{1,6}))?)?)?")
_MOMENTS = (("study_date", "study_time"), ("series_date", "series_time"), ("content_date", "content_time"),
            ("acquisition_date", "acquisition_time"),
            ("performed_procedure_step_start_date", "performed_procedure_step_start_time"),
            ("patient_birth_date", "patient_birth_time"))


@dataclass(frozen=True)
class Asked:
    """One element of the request as the answer has it: `items` are those of a sequence key's item."""

    tag: int
    vr: str
    key: Key | None
    items: tuple[Asked, ...] = ()


@dataclass(frozen=True)
class Query:
    """What is asked: rows of `level` that meet all `conditions`, with `asked` in each answer.

    `unsupported`: tags that are answered empty, because this level does not have them.
    """

    level: Level
    conditions: tuple[Condition, ...]
    asked: tuple[Asked, ...]
    unsupported: tuple[int, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """Attributes that answers need."""
        return [each.key.attribute for each in self.asked if each.key is not None]


@dataclass
class _Reading:
    """An identifier, or an item of one, being read."""

    dataset: Dataset
    encodings: list[str]
    level: Level
    conditions: list[Condition] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    unsupported: list[int] = field(default_factory=list)


def parse(identifier: Dataset, *, patient_root: bool, combined_datetime: bool = False) -> Query:
    """The query of a C-FIND identifier in the Patient Root or the Study Root model.

    Raises
    ------
    IdentifierInvalid
        No such level in this model, or a value that no query can have; the message names the key.
    """
    level = _level(identifier, patient_root)
    reading = _Reading(identifier, _encodings(identifier, ["iso8859"]), level)
    for element in _elements(identifier):
        tag = int(element.tag)
        if tag & 0xFFFF == 0 or tag in (CHARACTER_SET, LEVEL):
            continue
        key = KEYS.get(tag)
        if key is not None and key.level <= level:
            _read(reading, element, key)
        else:
            reading.asked.append(Asked(tag, _vr(element), None))
            if tag not in ANSWERED:
                reading.unsupported.append(tag)
    conditions = reading.conditions
    if combined_datetime:
        conditions = _combined(conditions)
    return Query(level, tuple(conditions), tuple(reading.asked), tuple(reading.unsupported))


def _level(identifier: Dataset, patient_root: bool) -> Level:
    element = identifier.get_item(LEVEL)
    name = "" if element is None else _text(element, ["ascii"]).strip()
    if name not in Level.__members__:
        raise IdentifierInvalid(f"'{name[:16]}' is no Query/Retrieve Level")
    if name == "PATIENT" and not patient_root:
        raise IdentifierInvalid("the Study Root model has no PATIENT level")
    return Level[name]


# ------------------------------------------------------------------ elements as text
def _elements(dataset: Dataset) -> Iterator[DataElement | RawDataElement]:
    for tag in sorted(dataset.keys()):
        element = dataset.get_item(tag)
        if element is not None:
            yield element


def _vr(element: DataElement | RawDataElement) -> str:
    if element.VR not in (None, "UN"):
        return str(element.VR)
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return "UN"


def _encodings(dataset: Dataset, around: list[str]) -> list[str]:
    element = dataset.get_item(CHARACTER_SET)
    named = "" if element is None else _text(element, ["ascii"])
    return python_encodings(named.split("\\")) if named.strip("\\ ") else around


def _text(element: DataElement | RawDataElement, encodings: Sequence[str]) -> str:
    """All values of an element with backslashes between them, without padding."""
    value = element.value
    if isinstance(value, bytes):
        text = decoded_text(value, encodings)
    elif value is None:
        text = ""
    elif isinstance(value, str) or not isinstance(value, Sequence):
        text = str(value)
    else:
        text = "\\".join(map(str, value))
    return text.strip(" \0")


# ------------------------------------------------------------------ one key
def _read(reading: _Reading, element: DataElement | RawDataElement, key: Key) -> None:
    if key.vr == "SQ":
        _sequence(reading, element, key)
        return
    reading.asked.append(Asked(key.tag, key.vr, key))
    if not key.returned_only:
        texts = [text.strip(" \0") for text in _values(reading, element, key)]
        condition = condition_of(key, [text for text in texts if text])
        if condition is not None:
            reading.conditions.append(condition)


def _values(reading: _Reading, element: DataElement | RawDataElement, key: Key) -> list[str]:
    if key.vr in ("US", "SS", "UL", "SL") and isinstance(element.value, bytes):
        value = reading.dataset[key.tag].value
        return [str(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
    return _text(element, reading.encodings).split("\\")


def _sequence(reading: _Reading, element: DataElement | RawDataElement, key: Key) -> None:
    """Sequence matching: one item at most, and one item of the object meets all of its keys."""
    try:
        items = list(reading.dataset[key.tag].value or ())
    except Exception as error:  # pydicom raises many types on bad input
        raise IdentifierInvalid(f"the sequence {key.keyword} cannot be read") from error
    if len(items) > 1:
        raise IdentifierInvalid(f"{key.keyword} has {len(items)} items, a query has one")
    inner = _Reading(items[0] if items else Dataset(), reading.encodings, reading.level)
    inner.encodings = _encodings(inner.dataset, reading.encodings)
    known = {item.tag: item for item in key.items}
    for part in _elements(inner.dataset):
        tag = int(part.tag)
        if tag in known:
            _read(inner, part, known[tag])
        elif tag & 0xFFFF and tag != CHARACTER_SET:
            inner.asked.append(Asked(tag, _vr(part), None))
            reading.unsupported.append(tag)
    reading.asked.append(Asked(key.tag, "SQ", key, tuple(inner.asked)))
    if inner.conditions:
        reading.conditions.append(AnyItem(key.attribute, tuple(inner.conditions)))


def condition_of(key: Key, texts: Sequence[str]) -> Condition | None:
    """The condition of one key's values, None for universal matching. Raises IdentifierInvalid."""
    if not texts or any(set(text) == {"*"} for text in texts):
        return None
    if key.vr == "DA":
        return DateRange(key.attribute, *_range(key, texts, _date, _date))
    if key.vr == "TM":
        return TimeRange(key.attribute, *_range(key, texts, _first_time, _last_time))
    if key.vr == "PN":
        return Name(key.attribute, tuple(texts))
    if key.vr in _WHOLE:
        return OneOf(key.attribute, tuple(_whole(key, text) for text in texts))
    wild = any(character in text for text in texts for character in "*?")
    if wild and key.vr not in _WILD:
        raise IdentifierInvalid(f"{key.keyword} takes no wildcards")
    return Wildcard(key.attribute, tuple(texts)) if wild else OneOf(key.attribute, tuple(texts))


def _whole(key: Key, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise IdentifierInvalid(f"{key.keyword} must be a whole number") from error


# ------------------------------------------------------------------ ranges (PS3.4 C.2.2.2.5)
def _range(key: Key, texts: Sequence[str], first: Callable[[Key, str], str],
           last: Callable[[Key, str], str]) -> tuple[str | None, str | None]:
    if len(texts) > 1:
        raise IdentifierInvalid(f"{key.keyword} must be one value or a range")
    text = texts[0]
    begin, dash, end = text.partition("-")
    begin, end = begin.strip(), end.strip()
    if not dash:
        end = begin
    if not begin and not end:
        raise IdentifierInvalid(f"{key.keyword} is a range without ends")
    return (first(key, begin) if begin else None), (last(key, end) if end else None)


def _date(key: Key, text: str) -> str:
    found = _DATE.fullmatch(text)
    if found is None:
        raise IdentifierInvalid(f"{key.keyword} must be YYYYMMDD or a range of such")
    return found[1] + found[3] + found[4]


def _time(key: Key, text: str, rest: str, fraction: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None:
        raise IdentifierInvalid(f"{key.keyword} must be HHMMSS.FFFFFF, shorter, or a range of such")
    whole = found[1] + (found[3] or rest) + (found[4] or rest)
    given = found[5] or ""
    return whole + ("." + given + fraction * (6 - len(given)) if fraction or given else "")


def _first_time(key: Key, text: str) -> str:
    return _time(key, text, "00", "")


def _last_time(key: Key, text: str) -> str:
    """A time of hours or minutes means all of it: 1015 ends at 101559.999999."""
    return _time(key, text, "59", "9")


def _combined(conditions: Sequence[Condition]) -> list[Condition]:
    """Ranges of a date and its time become one range of moments (negotiated, PS3.4 C.5.1.1)."""
    result = list(conditions)
    for date, time in _MOMENTS:
        day = next((c for c in result if isinstance(c, DateRange) and c.attribute == date), None)
        clock = next((c for c in result if isinstance(c, TimeRange) and c.attribute == time), None)
        if day is None or clock is None:
            continue
        first = None if day.first is None else (day.first, clock.first or "000000")
        last = None if day.last is None else (day.last, clock.last or "235959.999999")
        result.remove(clock)
        result[result.index(day)] = MomentRange(date, time, first, last)
    return result
