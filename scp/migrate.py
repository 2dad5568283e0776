"""The verbs of a migration job, put together: source, ledger, archive, and workers where no node has any."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dicomnn.flow.ingest import Ingest
from dicomnn.flow.migration.folder import FolderSource
from dicomnn.flow.migration.forecast import forecast
from dicomnn.flow.migration.job import Job
from dicomnn.flow.migration.landing import ArchiveLanding
from dicomnn.flow.migration.source import Source, Stopped
from dicomnn.flow.migration.summary import details, missing, write_csv
from dicomnn.flow.migration.throttle import Rate, Throttle, Window
from dicomnn.flow.migration.transfer import Moment, Transfer
from dicomnn.flow.migration.verify import recount, verify
from dicomnn.flow.opening import Archive, open_archive
from dicomnn.report.migration import page
from scp.again import node_works
from scp.client.address import parse_address
from scp.client.association import Caller
from scp.client.source import AeSource
from scp.config import Config
from scp.dimse.accept import Limits
from scp.pool import WorkerPool
from scp.settings import place_of, policy_of, worker_settings

POLL_SECONDS = 0.5
LISTED_AT_A_TIME = 200
Tell = Callable[[str, int, int, str], None]
"""(what, done, total (0: unknown), more)."""


def silent(_what: str, _done: int, _total: int, _more: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Manner:
    """How a run works; not kept with the job. timeout: seconds without a sign of life. set_aside:
    try again what was set aside."""

    windows: tuple[Window, ...] = ()
    rate: Rate | None = None
    jobs: int = 1
    code: bool = True
    patience: float = 300.0
    timeout: float = 60.0
    set_aside: bool = False


class Migration:
    """One job at work. ``stop`` (an event) ends what runs at the next instance; use as a context manager."""

    def __init__(self, job: Job, config: Config, manner: Manner, tell: Tell = silent) -> None:
        self.job, self.ledger, self.manner, self.tell = job, job.ledger, manner, tell
        self.config = config.with_("archive", path=str(job.settings.archive))
        self.stop = threading.Event()
        self.throttle = Throttle(manner.windows, manner.rate, stop=self.stop)
        self._source: Source | None = None

    def __enter__(self) -> Migration:
        return self

    def __exit__(self, *_: object) -> None:
        if self._source is not None:
            self._source.close()

    @property
    def source(self) -> Source:
        if self._source is None:
            kind, place = self.job.settings.source_kind()
            if kind == "folder":
                self._source = FolderSource(Path(place), self.throttle)
            else:
                settings, seconds = self.job.settings, self.manner.timeout
                limits = Limits(
                    acse_timeout=min(30.0, seconds), dimse_timeout=seconds, network_timeout=seconds
                )
                self._source = AeSource(
                    Caller(parse_address(place), settings.ae_title, limits),
                    self.ledger,
                    self.throttle,
                    listen=(settings.bind, settings.listen) if settings.retrieve == "move" else None,
                )
        return self._source

    # ------------------------------------------------------------------ plan
    def inventory(self, *, afresh: bool = False) -> int:
        """What the source has, into the ledger; how many instances are new there. An interrupted one goes on.

        Raises SourceAway, PeerError, UsageError; Stopped.
        """
        if afresh:
            self.ledger.forget_questions()
        self.ledger.put("inventory", "interrupted")
        new = self._studies() if self.source.by_study else self._files()
        self.ledger.put("inventory", "complete")
        return new

    def _files(self) -> int:
        new = seen = 0
        part = []
        for item in self.source.items():
            if self.stop.is_set():
                raise Stopped
            part.append(item)
            if len(part) == LISTED_AT_A_TIME:
                new += self.ledger.items_found(part)
                part = []
            seen += 1
            self.tell("inventory", seen, 0, "files")
        return new + self.ledger.items_found(part)

    def _studies(self) -> int:
        seen: set[str] = set()
        for study in self.source.studies(lambda question: self.tell("inventory", len(seen), 0, question)):
            seen.add(study.study_uid)
            self.ledger.study_found(study)
        new, todo = 0, self.ledger.unlisted()
        for number, uid in enumerate(todo):
            self.throttle.window()
            self.tell("listing", number, len(todo), "studies")
            new += self.ledger.study_listed(uid, self.source.listing(uid))
        return new

    def forecast(self, *, sample: int, seed: int) -> dict[str, Any]:
        """Fetch and code a sample; the figures stay with the job."""
        found = forecast(
            self.ledger,
            self.source,
            self.job.folder,
            sample=sample,
            seed=seed,
            jobs=self.manner.jobs,
            effort=self.config.coding.effort,
            profile=self.config.coding.profile,
            tell=lambda what, done, total: self.tell(what, done, total, ""),
        )
        self.ledger.put("forecast", found)
        return found

    # ------------------------------------------------------------------ run
    def run(self) -> bool:
        """Bring in what is left; False: there was nothing to do. Raises what `Transfer.run` raises, and
        `Stopped`."""
        if self.ledger.get("inventory") != "complete":
            self.inventory()
        self.ledger.try_again(set_aside=self.manner.set_aside)
        with open_archive(place_of(self.config)) as archive:
            ours = self.manner.code and not node_works(self.config.folder)
            fetch = self.ledger.next_wanted() is not None or bool(self.ledger.short_studies())
            status = archive.status()
            if not fetch and not (ours and status.backlog + status.coding):
                return False
            with self._workers() if ours else contextlib.nullcontext():
                if fetch:
                    self._transfer(archive)
                if ours:
                    self._coded(archive)
        return True

    def _transfer(self, archive: Archive) -> None:
        # What comes under another UID than its own is for somebody to look at, not to be found under that.
        policy = replace(policy_of(self.config), keep_mismatched=False)
        landing = ArchiveLanding(Ingest(archive, policy), self.ledger, self.throttle,
                                 job=self.job.settings.id)
        moments = _Moments(self)
        try:
            Transfer(self.ledger, self.source, landing, self.throttle, patience=self.manner.patience,
                     tell=moments.tell).run()
        finally:
            moments.end()

    @contextlib.contextmanager
    def _workers(self) -> Iterator[None]:
        """Workers of our own, for where no running node has some."""
        pool = WorkerPool(
            replace(worker_settings(self.config), log_level="error", reports=False), self.manner.jobs
        )
        pool.start()
        try:
            yield
        finally:
            pool.stop()

    def _coded(self, archive: Archive) -> None:
        """Wait until nothing is left to be coded."""
        whole = 0
        while not self.stop.is_set():
            status = archive.status()
            left = status.backlog + status.coding
            whole = max(whole, left)
            while archive.release_due():
                pass
            self.tell("coding", whole - left, whole, "")
            if not left:
                return
            self.stop.wait(POLL_SECONDS)
        raise Stopped

    # ------------------------------------------------------------------ verify and report
    def verify(self) -> dict[str, int]:
        """Read everything back, and ask the source again what it has; verdict -> how many."""
        place = place_of(self.config)
        found = verify(
            self.ledger,
            place,
            jobs=self.manner.jobs,
            tell=lambda done, total: self.tell("reading back", done, total, ""),
        )
        if self.source.by_study:
            recount(self.ledger, [study["study_uid"] for study in self.ledger.studies()], self.source.recount)
        else:
            self._files()
        self.ledger.put("verify", {"at": time.time(), **found})
        return found

    def report(self, folder: Path) -> tuple[Path, Path]:
        """Write report.html and report.csv into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        found = details(self.job)
        html, table = folder / "report.html", folder / "report.csv"
        temporary = folder / ".report.html.part"
        temporary.write_text(page(found, missing(found)), "utf-8")
        os.replace(temporary, html)
        write_csv(self.ledger, table)
        return html, table


class _Moments:
    """Tells where a run is: to the terminal each time, to the ledger (for `status`) every other second."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self._last: Moment | None = None
        self._written = 0.0
        self._started = time.time()

    def tell(self, moment: Moment) -> None:
        self._last = moment
        more = f"{moment.rate:.1f} a second" if moment.count else ""
        if moment.waits_for:
            more = f"waits for {moment.waits_for}"
        self._migration.tell("transfer", moment.count, moment.count + moment.todo, more)
        if time.monotonic() - self._written > 2.0:
            self._write(True)

    def _write(self, running: bool) -> None:
        moment = self._last
        if moment is None:
            return
        self._written = time.monotonic()
        self._migration.ledger.put(
            "run",
            {
                "pid": os.getpid(),
                "running": running,
                "started": self._started,
                "at": time.time(),
                "count": moment.count,
                "bytes": moment.bytes,
                "per_second": round(moment.rate, 2),
                "seconds_left": moment.seconds_left,
                "waits_for": moment.waits_for,
            },
        )

    def end(self) -> None:
        self._write(False)
