"""The store: objects under random names, put durably, never changed, deleted by the release queue.

Two kinds implement it: ``local.py`` (a folder, with fsync and rename) and ``remote.py`` (any fsspec
file system). Nothing outside those two knows where an object lies.

Names are 32 hexadecimal digits from the operating system's random source: never from a UID, an AE
title or a file name, and never used twice. Beside the objects a store holds two small kinds of
things: models (named by their id, immutable) and logs (append-only, for ``journal.py``).
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from dicomnn.errors import DuplicateConflict, StoreFailed

Hook = Callable[[str], None]
"""Called with the name of each point a put passes; a test raises or kills there."""

PUT_POINTS = ("store.created", "store.written", "store.file-synced", "store.renamed", "store.folder-synced")

_NAME = re.compile(r"[0-9a-f]{32}")
_FIXED = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_OBJECTS_PER_SHARD = 256


def nothing_happens(point: str) -> None:
    """The hook in use when nobody gave one."""


def checked_name(name: str) -> str:
    """``name`` if it is an object name; `StoreFailed` otherwise (so no path can be smuggled in)."""
    if not _NAME.fullmatch(name):
        raise StoreFailed(f"{name[:80]!r} is not an object name (32 hexadecimal digits).")
    return name


def checked_fixed(name: str) -> str:
    """``name`` if it can be the name of a model or log."""
    if not _FIXED.fullmatch(name):
        raise StoreFailed(f"{name[:80]!r} is not a possible model id or log name.")
    return name


def sharded(name: str) -> str:
    """'abcd...' -> 'ab/cd/abcd...': at most 65536 folders, each of moderate size."""
    checked_name(name)
    return f"{name[:2]}/{name[2:4]}/{name}"


class NameSource:
    """Random object names; the shard (first four digits) is drawn anew every 256 names.

    So objects that arrive together share a folder and the sync of it, while over time all shards
    fill evenly; 112 random bits remain in each name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shard = ""
        self._left = 0

    def next(self) -> str:
        with self._lock:
            if self._left == 0:
                self._shard, self._left = secrets.token_hex(2), _OBJECTS_PER_SHARD
            self._left -= 1
            return self._shard + secrets.token_hex(14)


@dataclass(frozen=True)
class Entry:
    """One object as listed. size: bytes. modified: seconds since 1970, UTC."""

    name: str
    size: int
    modified: float


class Incoming(ABC):
    """An object on its way in: invisible until `commit` returns its name.

    Fill it by `write`, or let somebody else fill the file `path` (an mmap writer, a network
    library); then it is hashed from the file when committed. A context manager: leaving without
    `commit` aborts.
    """

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; number of bytes. `StoreFull` or `StoreFailed`: abort it and tell the sender."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes so far."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of all bytes so far (after `commit`: of the object)."""

    @abstractmethod
    def sha256_from(self, offset: int) -> str:
        """Hexadecimal SHA-256 of the bytes from ``offset`` on, for instance of the data set alone."""

    @property
    @abstractmethod
    def path(self) -> Path | None:
        """The file itself, for readers by mmap and for writers other than `write`."""

    @abstractmethod
    def commit(self) -> str:
        """Make it durable; its name. From here on it survives a power cut, but only what the
        index names is part of the archive."""

    @abstractmethod
    def abort(self) -> None:
        """Forget it. Harmless after `commit` and when called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.abort()


class Log(ABC):
    """An append-only file of lines."""

    @abstractmethod
    def append(self, data: bytes) -> None:
        """Durable on return. After an error the log must not be appended to again."""

    @abstractmethod
    def close(self) -> None: ...


class Store(ABC):
    """Objects by name. Thread-safe; several processes may use one store; open it after a fork."""

    url: str

    # ---------------------------------------------------------------- objects
    @abstractmethod
    def create(self) -> Incoming: ...

    @abstractmethod
    def adopt(self, path: Path) -> Incoming:
        """Take over a file that somebody else wrote completely (moved when it lies in the store's
        own file system, else copied); ``path`` is gone afterwards."""

    @property
    @abstractmethod
    def scratch(self) -> Path:
        """A folder of this process for temporary files, best where `adopt` can move from; swept
        after the process has died."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Seekable, read only. `ObjectMissing` when it is gone."""

    @abstractmethod
    def local_path(self, name: str) -> Path | None:
        """The object's own file, None for a store that has none. It may go at any time: see `pin`."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes. `ObjectMissing` when it is gone."""

    @abstractmethod
    def delete(self, *names: str) -> None:
        """Durable on return; names that are gone already are no error. Only the release queue and
        a receiver whose object was refused call this."""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every object in ascending order of names. For checks and rebuilding, never in operation."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Space left, None when the store cannot tell."""

    def default_index_url(self) -> str | None:
        """Where an index beside the objects would be, None when there is no such place."""
        return None

    @contextlib.contextmanager
    def pin(self, name: str) -> Iterator[Path]:
        """A local file with the object's bytes that stays until the block is left, whatever happens
        to the object meanwhile. `ObjectMissing` when it is gone."""
        with self.open(name) as source, tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".pin") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            yield Path(copy.name)

    # ---------------------------------------------------------------- models
    def put_model(self, model_id: str, data: bytes) -> None:
        """Keep a copy of a model, durable on return. Same id and bytes again: nothing happens.
        Same id, other bytes: `DuplicateConflict`, because a model never changes."""
        checked_fixed(model_id)
        present = self._get_model(model_id)
        if present is None:
            self._put_model(model_id, data)
        elif present != data:
            raise DuplicateConflict("other bytes are stored under this id.", subject=f"model {model_id}",
                                    cure="Compare both model files; the id is the digest of the right one.")

    def get_model(self, model_id: str) -> bytes | None:
        """Its bytes, None when the store has no such model."""
        return self._get_model(checked_fixed(model_id))

    @abstractmethod
    def models(self) -> list[str]:
        """All ids, sorted."""

    @abstractmethod
    def _put_model(self, model_id: str, data: bytes) -> None: ...

    @abstractmethod
    def _get_model(self, model_id: str) -> bytes | None: ...

    # ---------------------------------------------------------------- logs
    @abstractmethod
    def open_log(self, name: str) -> Log:
        """A new log; the name must be new."""

    @abstractmethod
    def logs(self) -> list[str]:
        """All names, sorted."""

    @abstractmethod
    def read_log(self, name: str) -> Iterable[bytes]:
        """Its lines in order, without line ends; the last may be torn."""

    @abstractmethod
    def close(self) -> None:
        """Give back this process's scratch folder and handles. Unfinished incoming objects are lost."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_store(url: str | Path, *, hook: Hook | None = None, stale_after: float = 24 * 3600.0) -> Store:
    """The store at a folder path or ``file://`` URL (local), or any other fsspec URL.

    stale_after: temporary files of processes that died longer ago than this (seconds) are removed.
    """
    text = str(url)
    if isinstance(url, Path) or "://" not in text or text.startswith("file://"):
        from dicomnn.archive.local import LocalStore

        return LocalStore(Path(text.removeprefix("file://")), hook=hook, stale_after=stale_after)
    from dicomnn.archive.remote import FsspecStore

    return FsspecStore(text, hook=hook)
