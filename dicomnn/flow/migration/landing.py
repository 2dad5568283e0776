"""Where what a source sends goes: into an archive with a row in the ledger, or into files."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from dicomnn.errors import DicomnnError, IndexFailed, StoreFailed, StoreFull
from dicomnn.flow.ingest import Arrival, Command, IdentityMismatch, Ingest
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.source import Sink
from dicomnn.flow.migration.throttle import Throttle
from dicomnn.flow.part10 import file_prefix

OWN_TROUBLE = (StoreFull, StoreFailed, IndexFailed)
"""The archive's, not the instance's: the job stops and goes on later."""


@dataclass
class _Landing:
    """One data set on its way into the archive."""

    item: str
    arrival: Arrival
    failed: Callable[[DicomnnError], None]

    def write(self, data: bytes) -> None:
        try:
            self.arrival.write(data)
        except OWN_TROUBLE as error:
            self.failed(error)
            raise

    def abort(self) -> None:
        self.arrival.abort()


class ArchiveLanding:
    """See `Landing`. trouble: why the archive takes nothing more, None while it does."""

    def __init__(self, ingest: Ingest, ledger: Ledger, throttle: Throttle, *, job: str) -> None:
        self._ingest, self._ledger, self._throttle = ingest, ledger, throttle
        self.trouble: DicomnnError | None = None
        self.source = f"migrate:{job}"
        self._owner = self.source
        self._association: str | None = None
        self.count = self.bytes = 0

    # A study is not stable, and gets no report, while some of it is still on its way.
    def begin(self, peer: str) -> None:
        """What comes until `end` belongs together."""
        self._association = self._ingest.archive.index.association_opened(calling_ae=peer, owner=self._owner)

    def end(self) -> None:
        token, self._association = self._association, None
        if token is not None:
            self._ingest.archive.index.association_closed(token)

    def forget(self) -> None:
        """What an earlier run of this job, which was killed, has left open."""
        self._ingest.archive.index.forget_associations(self._owner)

    def _failed(self, error: DicomnnError) -> None:
        self.trouble = self.trouble or error

    def open(self, command: Command, prefix: bytes = b"", item: str = "") -> Sink:
        command = replace(command, source=self.source, association=self._association)
        try:
            arrival = self._ingest.open(command, prefix)
        except OWN_TROUBLE as error:
            self._failed(error)
            raise
        return _Landing(item or command.sop_instance_uid, arrival, self._failed)

    def finish(self, sink: Sink) -> None:
        assert isinstance(sink, _Landing)
        arrival, command = sink.arrival, sink.arrival.command
        try:
            outcome = self._ingest.finish(arrival)
        except OWN_TROUBLE as error:
            self._failed(error)
            raise
        except IdentityMismatch as error:
            # It belongs to the row of what it says it is.
            detail = f"sent under the SOP Instance UID {command.sop_instance_uid}: {error.message}"
            self._ledger.refused(error.data_set_uid or sink.item, error.code, detail, lasting=True)
            raise
        except DicomnnError as error:
            self._ledger.refused(sink.item, error.code, error.message, lasting=True)
            raise
        finally:
            arrival.abort()  # harmless after a commit
        self._ledger.arrived(
            sink.item,
            uid=command.sop_instance_uid,
            sop_class=command.sop_class_uid,
            study=outcome.study_instance_uid,
            syntax=command.transfer_syntax_uid,
            size=arrival.size,
            digest=arrival.digest,
            kind=outcome.kind,
            note=outcome.note or ("mismatch" if outcome.mismatch else ""),
        )
        self.count += 1
        self.bytes += arrival.size
        self._throttle.spent(arrival.size)

    def refuse(self, item: str, reason: str, detail: str, *, lasting: bool) -> None:
        self._ledger.refused(item, reason, detail, lasting=lasting)


@dataclass
class Landed:
    """One data set as a file."""

    uid: str
    path: Path
    size: int
    sha256: str


class _FileSink:
    def __init__(self, command: Command, temporary: Path) -> None:
        self.command, self.temporary = command, temporary
        self.file: BinaryIO = open(temporary, "xb")  # noqa: SIM115 - closed by abort or finish
        self.hasher = hashlib.sha256()
        self.size = 0
        self.file.write(
            file_prefix(command.sop_class_uid, command.sop_instance_uid, command.transfer_syntax_uid)
        )

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.hasher.update(data)
        self.size += len(data)

    def abort(self) -> None:
        self.file.close()
        with suppress(FileNotFoundError):
            self.temporary.unlink()


class FileLanding:
    """See `Landing`: Part 10 files, one for each instance, with the data set's bytes as they came. A name
    that is taken gets a number; nothing is overwritten."""

    def __init__(self, folder: Path, told: Callable[[Landed], None] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.files: list[Landed] = []
        self.refused: list[tuple[str, str]] = []
        self._told = told
        self._lock = threading.Lock()

    def open(self, command: Command, prefix: bytes = b"", item: str = "") -> Sink:
        return _FileSink(command, self.folder / f".{secrets.token_hex(8)}.part")

    def finish(self, sink: Sink) -> None:
        assert isinstance(sink, _FileSink)
        sink.file.close()
        uid = sink.command.sop_instance_uid
        with self._lock:
            number = 1
            path = self.folder / f"{uid}.dcm"
            while path.exists():
                number += 1
                path = self.folder / f"{uid}.{number}.dcm"
            os.rename(sink.temporary, path)
            landed = Landed(uid, path, sink.size, sink.hasher.hexdigest())
            self.files.append(landed)
        if self._told is not None:
            self._told(landed)

    def refuse(self, item: str, reason: str, detail: str, *, lasting: bool) -> None:
        self.refused.append((item, f"{reason}: {detail}"))
