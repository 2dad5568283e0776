"""How figures, dates and states read on a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from dicomnn.dicom.caps import ROWS
from dicomnn.report.loss import FIGURES as NAMES
from dicomnn.report.loss import UNITS
from dicomnn.report.reading import date, grouped, number, person, size

STATES = {
    "received": "waiting to be compressed",
    "coding": "being compressed",
    "coded": "compressed",
    "kept": "kept as received",
    "deleted": "deleted",
}
PROFILES = {
    "lossless": "Lossless: every value comes back exactly",
    "keep": "Keep: stored as it is, nothing is compressed",
    "bounded:1": "Lossy, bounded by 1: no value changes by more than 1",
    "bounded:2": "Lossy, bounded by 2: no value changes by more than 2",
    "bounded:4": "Lossy, bounded by 4: no value changes by more than 4",
}


@dataclass(frozen=True)
class Promise:
    """A figure that a lossy profile can promise, for the forms."""

    words: str
    usual: str
    step: str


FIGURES = {
    "ratio": Promise("Ratio, of the stored bits (5 : 1)", "5", "0.5"),
    "psnr": Promise("PSNR of all values, in dB", "50", "1"),
    "ssim": Promise("SSIM of 8 bits in the image's window", "0.98", "0.005"),
}
EFFORTS = {"fast": "fast", "default": "default", "max": "max: smallest, slowest"}


def clock(seconds: float | None) -> str:
    """A moment, local time."""
    return "–" if not seconds else datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def ratio(value: float | None) -> str:
    return "–" if not value else f"{value:.2f} : 1"


def saved(study: Any) -> str:
    """Bytes saved; a study that grew says so."""
    difference = study.bytes_before - study.bytes_after
    return size(difference) if difference >= 0 else f"−{size(-difference)}"


def span(seconds: float | None) -> str:
    """A duration."""
    if seconds is None:
        return "–"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def query(**values: str) -> str:
    return urlencode({key: value for key, value in values.items() if value})


def caps(table: str) -> list[tuple[str, str, str]]:
    """(kind of image, highest ratio, whose guideline) for reading."""
    rows = [(row.region, *row.under(table)) for row in ROWS.values()]
    return [(region, number(ratio), guideline) for region, ratio, guideline in rows]


def chosen(told: Mapping[str, Any], otherwise: str = "") -> str:
    """The profile of a form: 'lossy' has its figure and value in fields of their own."""
    name = str(told.get("profile") or otherwise)
    return f"lossy:{told.get('figure') or ''}={told.get('value') or ''}" if name == "lossy" else name


def profile(text: str) -> str:
    """'lossless', 'bounded:N' or 'lossy:FIGURE=VALUE' in plain words."""
    if text in PROFILES:
        return PROFILES[text]
    if text.startswith("bounded:"):
        return f"Lossy, bounded by {text.removeprefix('bounded:')}"
    if text.startswith("lossy:"):
        figure, _, value = text.removeprefix("lossy:").partition("=")
        return f"Lossy, {NAMES.get(figure, figure)} at least {value}{UNITS.get(figure, '')}"
    return text


FILTERS: dict[str, Callable[..., Any]] = {
    "size": size,
    "person": person,
    "date": date,
    "grouped": grouped,
    "number": number,
    "clock": clock,
    "ratio": ratio,
    "saved": saved,
    "span": span,
    "profile_words": profile,
    "state_words": lambda state: STATES.get(state, state),
}
