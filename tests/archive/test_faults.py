"""What a crash or an error leaves, at every point of the way in and of a swap; two processes at once.

Processes are forked and killed with SIGKILL at a named point. Promise: everything acknowledged is
there and whole, nothing unacknowledged is half visible, and doing it again works.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dicomnn.archive import Archive, Lift, State, Tried, open_archive
from dicomnn.archive.check import compare
from dicomnn.archive.index import INDEX_POINTS
from dicomnn.archive.journal import read
from dicomnn.archive.store import PUT_POINTS
from dicomnn.errors import StoreFull
from tests.archive.conftest import put, store_and_receive
from tests.archive.test_archive import code, current

pytestmark = pytest.mark.faults
FORK = multiprocessing.get_context("fork")
NewArchive = Callable[..., Archive]


class KillAt:
    """A hook that kills its process when ``point`` is passed for the ``nth`` time after arming."""

    def __init__(self, point: str) -> None:
        self.point, self.armed = point, False

    def __call__(self, point: str) -> None:
        if self.armed and point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[[Path, str, Connection], None], root: Path, point: str) -> list[str]:
    """Run ``work`` in a process that dies; the UIDs it acknowledged before."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=work, args=(root, point, there))
    process.start()
    there.close()
    acknowledged = []
    while True:
        try:
            acknowledged.append(here.recv())
        except EOFError:
            break
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    return acknowledged


def receive_until_killed(root: Path, point: str, told: Connection) -> None:
    hook = KillAt(point)
    archive = open_archive(root, store_hook=hook, index_hook=hook)
    for number in range(3):
        hook.armed = number == 2
        store_and_receive(archive, f"1.{number}", b"content of %d" % number)
        told.send(f"1.{number}")


@pytest.mark.parametrize("point", PUT_POINTS + INDEX_POINTS)
def test_killed_while_receiving(new_archive: NewArchive, tmp_path: Path, point: str) -> None:
    new_archive().close()
    acknowledged = killed(receive_until_killed, tmp_path / "archive", point)
    assert acknowledged == ["1.0", "1.1"]
    with new_archive() as archive:
        for uid in acknowledged:
            assert current(archive, uid) == b"content of %d" % int(uid[-1])
        there = {instance.sop_instance_uid for instance in archive.index.instances()}
        assert there == {*acknowledged, *(["1.2"] if point == "index.committed" else [])}
        assert archive.status().backlog == len(there)
        found = [difference.kind for difference in compare(archive.store, archive.index, min_age=-1)]
        renamed = point not in PUT_POINTS[:PUT_POINTS.index("store.renamed")] and point != "index.committed"
        assert found == (["orphan"] if renamed else []), "whole objects that nobody was told of, at most"
        for line in read(archive.store):
            assert archive.store.size(line["object"]) == line["size"], "the journal names what is durable"
        assert store_and_receive(archive, "1.2", b"content of 2") in ("new", "same")
        assert current(archive, "1.2") == b"content of 2"


def code_until_killed(root: Path, point: str, told: Connection) -> None:
    hook = KillAt(point)
    archive = open_archive(root, store_hook=hook, index_hook=hook)
    (work,) = archive.index.lease("doomed", 0.0)
    told.send(work.sop_instance_uid)
    hook.armed = True
    name = put(archive.store, b"coded")
    archive.index.coded(work, name, object_sha256="x", object_size=5)


@pytest.mark.parametrize("point", ["store.file-synced", "store.folder-synced", *INDEX_POINTS])
def test_killed_while_swapping(new_archive: NewArchive, tmp_path: Path, point: str) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
    killed(code_until_killed, tmp_path / "archive", point)
    with new_archive() as archive:
        swapped = archive.index.get("1.0").state is State.CODED
        assert swapped is (point == "index.committed")
        assert current(archive, "1.0") == (b"coded" if swapped else b"original")
        archive.release_due()
        assert current(archive, "1.0") == (b"coded" if swapped else b"original")
        if not swapped:
            assert code(archive)
            archive.release_due()
        assert current(archive, "1.0") == b"coded"
        assert archive.status().coded == 1


def code_again_until_killed(root: Path, point: str, told: Connection) -> None:
    hook = KillAt(point)
    archive = open_archive(root, store_hook=hook, index_hook=hook)
    hook.armed = point.startswith("asking ")
    hook.point = point.removeprefix("asking ").removeprefix("leasing ")
    archive.index.ask_again(AGAIN)
    hook.armed = point.startswith("leasing ")
    (work,) = archive.index.lease_again("doomed", 0.0)
    told.send(work.sop_instance_uid)
    hook.armed = True
    name = put(archive.store, b"less")
    archive.index.coded(work, name, object_sha256="x", object_size=4, tried=Tried("max"))


AGAIN = Lift("max", lower=("fast",))


@pytest.mark.parametrize("point", [
    *(f"asking {point}" for point in INDEX_POINTS), *(f"leasing {point}" for point in INDEX_POINTS),
    *PUT_POINTS, *INDEX_POINTS])
