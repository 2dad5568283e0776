"""The folder of a migration job: what it was told, its ledger, and the lock of whoever works on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dicomnn.errors import ConfigurationError, UsageError
from dicomnn.flow.migration.ledger import Ledger

SETTINGS, LEDGER, LOCK = "job.json", "ledger.sqlite", "job.lock"
RETRIEVE = ("get", "move")


@dataclass(frozen=True)
class Settings:
    """What a job was told once. retrieve, ae_title, bind, listen: for a source that is a peer."""

    id: str
    source: str
    target: str
    retrieve: str = "get"
    ae_title: str = "DICOMNN"
    bind: str = "127.0.0.1"
    listen: int = 11113
    created: float = 0.0

    @property
    def archive(self) -> Path:
        """The folder of the archive that it fills."""
        kind, _, place = self.target.partition(":")
        if kind != "archive" or not place:
            raise UsageError(
                f"'{self.target}' is nothing to migrate to",
                cure="Write --to archive:FOLDER; a node that runs on the folder may go on running.",
            )
        return Path(place)

    def source_kind(self) -> tuple[str, str]:
        """('folder', path) or ('ae', address). Raises UsageError."""
        kind, _, place = self.source.partition(":")
        if kind not in ("folder", "ae") or not place:
            raise UsageError(
                f"'{self.source}' is nothing to migrate from",
                cure="Write --from folder:PATH or --from ae:TITLE@HOST:PORT.",
            )
        return kind, place


class Job:
    """An open job. Use it as a context manager."""

    def __init__(self, folder: Path, settings: Settings, ledger: Ledger) -> None:
        self.folder, self.settings, self.ledger = folder, settings, ledger

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Only one process works on a job. Raises UsageError when another one does."""
        with open(self.folder / LOCK, "a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"another process works on {self.folder} just now",
                    cure="See dicomnn migrate status; wait for it, or end it.",
                ) from error
            yield


def open_job(folder: Path, *, make: bool = False, **told: Any) -> Job:
    """The job in a folder; what is ``told`` (settings by name, None: as before) makes or completes it.

    Raises UsageError when there is none, or when it was begun with another source or target.
    """
    given = {name: value for name, value in told.items() if value is not None}
    for name in ("source", "target"):
        if name in given:
            given[name] = _absolute(given[name])
    path = folder / SETTINGS
    if path.exists():
        settings = _read(path)
        for name in ("source", "target"):
            if name in given and given[name] != getattr(settings, name):
                raise UsageError(
                    f"this job is {'from' if name == 'source' else 'to'} {getattr(settings, name)},"
                    f" not {given[name]}",
                    cure="Name another --job folder for another migration.",
                )
        changed = replace(settings, **given)
    else:
        if not make:
            raise UsageError(
                f"there is no migration job in '{folder}'",
                cure="Begin with dicomnn migrate plan --job FOLDER --from ... --to ...",
            )
        if "source" not in given or "target" not in given:
            raise UsageError("a new job needs --from and --to")
        settings = None
        changed = Settings(id=secrets.token_hex(4), created=time.time(), **given)
    _ = changed.archive, changed.source_kind()  # both are checked before anything is written
    if changed.retrieve not in RETRIEVE:
        raise UsageError(f"'{changed.retrieve}' is no way to retrieve", cure="Use --retrieve get or move.")
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / LEDGER, make=True)
    if changed != settings:
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(changed), indent=1) + "\n", "utf-8")
        os.replace(temporary, path)
    return Job(folder, changed, ledger)


def _absolute(endpoint: str) -> str:
    kind, mark, place = endpoint.partition(":")
    return (
        f"{kind}:{Path(place).absolute()}" if kind in ("folder", "archive") and mark and place else endpoint
    )


def _read(path: Path) -> Settings:
    try:
        return Settings(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigurationError(f"cannot be read: {error}", subject=str(path)) from error
