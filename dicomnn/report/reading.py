"""Figures, sizes, dates and names as people read them."""

from __future__ import annotations

import math


def size(count: int) -> str:
    """Bytes in decimal units with three figures."""
    value, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    if unit == "bytes":
        return f"{count} bytes"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def ratio_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} : 1"


def number(value: float | None, digits: int = 2) -> str:
    """A figure with at most ``digits`` decimals; infinity and the unknown have signs of their own."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    if value and abs(value) < 10 ** -digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


def date(text: str) -> str:
    """A DICOM date (DA) for reading; anything else as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def grouped(count: int) -> str:
    """Digits in groups of three."""
    return f"{count:,}".replace(",", "\u202f")


def person(name: str) -> str:
    """A person name (PN) for reading: its first component group, family name first."""
    group = name.split("=")[0]
    parts = [" ".join(part.replace("^", " ").split()) for part in group.split("^", 1)]
    return ", ".join(part for part in parts if part) or name
