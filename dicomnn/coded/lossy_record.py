"""What a lossy profile promised for an object, what was reached, and why it was not applied where it was not.

The same names stand in the object's manifest, in the index and in the report (docs/report.md, "`lossy` of an
instance").
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from dicomnn.codec.profile import Profile
from dicomnn.dicom.caps import Cap

KEPT, ESCALATED, REFUSED = "kept", "escalated", "refused"


@dataclass(frozen=True)
class LossyRecord:
    """docs/report.md has the meaning of each field. None: does not apply, or is not known."""

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
    def of(cls, profile: Profile, cap: Cap | None, asked_by: str) -> LossyRecord:
        """What is known before anything was coded."""
        found = cls(profile.promise, profile.figure, profile.value, KEPT, str(profile), asked_by)
        if cap is None:
            return found
        return found.with_(cap=cap.ratio, caps=cap.table, region=cap.region, guideline=cap.guideline)

    def with_(self, **changes: Any) -> LossyRecord:
        """A copy with other values; figures are cut to seven digits, which is what they are good for."""
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name, value in changes.items():
            known[name] = float(f"{value:.7g}") if isinstance(value, float) else value
        return LossyRecord(**known)

    def not_applied(self, outcome: str, applied: str, reason: str, text: str) -> LossyRecord:
        """The same where another profile than the lossy one was applied."""
        return self.with_(outcome=outcome, applied=applied, reason=reason, reason_text=text)

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is None or empty is left out."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, "")}
