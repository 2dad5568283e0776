"""The archive as a whole: receive, retrieve in every state and during a swap, release, status."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicomnn.archive import Archive, State, Tried, open_archive
from dicomnn.archive.journal import read
from dicomnn.errors import ConfigurationError, IndexFailed, InstanceNotFound, ObjectMissing
from tests.archive.conftest import Clock, arrived, put, store_and_receive

NewArchive = Callable[..., Archive]


def code(archive: Archive, content: bytes = b"coded", tried: Tried | None = None) -> bool:
    (work,) = archive.index.lease("worker", 60)
    name = put(archive.store, content)
    return archive.index.coded(work, name, object_size=len(content), tried=tried,
                               object_sha256=hashlib.sha256(content).hexdigest())


def contents(archive: Archive) -> list[bytes]:
    return [archive.store.open(entry.name).read() for entry in archive.store.entries()]


def current(archive: Archive, uid: str) -> bytes:
    instance, source = archive.open_current(uid)
    with source:
        return source.read()


def test_an_instance_is_retrieved_in_every_state(new_archive: NewArchive, clock: Clock) -> None:
    with new_archive(clock=clock) as archive:
        store_and_receive(archive, "1.0", b"original")
        assert current(archive, "1.0") == b"original"
        (work,) = archive.index.lease("worker", 60)
        assert current(archive, "1.0") == b"original"
        name = put(archive.store, b"coded")
        archive.index.coded(work, name, object_sha256="x", object_size=5)
        assert current(archive, "1.0") == b"coded"
        assert archive.release_due() == 1
        assert contents(archive) == [b"coded"]
        with archive.pin_current("1.0") as (instance, path):
            assert instance.state is State.CODED and path.read_bytes() == b"coded"
        store_and_receive(archive, "1.1", b"a report", kept_reason="no-pixel-data")
        assert current(archive, "1.1") == b"a report"
        archive.index.delete("1.1", reason="retention", by="rule")
        with pytest.raises(InstanceNotFound, match="deleted"):
            archive.open_current("1.1")


def test_a_duplicate_leaves_one_object(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        assert store_and_receive(archive, "1.0", b"one") == "new"
        assert store_and_receive(archive, "1.0", b"one") == "same"
        assert contents(archive) == [b"one"]
        assert archive.status().releases_waiting == 0


def test_both_contents_of_one_uid_are_there(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        assert store_and_receive(archive, "1.0", b"one") == "new"
        assert store_and_receive(archive, "1.0", b"two") == "conflict"
        archive.release_due()
        assert sorted(contents(archive)) == [b"one", b"two"]
        assert current(archive, "1.0") == b"one"
        (conflict,) = archive.index.conflicts()
        assert archive.store.open(conflict.object_name).read() == b"two"


def test_a_swap_between_index_and_store_is_not_noticed_by_a_reader(
        new_archive: NewArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
        get = archive.index.get
        swapped: list[bool] = []

        def swap_after_asking(uid: str) -> object:
            instance = get(uid)
            if not swapped:
                swapped.append(code(archive))
                assert archive.release_due() == 1
            return instance

        monkeypatch.setattr(archive.index, "get", swap_after_asking)
        assert current(archive, "1.0") == b"coded"
        assert swapped == [True]


def test_an_object_that_is_really_gone_is_a_typed_error(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
        archive.store.delete(archive.index.get("1.0").object_name)
        with pytest.raises(ObjectMissing, match="1.0"):
            archive.open_current("1.0")
        with pytest.raises(ObjectMissing), archive.pin_current("1.0"):
            pass


def test_readers_never_fail_while_everything_is_being_swapped(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        uids = [f"1.{number}" for number in range(12)]
        for uid in uids:
            store_and_receive(archive, uid, b"original " + uid.encode())
        stop = threading.Event()

        def read_all() -> int:
            count = 0
            while not stop.is_set() or count < len(uids):
                for uid in uids:
                    with archive.pin_current(uid) as (instance, path):
                        kind = b"coded" if instance.state is State.CODED else b"original"
                        assert path.read_bytes().split()[0] == kind
                        count += 1
            return count

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read_all) for _ in range(2)]
            for _ in uids:
                code(archive)
                archive.release_due()
            stop.set()
            assert all(reader.result(30) for reader in readers)
        assert contents(archive) == [b"coded"] * len(uids)


def test_an_object_that_something_refers_to_is_never_released(new_archive: NewArchive) -> None:
    """Even if a fault put its name on the queue."""
    with new_archive() as archive:
        store_and_receive(archive, "1.0", b"original")
        name = archive.index.get("1.0").object_name
        archive.index.commits.run(lambda batch: batch.release(name, 8, "by mistake", grace=False))  # type: ignore[attr-defined]
        assert archive.release_due() == 0
        assert current(archive, "1.0") == b"original"


def test_many_threads_are_received_with_shared_commits(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        def one(number: int) -> str:
            return store_and_receive(archive, f"1.{number // 2}", b"x%d" % (number // 2))

        with ThreadPoolExecutor(8) as pool:
            kinds = list(pool.map(one, range(120)))
        assert (kinds.count("new"), kinds.count("same")) == (60, 60)
        assert len(list(archive.store.entries())) == archive.status().backlog == 60
        assert archive.index.commits.groups < 120  # type: ignore[attr-defined]


def test_the_journal_tells_the_story_without_patient_data(new_archive: NewArchive, clock: Clock) -> None:
    with new_archive(clock=clock) as archive:
        store_and_receive(archive, "1.0", b"original", attributes={"patient_name": "SECRET^NAME"})
        original = archive.index.get("1.0").object_name
        code(archive)
        archive.index.delete("1.0", reason="retention", by="rule 7")
        lines = list(read(archive.store))
        assert [(line["event"], line["revision"]) for line in lines] == [
            ("received", 1), ("coded", 3), ("deleted", 4)]
        received, coded, deleted = lines
        assert (received["object"], received["calling_ae"], received["time"]) == (original, "CT1", clock.now)
        assert coded["replaces"] == original and deleted["by"] == "rule 7"
        assert "SECRET" not in str(lines)


def test_an_archive_elsewhere_needs_to_be_told_where_its_index_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="index"):
        open_archive("memory://somewhere")
    with open_archive("memory://somewhere", f"sqlite:///{tmp_path}/index.sqlite") as archive:
        store_and_receive(archive, "1.0", b"original")
        code(archive)
        archive.release_due()
        assert current(archive, "1.0") == b"coded"


def test_the_status_names_the_models(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        archive.store.put_model("abc", b"weights")
        assert archive.status().models == ("abc",)


def test_a_failed_index_does_not_cost_the_object(new_archive: NewArchive) -> None:
    """The answer of a commit may be lost, so whether the row is there is not known."""
    def hook(point: str) -> None:
        if point == "index.committed" and armed:
            raise IndexFailed("connection lost")

    armed = [True]
    with new_archive(index_hook=hook) as archive:
        name = put(archive.store, b"original")
        received = arrived("1.0", content=b"original", name=name)
        with pytest.raises(IndexFailed):
            archive.receive(received)
        assert current(archive, "1.0") == b"original"
        armed.clear()
        assert archive.receive(received).kind == "new"
        assert archive.release_due() == 0 and contents(archive) == [b"original"]
