"""What stored text is compared by: names folded, dates and times in one form, both sides alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")            # also the form of ACR-NEMA, 2004.01.19
_TIME = re.compile(r"(\d\d)(?:(:?)(\d\d)(?:\2(\d\d)(\.\d{1,6})?)?)?")
ESCAPE = "~"


def folded(text: str) -> str:
    """Text for comparison without case; compatibility forms (half width katakana) are one."""
    return unicodedata.normalize("NFKC", text).casefold()


def name_groups(text: str) -> list[str]:
    """The component groups of one person's name (PS3.5 6.2.1), folded, without trailing delimiters."""
    return [folded("^".join(part.strip() for part in group.split("^"))).rstrip("^ ")
            for group in text.split("=")[:3]]


def date_key(value: Any) -> str | None:
    """YYYYMMDD, None for what is no date."""
    found = _DATE.fullmatch(str(value or "").split("\\")[0].strip())
    return found[1] + found[3] + found[4] if found else None


def time_key(value: Any) -> str | None:
    """HHMMSS with the fraction that is there, None for what is no time; what is left out is 00."""
    found = _TIME.fullmatch(str(value or "").split("\\")[0].strip())
    return f"{found[1]}{found[3] or '00'}{found[4] or '00'}{found[5] or ''}" if found else None


def patient_key(attributes: Mapping[str, Any]) -> str:
    """What makes two objects those of one patient: the Patient ID; without one, the name.

    A backslash, which no Patient ID can hold, keeps the two apart."""
    identity = str(attributes.get("patient_id") or "")
    if identity:
        return identity
    return "\\" + "=".join(name_groups(str(attributes.get("patient_name") or "")))


def like(pattern: str, *, fold: bool = False) -> str:
    """A LIKE pattern, with `ESCAPE`, of one with `*` and `?`; everything else stands for itself."""
    parts = []
    for part in re.split(r"([*?])", pattern):
        if part in ("*", "?"):
            parts.append("%" if part == "*" else "_")
        else:
            part = folded(part) if fold else part
            parts.append(re.sub(f"[%_{ESCAPE}]", lambda found: ESCAPE + found[0], part))
    return "".join(parts)
