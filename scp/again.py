"""Coding again on request: the node's workers do it while a node runs; without one this process has its own.

Nothing here is needed for the result to be right. Who dies, whenever, leaves wishes in the index; the next
node, or the next call, goes on with them.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnn.archive import Archive, Instance, State, Status
from dicomnn.archive.index import RECODE_FAILED
from dicomnn.errors import DicomnnError
from scp import heartbeat
from scp.pool import WorkerPool, WorkerSettings

POLL_SECONDS = 0.25
OWN_BACK_OFF = 1.0          # before a second try; somebody sits in front of it


@dataclass(frozen=True)
class Progress:
    """Since the run began. todo: instances still to do; before, after: bytes of what was made smaller."""

    todo: int
    recoded: int
    left: int
    before: int
    after: int
    by_node: bool


def node_works(folder: Path) -> bool:
    """Whether a node with workers runs on the archive in ``folder``."""
    beat = heartbeat.read(folder)
    return beat is not None and bool(beat["workers"])


class Run:
    """Watches until nothing that somebody asked for is left, and works where no node does."""

    def __init__(self, archive: Archive, settings: WorkerSettings, jobs: int) -> None:
        self.archive = archive
        self.jobs = jobs
        place = replace(settings.place, back_off=min(settings.place.back_off, OWN_BACK_OFF))
        self.settings = replace(settings, place=place, arrivals=False, night=None, reports=False)
        self.folder = Path(settings.place.folder)
        self.started = time.time()
        self._first = archive.status()
        self._pool: WorkerPool | None = None

    def progress(self) -> Generator[Progress, None, None]:
        """As it is now, four times a second; the last one has nothing to do. Leave it at any time."""
        try:
            while True:
                progress = self._look()
                yield progress
                if progress.todo == 0:
                    return
                self._staff(progress.by_node)
                self._release()
                time.sleep(POLL_SECONDS)
        finally:
            self._staff(by_node=True)
            self._release()

    def _look(self) -> Progress:
        now, first = self.archive.status(), self._first
        return Progress(
            now.recode_asked, now.recoded - first.recoded, now.recode_kept - first.recode_kept,
            _difference(first, now, "recode_bytes_before"), _difference(first, now, "recode_bytes_after"),
            node_works(self.folder))

    def _staff(self, by_node: bool) -> None:
        """Workers of our own, exactly while no node has any."""
        if by_node and self._pool is not None:
            self._pool.stop()
            self._pool = None
        elif not by_node and self._pool is None:
            self._pool = WorkerPool(self.settings, self.jobs)
            self._pool.start()

    def _release(self) -> None:
        """The objects whose place was taken go; the node does that too, and both at once do no harm."""
        with suppress(DicomnnError):       # tried again in a moment, and by whoever comes next
            while self.archive.release_due():
                pass

    def failures(self) -> Iterator[Instance]:
        """What was given up since the run began."""
        for instance in self.archive.index.instances(state=State.CODED, reason=RECODE_FAILED):
            if instance.changed_at >= self.started:
                yield instance


def _difference(first: Status, now: Status, name: str) -> int:
    return int(getattr(now, name)) - int(getattr(first, name))
