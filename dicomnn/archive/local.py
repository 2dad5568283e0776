"""A store in a folder of this machine, durable by fsync(file), rename, fsync(folder).

::

    ROOT/objects/ab/cd/<name>         what the index may name; never changed
    ROOT/incoming/<session>/...       this process's temporary files; `lock` is held while it lives
    ROOT/models/<id>                  copies of the models in use
    ROOT/journal/<time>-<random>.jsonl
    ROOT/index/index.sqlite           the index, unless the configuration names another place

The only file of the archive that knows about paths, descriptors and folders.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dicomnn.archive.sessions import Session, sweep
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
from dicomnn.errors import ObjectMissing, StoreFailed, StoreFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CHUNK = 1 << 20


@contextlib.contextmanager
def _told_as_store_error(doing: str, subject: str, *, reading: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if reading and isinstance(error, FileNotFoundError):
            raise ObjectMissing(f"{doing}: not in the store.", subject=subject) from error
        kind = StoreFull if error.errno in _FULL else StoreFailed
        raise kind(f"{doing}: {error.strerror or error}.", subject=subject) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path, offset: int = 0) -> tuple[str, int]:
    """SHA-256 of a file from offset on, and the file's size."""
    hasher = hashlib.sha256()
    with open(path, "rb", buffering=0) as source:
        source.seek(offset)
        while chunk := source.read(_CHUNK):
            hasher.update(chunk)
        return hasher.hexdigest(), source.tell()


