"""The local store: the suite, and what durability on a disk means."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnn.archive import local
from dicomnn.archive.local import LocalStore
from dicomnn.archive.sessions import sweep
from dicomnn.archive.store import PUT_POINTS, open_store
from dicomnn.errors import StoreFailed, StoreFull
from tests.archive.conftest import put
from tests.archive.store_suite import Hook, StoreSuite

FORK = multiprocessing.get_context("fork")


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path, hook: Hook) -> Iterator[LocalStore]:
        with LocalStore(tmp_path / "deep" / "store", hook=hook) as store:
            yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with LocalStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every fsync, rename and mkdir, with the path it was done to."""
    made: list[tuple[str, str]] = []
    fsync, rename, mkdir = os.fsync, os.rename, Path.mkdir

    def told_fsync(descriptor: int) -> None:
        made.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def told_rename(source: Path, target: Path) -> None:
        made.append(("rename", str(target)))
        rename(source, target)

    def told_mkdir(self: Path, mode: int = 0o777, **more: bool) -> None:
        mkdir(self, mode, **more)
        made.append(("mkdir", str(self)))

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "rename", told_rename)
    monkeypatch.setattr(Path, "mkdir", told_mkdir)
    return made


def test_file_then_new_folders_then_rename_then_folder_are_synced_in_this_order(
        store: LocalStore, calls: list[tuple[str, str]]) -> None:
    with store.create() as incoming:
        incoming.write(b"x")
        calls.clear()
        part = str(incoming._path)
        name = incoming.commit()
    shard = store.path_of(name).parent
    assert calls == [
        ("fsync", part),
        ("mkdir", str(shard.parent)), ("fsync", str(shard.parent.parent)),
        ("mkdir", str(shard)), ("fsync", str(shard.parent)),
        ("rename", str(store.path_of(name))),
        ("fsync", str(shard)),
    ]


def test_a_folder_that_another_process_just_made_is_synced_before_it_is_used(
        store: LocalStore, calls: list[tuple[str, str]]) -> None:
    name = put(store, b"x")
    shard = store.path_of(name).parent
    with LocalStore(store.root) as other:
        calls.clear()
        other.make_folder(shard)
    assert ("fsync", str(shard.parent)) in calls


def test_a_failed_sync_is_final(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def broken(descriptor: int) -> None:
        tried.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local.os, "fsync", broken)
    with pytest.raises(StoreFailed, match="Input/output error"):
        put(store, b"x")
    assert len(tried) == 1
    monkeypatch.undo()
    assert list(store.entries()) == []


def test_a_full_disk_while_writing_is_store_full(store: LocalStore) -> None:
    incoming = store.create()
    incoming._file = open("/dev/full", "wb", buffering=0)  # type: ignore[assignment]
    with pytest.raises(StoreFull):
        incoming.write(b"x" * 100)
    incoming.abort()
    assert list(store.scratch.glob("*.part")) == []


def test_objects_that_arrive_together_share_a_folder(store: LocalStore) -> None:
    names = [put(store, b"x") for _ in range(20)]
    assert len({store.path_of(name).parent for name in names}) == 1


def test_an_object_cannot_be_written_to(store: LocalStore) -> None:
    assert store.path_of(put(store, b"x")).stat().st_mode & 0o222 == 0


def _age(folder: Path, seconds: float) -> None:
    for path in (*folder.rglob("*"), folder):
        stat = path.stat()
        os.utime(path, (stat.st_atime - seconds, stat.st_mtime - seconds))


def _leave_a_temporary_file(root: Path) -> None:
    store = LocalStore(root)
    store.create().write(b"never committed")
    os.kill(os.getpid(), signal.SIGKILL)


def _run(target: object, *arguments: object) -> int | None:
    process = FORK.Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.faults
def test_temporary_files_of_dead_processes_are_swept_once_they_are_old(tmp_path: Path) -> None:
    root = tmp_path / "store"
    assert _run(_leave_a_temporary_file, root) == -signal.SIGKILL
    (dead,) = (root / "incoming").iterdir()
    with LocalStore(root, stale_after=3600) as store:
        assert dead.exists() and store.scratch.exists() and dead.exists(), "too young"
        _age(dead, 7200)
        with LocalStore(root, stale_after=3600) as later:
            assert later.scratch.exists()
            assert not dead.exists()
        assert store.scratch.exists()


def test_a_living_process_keeps_its_temporary_files_however_old(store: LocalStore) -> None:
    with store.create() as incoming:
        incoming.write(b"slow sender")
        _age(store.scratch, 1e6)
        assert sweep(store.root / "incoming", stale_after=3600, now=2e9) == []
        name = incoming.commit()
    assert store.open(name).read() == b"slow sender"


def test_the_lock_of_a_session_is_held(store: LocalStore) -> None:
    with open(store.scratch / "lock") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _die_at(root: Path, point: str) -> None:
    def hook(passed: str) -> None:
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)

    put(LocalStore(root, hook=hook), b"whole object")


@pytest.mark.faults
@pytest.mark.parametrize("point", PUT_POINTS)
def test_a_put_killed_at_any_point_leaves_a_whole_object_or_none(tmp_path: Path, point: str) -> None:
    root = tmp_path / "store"
    assert _run(_die_at, root, point) == -signal.SIGKILL
    with LocalStore(root) as store:
        found = [store.open(entry.name).read() for entry in store.entries()]
        renamed = PUT_POINTS.index(point) >= PUT_POINTS.index("store.renamed")
        assert found == ([b"whole object"] if renamed else [])


def test_a_path_or_file_url_opens_a_local_store(tmp_path: Path) -> None:
    for url in (tmp_path / "a", str(tmp_path / "a"), f"file://{tmp_path}/a"):
        with open_store(url) as store:
            assert isinstance(store, LocalStore) and store.root == tmp_path / "a"
