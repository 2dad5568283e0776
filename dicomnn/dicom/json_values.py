"""Values in the DICOM JSON Model (PS3.18 annex F): Unicode text, numbers, names by groups."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ONE_VALUE = frozenset("LT ST UT UR".split())     # a backslash is a character there (PS3.5 6.2)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

Json = dict[str, Any]


def text_element(vr: str, text: str) -> Json:
    """One element of a text VR from its value with backslashes, as it is stored."""
    return element(vr, [text] if vr in _ONE_VALUE else text.split("\\"))


def element(vr: str, values: Sequence[Any]) -> Json:
    """One element from values: text or numbers. Without any, ``Value`` is absent (PS3.18 F.2.5)."""
    converted = [_value(vr, value) for value in values]
    if all(value is None for value in converted):
        return {"vr": vr}
    return {"vr": vr, "Value": converted}


def _value(vr: str, value: Any) -> Any:
    """None for an empty one (PS3.18 F.2.5)."""
    if isinstance(value, str):
        text = value.rstrip(" \0") if vr in _ONE_VALUE else value.strip(" \0")
        if not text:
            return None
        if vr == "PN":
            return person_name(text)
        if vr in ("DS", "IS"):
            return number(text)
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def number(text: str) -> int | float | str:
    """A DS or IS as a number; as it stands where it is none (both are allowed, PS3.18 F.2.3)."""
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    if not math.isfinite(value):
        return text
    return int(text) if re.fullmatch(r"[+-]?\d{1,15}", text) else value


def person_name(text: str) -> Json:
    """The component groups that are there."""
    groups = zip(_GROUPS, text.split("="), strict=False)
    return {name: group.strip() for name, group in groups if group.strip()}
