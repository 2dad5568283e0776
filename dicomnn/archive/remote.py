"""A store on any fsspec file system (S3, memory, ...): put whole, checked by size, no rename.

An object store has no rename and needs none: a put is seen whole or not at all, and the name is
random and named by nobody until the index commits. An object is staged in a local scratch folder
first, because readers by mmap and coders need a file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from dicomnn.archive.local import LocalIncoming, LocalStore
from dicomnn.archive.store import (
    Entry,
    Hook,
    Incoming,
    Log,
    NameSource,
    Store,
    checked_fixed,
    nothing_happens,
    sharded,
)
from dicomnn.errors import DicomnnError, ObjectMissing, StoreFailed, StoreFull


@contextlib.contextmanager
def _told_as_store_error(doing: str, subject: str, *, reading: bool = False) -> Iterator[None]:
    try:
        yield
    except DicomnnError:
        raise
    except FileNotFoundError as error:
        kind = ObjectMissing if reading else StoreFailed
        raise kind(f"{doing}: not in the store.", subject=subject) from error
    except Exception as error:  # each fsspec back end raises its own types (botocore, aiohttp, ...)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (StoreFull if full else StoreFailed)(f"{doing}: {error}.", subject=subject) from error


class _StagedIncoming(Incoming):
    """Staged as a local file; `commit` uploads it."""

    def __init__(self, store: FsspecStore, staged: LocalIncoming) -> None:
        self._store, self._staged = store, staged
        self._name: str | None = None
        self._known: tuple[str, int] | None = None
        try:
            store.hook("store.created")
        except BaseException:
            self.abort()
            raise

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self._staged.write(data)

    @property
    def size(self) -> int:
        return self._known[1] if self._known else self._staged.size

    @property
    def sha256(self) -> str:
        return self._known[0] if self._known else self._staged.sha256

    def sha256_from(self, offset: int) -> str:
        if self._name is None:
            return self._staged.sha256_from(offset)
        hasher = hashlib.sha256()
        with self._store.open(self._name) as source:
            source.seek(offset)
            while chunk := source.read(1 << 20):
                hasher.update(chunk)
        return hasher.hexdigest()

    @property
    def path(self) -> Path | None:
        return self._staged.path if self._name is None else None

    def commit(self) -> str:
        if self._name is not None:
            return self._name
        name, hook = self._store.names.next(), self._store.hook
        hook("store.written")
        staged = self._staged.path
        digest, size = self._staged.sha256, self._staged.size
        key = self._store.key_of(name)
        try:
            with _told_as_store_error("uploading", name):
                self._store.put_file(staged, key)
                if self._store.fs.size(key) != size:
                    raise StoreFailed("the store holds fewer bytes than were sent.", subject=name)
            for point in ("store.file-synced", "store.renamed", "store.folder-synced"):
                hook(point)
        except BaseException:
            with contextlib.suppress(Exception):
                self._store.fs.rm_file(key)
            self.abort()
            raise
        self._known, self._name = (digest, size), name
        self._staged.abort()
        return name

    def abort(self) -> None:
        self._staged.abort()


class _SegmentLog(Log):
    """A log where nothing can be appended to an object: each append is an object of its own."""

    def __init__(self, store: FsspecStore, folder: str) -> None:
        self._store, self._folder, self._segment = store, folder, 0

    def append(self, data: bytes) -> None:
        with _told_as_store_error("writing the journal", "journal"):
            self._store.put_bytes(f"{self._folder}/{self._segment:012d}", data)
        self._segment += 1

    def close(self) -> None:
        pass


class FsspecStore(Store):
    """See `Store`. ``url`` is any fsspec URL of a folder or bucket prefix."""

    def __init__(self, url: str, *, hook: Hook | None = None, **options: Any) -> None:
        self.url = url
        self.hook = hook or nothing_happens
        self.names = NameSource()
        self.fs, root = fsspec.core.url_to_fs(url, **options)
        self._root = root.rstrip("/")
        self._lock = threading.Lock()
        self._staging: LocalStore | None = None

    def key_of(self, name: str) -> str:
        return f"{self._root}/objects/{sharded(name)}"

    def put_file(self, local: Path, key: str) -> None:
        self.fs.makedirs(key.rsplit("/", 1)[0], exist_ok=True)
        self.fs.put_file(str(local), key)

    def put_bytes(self, key: str, data: bytes) -> None:
        self.fs.makedirs(key.rsplit("/", 1)[0], exist_ok=True)
        self.fs.pipe_file(key, data)

    @property
    def _stage(self) -> LocalStore:
        with self._lock:
            if self._staging is None:
                self._staging = LocalStore(Path(tempfile.mkdtemp(prefix="dicomnn-stage-")))
            return self._staging

    @property
    def scratch(self) -> Path:
        return self._stage.scratch

    def create(self) -> Incoming:
        return _StagedIncoming(self, self._stage.create())

    def adopt(self, path: Path) -> Incoming:
        return _StagedIncoming(self, self._stage.adopt(path))

    def open(self, name: str) -> BinaryIO:
        with _told_as_store_error("opening", name, reading=True):
            return cast(BinaryIO, self.fs.open(self.key_of(name), "rb"))

    def local_path(self, name: str) -> Path | None:
        return None

    def size(self, name: str) -> int:
        with _told_as_store_error("looking at", name, reading=True):
            return int(self.fs.size(self.key_of(name)))

    def delete(self, *names: str) -> None:
        for name in names:
            with _told_as_store_error("deleting", name), contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.key_of(name))

    def entries(self) -> Iterator[Entry]:
        with _told_as_store_error("listing", self.url):
            found = self.fs.find(f"{self._root}/objects", detail=True)
        for key in sorted(found):
            about = found[key]
            changed = about.get("mtime") or about.get("created") or about.get("LastModified") or 0.0
            modified = changed.timestamp() if hasattr(changed, "timestamp") else float(changed)
            yield Entry(key.rsplit("/", 1)[1], int(about["size"]), modified)

    def free_bytes(self) -> int | None:
        return None

    def _names_in(self, folder: str) -> list[str]:
        try:
            found = self.fs.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(key).rstrip("/").rsplit("/", 1)[1] for key in found)

    def models(self) -> list[str]:
        with _told_as_store_error("listing models", self.url):
            return self._names_in("models")

    def _put_model(self, model_id: str, data: bytes) -> None:
        with _told_as_store_error("storing", f"model {model_id}"):
            self.put_bytes(f"{self._root}/models/{model_id}", data)

    def _get_model(self, model_id: str) -> bytes | None:
        with _told_as_store_error("reading", f"model {model_id}"):
            try:
                return cast(bytes, self.fs.cat_file(f"{self._root}/models/{model_id}"))
            except FileNotFoundError:
                return None

    def open_log(self, name: str) -> Log:
        # the random suffix keeps two writers apart even when they chose the same name
        return _SegmentLog(self, f"{self._root}/journal/{checked_fixed(name)}.{secrets.token_hex(4)}")

    def logs(self) -> list[str]:
        with _told_as_store_error("listing the journal", self.url):
            return self._names_in("journal")

    def read_log(self, name: str) -> Iterator[bytes]:
        for segment in self._names_in(f"journal/{checked_fixed(name)}"):
            with _told_as_store_error("reading the journal", name):
                data = self.fs.cat_file(f"{self._root}/journal/{name}/{segment}")
            yield from data.splitlines()

    def close(self) -> None:
        with self._lock:
            staging, self._staging = self._staging, None
        if staging is not None:
            staging.close()
            shutil.rmtree(staging.root, ignore_errors=True)