def test_killed_while_coding_again(new_archive: NewArchive, tmp_path: Path, point: str) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
        assert code(archive, tried=Tried("fast"))
        archive.release_due()
    killed(code_again_until_killed, tmp_path / "archive", point)
    with new_archive() as archive:
        swapped = archive.index.get("1.0").tried_effort == "max"
        assert swapped is (point == "index.committed")
        assert archive.index.get("1.0").state.is_coded
        assert current(archive, "1.0") == (b"less" if swapped else b"coded")
        archive.release_due()
        assert current(archive, "1.0") == (b"less" if swapped else b"coded")
        archive.index.ask_again(AGAIN)
        works = archive.index.lease_again("another", 60)
        assert len(works) == (0 if swapped else 1), "done once is done"
        for work in works:
            assert archive.index.coded(work, put(archive.store, b"less"), object_sha256="x", object_size=4,
                                       tried=Tried("max"))
        archive.release_due()
        assert current(archive, "1.0") == b"less"
        status = archive.status()
        assert (status.coded, status.recoding, status.recoded, status.recode_saved) == (1, {}, 1, 1)
        left = [difference.kind for difference in compare(archive.store, archive.index, min_age=-1)]
        assert set(left) <= {"orphan"} and len(left) <= 1


def release_until_killed(root: Path, point: str, told: Connection) -> None:
    archive = open_archive(root)
    released = archive.index.released

    def die(names: object) -> None:
        if point == "after":
            released(names)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGKILL)

    archive.index.released = die  # type: ignore[method-assign,assignment]
    archive.release_due()


@pytest.mark.parametrize("point", ["before", "after"])
def test_killed_while_releasing(new_archive: NewArchive, tmp_path: Path, point: str) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
        code(archive)
    killed(release_until_killed, tmp_path / "archive", point)
    with new_archive() as archive:
        archive.release_due()
        assert current(archive, "1.0") == b"coded"
        assert [entry.size for entry in archive.store.entries()] == [5]
        assert archive.status().releases_waiting == 0
        assert list(compare(archive.store, archive.index, min_age=-1)) == []


class Fault(Exception):
    pass


@pytest.mark.parametrize("point", INDEX_POINTS[:-1])
def test_an_error_before_the_commit_undoes_everything(new_archive: NewArchive, point: str) -> None:
    def hook(passed: str) -> None:
        if armed and passed == point:
            raise Fault

    armed: list[bool] = []
    with new_archive(index_hook=hook) as archive:
        store_and_receive(archive, "1.0", b"content")
        before = archive.status()
        armed.append(True)
        with pytest.raises(Fault):
            store_and_receive(archive, "1.1", b"content")
        with pytest.raises(Fault):
            archive.index.delete("1.0", reason="r", by="b")
        armed.clear()
        after = archive.status()
        assert (after.backlog, after.deleted, after.bytes_store) == (
            before.backlog, before.deleted, before.bytes_store)
        study = archive.index.study("1.9")
        assert study is not None and study.instances == 1
        assert store_and_receive(archive, "1.1", b"content") == "new"


def test_a_journal_that_cannot_be_written_refuses_the_arrival(new_archive: NewArchive,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    with new_archive() as archive:
        def full(lines: object) -> None:
            raise StoreFull("no space for the journal")

        monkeypatch.setattr(archive.journal, "append", full)
        with pytest.raises(StoreFull):
            store_and_receive(archive, "1.0", b"content")
        monkeypatch.undo()
        assert list(archive.index.instances()) == []
        assert store_and_receive(archive, "1.0", b"content") == "new"


def receive_and_code(root: Path, number: int, told: Connection) -> None:
    """One of two processes: sends half of its own and half of the other's instances, then codes."""
    with open_archive(root) as archive:
        for item in range(20):
            uid = f"1.{item}" if item % 2 else f"1.{number}.{item}"
            told.send((uid, store_and_receive(archive, uid, b"original of " + uid.encode())))
        while works := archive.index.lease(f"process {number}", 60, limit=3):
            for work in works:
                name = put(archive.store, b"coded " + work.sop_instance_uid.encode())
                if not archive.index.coded(work, name, object_sha256="x", object_size=7):
                    told.send((work.sop_instance_uid, "lost"))
            archive.release_due()
    told.close()


def test_two_processes_share_an_archive_that_neither_has_made(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    pipes, processes = [], []
    for number in range(2):
        here, there = FORK.Pipe(duplex=False)
        processes.append(FORK.Process(target=receive_and_code, args=(root, number, there)))
        processes[-1].start()
        there.close()
        pipes.append(here)
    told: list[tuple[str, str]] = []
    for here in pipes:
        while True:
            try:
                told.append(here.recv())
            except EOFError:
                break
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    kinds = [kind for _, kind in told]
    assert (kinds.count("new"), kinds.count("same"), kinds.count("lost")) == (30, 10, 0)
    with open_archive(root) as archive:
        archive.release_due(1000)
        assert archive.status().coded == 30 and archive.status().idle
        for uid in {uid for uid, _ in told}:
            assert current(archive, uid) == b"coded " + uid.encode()
        found = [d.kind for d in compare(archive.store, archive.index, min_age=-1)]
        assert set(found) <= {"size"}, "the sizes given above were made up; nothing is missing or left over"
        assert len(list(archive.store.entries())) == 30