class LocalIncoming(Incoming):
    """See `Incoming`. The temporary file lies in the store's own file system, so rename is atomic."""

    def __init__(self, store: LocalStore, path: Path, *, foreign: bool) -> None:
        self._store = store
        self._path = path
        self._foreign = foreign            # somebody else may have written: hash the file at the end
        self._hasher = hashlib.sha256()
        self._size = 0
        self._final: tuple[str, str] | None = None
        self._file: BinaryIO | None = None if foreign else open(path, "xb")   # noqa: SIM115
        try:
            store.hook("store.created")
        except BaseException:
            self.abort()
            raise

    def write(self, data: bytes | bytearray | memoryview) -> int:
        if self._file is None or self._foreign:
            raise StoreFailed("write after commit, abort or together with another writer of the file.")
        with _told_as_store_error("writing", self._path.name):
            self._file.write(data)
        self._hasher.update(data)
        self._size += len(data) if not isinstance(data, memoryview) else data.nbytes
        return self._size

    def _flush(self) -> None:
        if self._file is not None:
            with _told_as_store_error("writing", self._path.name):
                self._file.flush()

    @property
    def size(self) -> int:
        if self._final is None and self._foreign:
            return self._path.stat().st_size
        return self._size

    @property
    def sha256(self) -> str:
        if self._final is not None:
            return self._final[1]
        if self._foreign:
            return _digest(self._path)[0]
        return self._hasher.hexdigest()

    def sha256_from(self, offset: int) -> str:
        if offset == 0:
            return self.sha256
        self._flush()
        with _told_as_store_error("hashing", self._path.name):
            return _digest(self._path, offset)[0]

    @property
    def path(self) -> Path:
        """The temporary file with all that was written; the object itself after `commit`.

        Whoever asks before anything was written by `write` is taken for another writer: then the
        file is hashed when it is committed, and `write` is refused."""
        if self._final is None and self._size == 0:
            self._foreign = True
        self._flush()
        return self._path

    def commit(self) -> str:
        if self._final is not None:
            return self._final[0]
        hook = self._store.hook
        name = self._store.names.next()
        target = self._store.path_of(name)
        try:
            with _told_as_store_error("making an object durable", self._path.name):
                self._flush()
                hook("store.written")
                if self._foreign:
                    digest, self._size = _digest(self._path)
                    # by path, not by our descriptor: the other writer may have replaced the file
                    descriptor = os.open(self._path, os.O_RDWR)
                else:
                    assert self._file is not None, "commit after abort"
                    digest, descriptor = self._hasher.hexdigest(), os.dup(self._file.fileno())
                try:
                    os.fchmod(descriptor, 0o440)
                    os.fsync(descriptor)   # an error here is final: the kernel may have dropped the pages
                finally:
                    os.close(descriptor)
                hook("store.file-synced")
                self._store.make_folder(target.parent)
                os.rename(self._path, target)
                hook("store.renamed")
                _sync_folder(target.parent)
                hook("store.folder-synced")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(target)          # nobody was told this name: it may go
            self.abort()
            raise
        self._final = (name, digest)
        self._path = target
        self._close()
        return name

    def abort(self) -> None:
        if self._final is None:
            self._close()
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class _LocalLog(Log):
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)
        _sync_folder(path.parent)

    def append(self, data: bytes) -> None:
        with _told_as_store_error("writing the journal", "journal"):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest):]
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class LocalStore(Store):
    """See `Store`; the folder is made when it is not there."""

    def __init__(self, root: Path, *, hook: Hook | None = None, stale_after: float = 24 * 3600.0) -> None:
        self.root = root.absolute()
        self.url = f"file://{self.root}"
        self.hook = hook or nothing_happens
        self.names = NameSource()
        self._stale_after = stale_after
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._durable_folders: set[Path] = set()
        self._objects = self.root / "objects"
        self._incoming = self.root / "incoming"
        self._models = self.root / "models"
        self._journal = self.root / "journal"
        with _told_as_store_error("opening the store", str(root)):
            for folder in (self._objects, self._incoming, self._models, self._journal):
                self.make_folder(folder)

    # ---------------------------------------------------------------- folders
    def make_folder(self, folder: Path) -> None:
        """Make a folder and every missing one above it; durable on return. A folder that another
        thread or process has just made may not be durable yet, so the first use syncs too."""
        if folder in self._durable_folders:
            return
        if not folder.parent.is_dir() or self._objects in folder.parents:
            self.make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o750)
        _sync_folder(folder.parent)
        self._durable_folders.add(folder)

    @property
    def scratch(self) -> Path:
        with self._lock:
            if self._session is None:
                with _told_as_store_error("making a scratch folder", str(self._incoming)):
                    sweep(self._incoming, stale_after=self._stale_after, now=time.time())
                    self._session = Session(self._incoming)
            return self._session.folder

    def path_of(self, name: str) -> Path:
        return self._objects / sharded(name)

    # ---------------------------------------------------------------- objects
    def create(self) -> LocalIncoming:
        path = self.scratch / f"{secrets.token_hex(16)}.part"
        with _told_as_store_error("creating a temporary file", path.name):
            return LocalIncoming(self, path, foreign=False)

    def adopt(self, path: Path) -> LocalIncoming:
        own = self.scratch / f"{secrets.token_hex(16)}.part"
        with _told_as_store_error("taking over a file", path.name):
            try:
                os.rename(path, own)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.copyfile(path, own)
                os.unlink(path)
            return LocalIncoming(self, own, foreign=True)

    def open(self, name: str) -> BinaryIO:
        with _told_as_store_error("opening", name, reading=True):
            return open(self.path_of(name), "rb")

    def local_path(self, name: str) -> Path:
        return self.path_of(name)

    @contextlib.contextmanager
    def pin(self, name: str) -> Iterator[Path]:
        # A second name of the same file: free, and it outlives the deletion of the first.
        link = self.scratch / f"{secrets.token_hex(16)}.pin"
        with _told_as_store_error("opening", name, reading=True):
            try:
                os.link(self.path_of(name), link)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
                    raise
                shutil.copyfile(self.path_of(name), link)
        try:
            yield link
        finally:
            with contextlib.suppress(OSError):
                os.unlink(link)

    def size(self, name: str) -> int:
        with _told_as_store_error("looking at", name, reading=True):
            return self.path_of(name).stat().st_size

    def delete(self, *names: str) -> None:
        folders = set()
        for name in names:
            path = self.path_of(name)
            with _told_as_store_error("deleting", name), contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                folders.add(path.parent)
        for folder in folders:
            with _told_as_store_error("deleting", str(folder)):
                _sync_folder(folder)

    def set_aside(self, name: str) -> Path:
        """Move an object that nobody can explain out of the store, where a person may look at it."""
        folder = self.root / "set-aside"
        with _told_as_store_error("setting aside", name, reading=True):
            self.make_folder(folder)
            os.rename(self.path_of(name), folder / name)
            _sync_folder(folder)
            _sync_folder(self.path_of(name).parent)
        return folder / name

    def entries(self) -> Iterator[Entry]:
        for first in sorted(os.listdir(self._objects)):
            for second in sorted(os.listdir(self._objects / first)):
                with os.scandir(self._objects / first / second) as found:
                    for item in sorted(found, key=lambda entry: entry.name):
                        with contextlib.suppress(FileNotFoundError):
                            stat = item.stat()
                            yield Entry(item.name, stat.st_size, stat.st_mtime)

    def default_index_url(self) -> str:
        with _told_as_store_error("making the index's folder", str(self.root)):
            self.make_folder(self.root / "index")
        return f"sqlite:///{self.root}/index/index.sqlite"

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.root).free

    # ---------------------------------------------------------------- models and logs
    def models(self) -> list[str]:
        return sorted(p.name for p in self._models.iterdir() if not p.name.startswith("."))

    def _put_model(self, model_id: str, data: bytes) -> None:
        temporary = self._models / f".{secrets.token_hex(8)}.part"
        with _told_as_store_error("storing a model", model_id):
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, self._models / model_id)
                _sync_folder(self._models)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise

    def _get_model(self, model_id: str) -> bytes | None:
        try:
            return (self._models / model_id).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(f"reading: {error.strerror}.", subject=f"model {model_id}") from error

    def open_log(self, name: str) -> Log:
        with _told_as_store_error("opening the journal", name):
            return _LocalLog(self._journal / checked_fixed(name))

    def logs(self) -> list[str]:
        return sorted(p.name for p in self._journal.iterdir())

    def read_log(self, name: str) -> Iterator[bytes]:
        with open(self._journal / checked_fixed(name), "rb") as lines:
            for line in lines:
                yield line.rstrip(b"\n")

    def close(self) -> None:
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()
