"""The transfer itself: series after series from the source into the landing until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dicomnn.errors import PeerError
from dicomnn.flow.migration.landing import ArchiveLanding
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.source import Source, SourceAway, Stopped, Wanted
from dicomnn.flow.migration.throttle import Throttle

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Moment:
    """Where a run is. todo: rows that wait; count, bytes: what arrived in this run; waits_for: '' or why it
    rests just now."""

    todo: int
    count: int
    bytes: int
    seconds: float
    waits_for: str = ""

    @property
    def rate(self) -> float:
        """Instances a second in this run."""
        return self.count / max(self.seconds, 1e-3)

    @property
    def seconds_left(self) -> float | None:
        return self.todo / self.rate if self.count else None


class Transfer:
    """One run. patience: how long a source may be away, in seconds. tell: hears where it is."""

    def __init__(
        self,
        ledger: Ledger,
        source: Source,
        landing: ArchiveLanding,
        throttle: Throttle,
        *,
        patience: float = 300.0,
        tell: Callable[[Moment], None] = lambda _moment: None,
    ) -> None:
        self._ledger, self._source, self._landing, self._throttle = ledger, source, landing, throttle
        self._patience, self._tell = patience, tell
        self._begun = time.monotonic()

    def run(self) -> None:
        """Returns when every row has an end. Raises Stopped, SourceAway (for too long), and the archive's own
        trouble (StoreFull, StoreFailed, IndexFailed): the same call goes on later."""
        self._landing.forget()
        while wanted := self._ledger.next_wanted():
            self._series(wanted)
        for study in self._ledger.short_studies():
            if not study["asked_whole"]:
                self._ledger.asked_whole(study["study_uid"])
                self._series(Wanted(study["study_uid"], "", (), ()))

    def _series(self, wanted: Wanted) -> None:
        away_since, pause = time.monotonic(), FIRST_PAUSE
        while True:
            self._throttle.window()
            if self._throttle.stop.is_set():
                raise Stopped
            self._say()
            said, lost = "", False
            try:
                said = self._fetch(wanted)
            except SourceAway:
                if self._landing.trouble is None and time.monotonic() - away_since < self._patience:
                    self._throttle.waits_for = "the source, which cannot be reached"
                    self._say()
                    self._throttle.stop.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                raise
            except PeerError as error:
                said, lost = error.message, True
            finally:
                self._throttle.waits_for = ""
            if self._landing.trouble is not None:
                raise self._landing.trouble
            left = self._ledger.still_todo(wanted.items)
            # Lost on the way: the next request is for the rest; only one that brought nothing counts.
            if left and (wanted.singly or not lost or len(left) == len(wanted.items)):
                self._ledger.not_brought(left, said)
            self._say()
            return

    def _fetch(self, wanted: Wanted) -> str:
        self._landing.begin(self._source.name)
        try:
            return self._source.fetch(wanted, self._landing)
        finally:
            self._landing.end()

    def _say(self) -> None:
        self._tell(
            Moment(
                self._ledger.counts()["todo"],
                self._landing.count,
                self._landing.bytes,
                time.monotonic() - self._begun,
                self._throttle.waits_for,
            )
        )
