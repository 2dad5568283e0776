"""Which coded objects are worth another try: less effort than is wanted, or an older model. And when.

The nightly rule is plain data that travels to the workers; `Night` is a worker's view of it. What the
archive asks (`dicomnn.archive.Lift`) knows no order of efforts or models: it is told here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dicomnn.archive import Lift
from dicomnn.codec.profile import EFFORTS
from dicomnn.errors import UnknownModel, UsageError

if TYPE_CHECKING:
    from dicomnn.flow.opening import Archive
    from dicomnn.shelf import Shelf

MODELS = ("newest", "any")
UNKNOWN = ""
"""Effort of an object that does not say with what it was coded, and model of one that had none at hand."""
AT_ONCE = 8                     # asked for by one worker of the night; what is left over waits for the next
NOTHING_SECONDS = 600.0         # after none was found, until the next look


def lower(effort: str) -> tuple[str, ...]:
    """The efforts that are less than ``effort``. Raises UsageError."""
    if effort not in EFFORTS:
        raise UsageError(f"'{effort}' is no effort; the efforts are {', '.join(EFFORTS)}")
    return (UNKNOWN, *EFFORTS[:EFFORTS.index(effort)])


def higher(one: str, other: str) -> str:
    """The greater of two efforts; one that is not known here is less than any."""
    return max(one, other, key=lambda effort: EFFORTS.index(effort) if effort in EFFORTS else -1)


def older(shelf: Shelf) -> tuple[str, ...]:
    """The models that were released before the newest; none at hand is older than any."""
    try:
        newest = shelf.newest().id
    except UnknownModel:
        return ()
    return (UNKNOWN, *(model for model in shelf.ids() if model != newest))


def lift_to(shelf: Shelf, effort: str, *, model: str = "newest", study: str | None = None,
            modality: str | None = None, received_before: float | None = None,
            failed: bool = False) -> Lift:
    """What is below ``effort``, or (``model`` 'newest') was coded with an older model. Raises UsageError."""
    if model not in MODELS:
        raise UsageError(f"'{model}' is no choice of model; it may be {' or '.join(MODELS)}")
    return Lift(effort, lower(effort), older(shelf) if model == "newest" else (), study, modality,
                received_before, failed)


# ------------------------------------------------------------------ the night
@dataclass(frozen=True)
class Window:
    """Hours of the day, local time, in minutes since midnight; it may reach over midnight."""

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """'22:00-05:00'; '00:00-24:00' is always. Raises UsageError."""
        found = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", text)
        if found is None:
            raise UsageError(f"'{text}' is no span of hours like 22:00-05:00")
        hours = [int(found[1]), int(found[3])]
        minutes = [int(found[2]), int(found[4])]
        start, end = (60 * hour + minute for hour, minute in zip(hours, minutes, strict=True))
        if max(minutes) > 59 or start >= 24 * 60 or end > 24 * 60:
            raise UsageError(f"'{text}' names an hour that no day has")
        if start == end:
            raise UsageError(f"'{text}' begins when it ends; 00:00-24:00 is the whole day")
        return cls(start, end)

    def night(self, at: datetime) -> str | None:
        """The day on which the span that ``at`` lies in began, None outside of it."""
        minute = 60 * at.hour + at.minute
        if self.start < self.end:
            return at.date().isoformat() if self.start <= minute < self.end else None
        if minute >= self.start:
            return at.date().isoformat()
        return (at.date() - timedelta(days=1)).isoformat() if minute < self.end else None


@dataclass(frozen=True)
class NightRule:
    """What the configuration says in [recode]; see there."""

    effort: str
    model: str = "newest"
    between: str = "22:00-05:00"
    after_days: float = 1.0
    limit_per_night: int = 0


class Night:
    """A worker's nights. ``now`` gives local time; tests set it."""

    def __init__(self, archive: Archive, rule: NightRule,
                 now: Callable[[], datetime] = datetime.now) -> None:
        self.archive = archive
        self.rule = rule
        self._window = Window.parse(rule.between)
        self._now = now
        self._not_before: datetime | None = None

    def open(self) -> bool:
        """Whether what the rule wants may be done now."""
        return self._window.night(self._now()) is not None

    def ask(self) -> int:
        """Let a few more instances become due; how many. None for a while after none was found."""
        now = self._now()
        night = self._window.night(now)
        if night is None or (self._not_before is not None and now < self._not_before):
            return 0
        rule = self.rule
        lift = lift_to(self.archive.shelf, rule.effort, model=rule.model,
                       received_before=now.timestamp() - rule.after_days * 86400.0)
        found = self.archive.index.ask_tonight(lift, AT_ONCE, night=night, per_night=rule.limit_per_night)
        self._not_before = None if found else now + timedelta(seconds=NOTHING_SECONDS)
        return found
