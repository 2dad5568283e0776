"""What a query asks, as plain data: the words between `dicom/matching.py` and the archive's search.

Attributes are snake_case DICOM keywords. A condition holds for an object whose attribute has at least one
value that fits (PS3.4 C.2.2.2); conditions in a sequence must all hold. An attribute that is asked for
without a value (universal matching) is no condition.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OneOf:
    """Single value matching, and list of UID matching: the value is one of these. Case matters."""

    attribute: str
    values: tuple[str | int, ...]


@dataclass(frozen=True)
class Wildcard:
    """`*` stands for any characters and none, `?` for one (PS3.4 C.2.2.2.4); one of the patterns fits.
    Case matters."""

    attribute: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Name:
    """A person's name by patterns as in `Wildcard`, where case and trailing delimiters do not matter.

    A pattern without ``=`` may fit any component group (alphabetic, ideographic, phonetic); one with ``=``
    is compared group by group, an empty group fits anything (PS3.5 6.2.1).
    """

    attribute: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class DateRange:
    """Both ends belong to the range, YYYYMMDD; None is no end (PS3.4 C.2.2.2.5)."""

    attribute: str
    first: str | None
    last: str | None


@dataclass(frozen=True)
class TimeRange:
    """Both ends belong to the range, HHMMSS or HHMMSS.FFFFFF; None is no end. They compare as text with
    stored times of at least seconds: a last second is written as HHMMSS.999999."""

    attribute: str
    first: str | None
    last: str | None


@dataclass(frozen=True)
class MomentRange:
    """A date and a time together as one moment, combined datetime matching (PS3.4 C.2.2.2.5.4)."""

    date: str
    time: str
    first: tuple[str, str] | None
    last: tuple[str, str] | None


@dataclass(frozen=True)
class AnyItem:
    """Sequence matching: one item of the sequence meets all of the conditions (PS3.4 C.2.2.2.6)."""

    sequence: str
    conditions: tuple[Condition, ...]


Condition = OneOf | Wildcard | Name | DateRange | TimeRange | MomentRange | AnyItem
