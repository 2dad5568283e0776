"""What a lossy profile promised, what was reached, and why it was not applied where it was not: typed, and in
words. docs/report.md, "`lossy` of an instance", has the meaning of each field."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

UNITS = {"ratio": ":1", "psnr": " dB", "ssim": ""}
FIGURES = {"ratio": "ratio", "psnr": "PSNR", "ssim": "SSIM in the window"}


@dataclass(frozen=True)
class Loss:
    """None: does not apply, or is not known. `outcome`: 'kept', 'escalated' or 'refused'."""

    promise: str
    kind: str
    value: float
    outcome: str
    applied: str
    asked_by: str = ""
    reason: str = ""
    reason_text: str = ""
    reached_worst: float | None = None
    reached_mean: float | None = None
    worst_frame: int | None = None
    window_low: float | None = None
    window_high: float | None = None
    window_center: float | None = None
    window_width: float | None = None
    window_source: str = ""
    ratio_bits_stored: float | None = None
    ratio_bytes: float | None = None
    highest_ratio: float | None = None
    cap: float | None = None
    caps: str = ""
    region: str = ""
    guideline: str = ""
    lossless_bytes: int | None = None
    worst_frame_bytes: int | None = None
    jpeg2000_bytes: int | None = None
    noise_before: float | None = None
    noise_after: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Loss | None:
        """From plain data with these names; keys that this version does not know are left out, None where the
        first five are not there."""
        if not all(name in data for name in ("promise", "kind", "value", "outcome", "applied")):
            return None
        return cls(**{key: data[key] for key in cls.__dataclass_fields__ if key in data})

    def to_json(self) -> dict[str, Any]:
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def figure(self, value: float | None) -> str:
        """A value of the promised figure for reading; exact frames have 150 dB, which nobody reads."""
        if value is None:
            return "–"
        if self.kind == "psnr" and value >= 150:
            return "no difference"
        return f"{value:.4f}" if self.kind == "ssim" else f"{value:.2f}{UNITS.get(self.kind, '')}"

    def promised(self) -> str:
        """'ratio at least 8:1'."""
        return f"{FIGURES.get(self.kind, self.kind)} at least {self.value:g}{UNITS.get(self.kind, '')}"

    def window(self) -> str:
        """The window of the figure in words, '' where it has none."""
        if self.window_center is None or self.window_width is None:
            return ""
        source = "of the object" if self.window_source == "object" else "made from the values"
        return f"center {self.window_center:g}, width {self.window_width:g}, {source}"

    def against_jpeg2000(self) -> str:
        """'JPEG 2000: 84820 bytes, 1.08 times ours', '' where that is not known."""
        if not self.jpeg2000_bytes or not self.worst_frame_bytes:
            return ""
        return f"{self.jpeg2000_bytes} bytes, {self.jpeg2000_bytes / self.worst_frame_bytes:.2f} times ours"

    def noise(self) -> str:
        """Share of the noise power that is left."""
        if not self.noise_before or self.noise_after is None:
            return ""
        return f"{100 * self.noise_after / self.noise_before:.0f} % left"


def summed(rows: Iterable[Loss | None]) -> dict[str, Any]:
    """Counts by outcome, and the highest ratio of any frame; all plain JSON values."""
    asked = [row for row in rows if row is not None]
    counts = {outcome: sum(row.outcome == outcome for row in asked)
              for outcome in ("kept", "escalated", "refused")}
    ratios = [row.highest_ratio for row in asked if row.highest_ratio is not None and row.outcome == "kept"]
    return {"asked": len(asked), **counts, "highest_ratio": max(ratios, default=None)}


def sentences(totals: Mapping[str, Any]) -> list[str]:
    """What a reader must know of a study, from what `summed` gave."""
    said = []
    if totals.get("kept"):
        ratio = totals.get("highest_ratio")
        # Rounded up: "no frame above 5:1" would not be true of 5.014.
        highest = math.ceil(round(100 * ratio, 6)) / 100 if ratio else 0
        most = f", no frame above {highest:g}:1 of the bits stored" if ratio else ""
        one = totals["kept"] == 1
        keep = "image keeps" if one else "images keep"
        said.append(f"Lossy: {totals['kept']} {keep} a promised figure on every frame{most}; "
                    f"{'it' if one else 'each'} has a UID of its own and is marked as lossy. "
                    "Values have changed.")
    if totals.get("escalated"):
        said.append(f"For {totals['escalated']} a lossy profile could not keep its promise or gained "
                    "nothing; a milder one was applied.")
    if totals.get("refused"):
        said.append(f"For {totals['refused']} a lossy profile was asked for and refused; no value was lost.")
    return said
