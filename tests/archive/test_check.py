"""Comparing index and store, and making the index again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnn.archive import Archive, Index, Lift, State, Tried, open_index
from dicomnn.archive.check import Described, compare, rebuild
from dicomnn.errors import IndexFailed
from tests.archive.conftest import Clock, arrived, put, store_and_receive

NewArchive = Callable[..., Archive]


def differences(archive: Archive, **options: float) -> list[tuple[str, str, str | None]]:
    return [(f.kind, f.object_name, f.referred_by) for f in compare(archive.store, archive.index, **options)]


def as_object(uid: str, text: str, *, original: str | None = None) -> bytes:
    """A stand-in for a DICOM file that `describe` can read."""
    return json.dumps({"uid": uid, "text": text, "original": original}).encode()


def describe(path: Path) -> Described | None:
    data = path.read_bytes()
    try:
        value = json.loads(data)
    except ValueError:
        return None
    coded = value["original"] is not None
    digest = hashlib.sha256(value["original"].encode() if coded else data).hexdigest()
    return Described(value["uid"], digest, coded=coded, study_instance_uid="1.9", series_instance_uid="1.9.1",
                     attributes={"modality": "CT", "patient_id": "P1"}, model_id="m1" if coded else None,
                     tried=Tried("fast", "m1") if coded else None,
                     before=len(value["original"]) if coded else None)


def code(archive: Archive, **more: object) -> str:
    (work,) = archive.index.lease("worker", 60)
    original = archive.store.open(work.object_name).read().decode()
    content = as_object(work.sop_instance_uid, "coded", original=original)
    name = put(archive.store, content)
    assert archive.index.coded(work, name, object_sha256=hashlib.sha256(content).hexdigest(),
                               object_size=len(content), model_id="m1", tried=Tried("fast", "m1"),
                               facts={"ratio": 2.0})
    return name


def code_again(archive: Archive, model_id: str = "m2") -> str:
    """The one instance that waits for it gets another coded object; its name."""
    (work,) = archive.index.lease_again("worker", 60)
    coded = json.loads(archive.store.open(work.object_name).read())
    content = as_object(work.sop_instance_uid, "again " + model_id, original=coded["original"])
    name = put(archive.store, content)
    assert archive.index.coded(work, name, object_sha256=hashlib.sha256(content).hexdigest(),
                               object_size=len(content), model_id=model_id, tried=Tried("max", model_id),
                               facts={"ratio": 3.0})
    return name


def seen(index: Index) -> list[dict[str, object]]:
    """Everything that must survive the loss of the index."""
    rows = []
    for instance in index.instances(include_deleted=True):
        row = {name: getattr(instance, name) for name in (
            "sop_instance_uid", "received_uid", "state", "reason", "detail", "error_code", "object_name",
            "object_sha256", "object_size", "digest", "before", "model_id", "calling_ae",
            "tried_effort", "tried_model", "transfer_syntax_uid", "received_at", "changed_at", "revision",
            "profile", "study_instance_uid", "series_instance_uid", "facts")}
        if instance.state is not State.DELETED:
            row["attributes"] = instance.attributes
        if instance.state is State.CODING:
            row |= {"state": State.RECEIVED, "revision": None, "changed_at": None}
        rows.append(row)
    conflicts = [{name: getattr(conflict, name) for name in (
        "sop_instance_uid", "digest", "object_name", "object_size", "superseded", "coded", "calling_ae")}
        for conflict in index.conflicts()]
    return [*sorted(rows, key=str), *sorted(conflicts, key=str)]


def test_an_archive_in_order_shows_no_difference(new_archive: NewArchive) -> None:
    with new_archive(grace_seconds=1e6) as archive:
        for number in range(5):
            store_and_receive(archive, f"1.{number}", as_object(f"1.{number}", "x"))
        store_and_receive(archive, "1.0", as_object("1.0", "other"))
        code(archive)
        archive.index.delete("1.4", reason="r", by="b")
        assert differences(archive, min_age=-1) == []


def test_every_kind_of_difference_is_found(new_archive: NewArchive) -> None:
    with new_archive() as archive:
        for number in range(4):
            store_and_receive(archive, f"1.{number}", b"content")
        store_and_receive(archive, "1.0", b"conflicting")
        gone, short = archive.index.get("1.1").object_name, archive.index.get("1.2").object_name
        (conflict,) = archive.index.conflicts()
        archive.store.delete(gone, conflict.object_name)
        path = archive.store.local_path(short)
        assert path is not None
        path.chmod(0o640)
        path.write_bytes(b"cont")
        orphan = put(archive.store, b"nobody knows me")
        assert sorted(differences(archive, min_age=-1)) == sorted([
            ("missing", gone, "instance"), ("missing", conflict.object_name, "conflict"),
            ("size", short, "instance"), ("orphan", orphan, None)])
        assert ("orphan", orphan, None) not in differences(archive, min_age=3600), "it may be on its way in"


def test_a_lost_index_is_made_again_from_objects_and_journal(new_archive: NewArchive, clock: Clock,
                                                            tmp_path: Path) -> None:
    with new_archive(clock=clock, attempts=1, policy="if-changed") as archive:
        for number in range(7):
            clock.pass_(1)
            store_and_receive(archive, f"1.{number}", as_object(f"1.{number}", "x"), profile="bounded:1",
                              transfer_syntax_uid="1.2.840.10008.1.2", facts={"f": number})
        store_and_receive(archive, "1.7", as_object("1.7", "report"), kept_reason="no-pixel-data",
                          kept_detail="a report")
        code(archive)                                                       # 1.0 coded
        code(archive)                                                       # 1.1 coded, then replaced
        store_and_receive(archive, "1.1", as_object("1.1", "newer"))
        (work,) = archive.index.lease("worker", 60)                         # 1.2 kept
        archive.index.kept(work, "colour", "RGB", facts={"g": 1})
        (work,) = archive.index.lease("worker", 60)                         # 1.3 failed
        archive.index.failed(work, "codec", "it broke")
        archive.index.delete("1.4", reason="retention", by="rule 7")        # 1.4 deleted
        archive.index.retry(sop_instance_uid="1.2")                         # 1.2 received again
        archive.release_due()
        before, status = seen(archive.index), archive.status()
        with open_index(f"sqlite:///{tmp_path}/again.sqlite", clock=clock) as index:
            report = rebuild(archive.store, index, describe)
            assert seen(index) == before
            assert (report.rows, report.adopted, report.conflicts, report.left, report.without_object,
                    report.unreadable_lines) == (8, 0, 1, [], [], [])
            again = index.status()
            for name in ("backlog", "coded", "kept", "deleted", "failures", "conflicts", "bytes_store",
                         "bytes_before", "bytes_after"):
                assert getattr(again, name) == getattr(status, name), name
            with pytest.raises(IndexFailed, match="not empty"):
                rebuild(archive.store, index, describe)


MAX = Lift("max", lower=("fast",))


def test_what_was_coded_again_is_told_by_the_journal(new_archive: NewArchive, clock: Clock,
                                                     tmp_path: Path) -> None:
    with new_archive(clock=clock, attempts=1) as archive:
        for number in range(4):
            clock.pass_(1)
            store_and_receive(archive, f"1.{number}", as_object(f"1.{number}", "x"))
            code(archive)
        archive.index.ask_again(MAX, limit=3)
        code_again(archive)                                                 # 1.0 coded again
        (work,) = archive.index.lease_again("worker", 60)                   # 1.1 would not be smaller
        archive.index.kept(work, "not-smaller", tried=Tried("max", "m2"))
        (work,) = archive.index.lease_again("worker", 60)                   # 1.2 failed
        archive.index.failed(work, "payload", "it broke")
        assert differences(archive, min_age=-1) == []
        archive.release_due()
        before, status = seen(archive.index), archive.status()
        with open_index(f"sqlite:///{tmp_path}/again.sqlite", clock=clock) as index:
            assert rebuild(archive.store, index, describe).left == []
            assert seen(index) == before
            again = index.status()
            for name in ("coded", "recode_failures", "tried", "bytes_store", "bytes_before", "bytes_after"):
                assert getattr(again, name) == getattr(status, name), name


def test_an_instance_that_is_being_coded_again_is_rebuilt_as_coded(new_archive: NewArchive,
                                                                   tmp_path: Path) -> None:
    with new_archive() as archive:
        for uid in ("1.0", "1.1"):
            store_and_receive(archive, uid, as_object(uid, "x"))
            code(archive)
        archive.index.ask_again(MAX)
        archive.index.lease_again("worker", 60)
        with open_index(f"sqlite:///{tmp_path}/again.sqlite") as index:
            rebuild(archive.store, index, describe)
            assert [i.state for i in index.instances()] == [State.CODED, State.CODED]
            assert index.status().recode_waiting == {} and index.ask_again(MAX)[0] == 2


def test_the_coded_object_before_is_found_when_the_newest_is_gone(new_archive: NewArchive,
                                                                  tmp_path: Path) -> None:
    with new_archive(grace_seconds=1e6) as archive:
        store_and_receive(archive, "1.0", as_object("1.0", "x"))
        original = archive.index.get("1.0").object_name
        first = code(archive)
        archive.index.ask_again(MAX)
        archive.store.delete(code_again(archive), original)
        with open_index(f"sqlite:///{tmp_path}/again.sqlite") as index:
            assert rebuild(archive.store, index, describe).without_object == []
            instance = index.get("1.0")
            assert (instance.state, instance.object_name, instance.model_id, instance.tried_effort) == (
                State.CODED, first, "m1", "fast")
            assert instance.facts == {"ratio": 2.0}


def test_a_line_of_a_swap_that_never_happened_hides_no_later_one(new_archive: NewArchive, clock: Clock,
                                                                 tmp_path: Path) -> None:
    """Killed between journal and commit: the line tells of an object that the index never had."""
    dying: list[str] = []

    def hook(point: str) -> None:
        if point == "index.committing" and dying and dying.pop() == "now":
            raise KeyboardInterrupt

    with new_archive(clock=clock, index_hook=hook) as archive:
        store_and_receive(archive, "1.0", as_object("1.0", "x"))
        code(archive)
        archive.index.ask_again(MAX)
        dying += ["now", "not yet: the lease"]
        with pytest.raises(KeyboardInterrupt):
            code_again(archive, "m2")
        clock.pass_(61)
        name = code_again(archive, "m3")
        archive.release_due()
        ((_, orphan, _),) = differences(archive, min_age=-1)
        for gone in (None, orphan):
            if gone:
                archive.store.delete(gone)
            with open_index(f"sqlite:///{tmp_path}/{bool(gone)}.sqlite", clock=clock) as index:
                assert rebuild(archive.store, index, describe).without_object == []
                assert (index.get("1.0").object_name, index.get("1.0").model_id) == (name, "m3")
                assert [r.object_name for r in index.due_releases()] == ([] if gone else [orphan])


def test_objects_that_the_journal_does_not_know_are_adopted_from_their_bytes(
        new_archive: NewArchive, tmp_path: Path) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", as_object("1.0", "x"))
        code(archive)
        archive.release_due()
        store_and_receive(archive, "1.1", as_object("1.1", "y"))
        archive.journal.close()
        for name in archive.store.logs():
            (tmp_path / "archive" / "journal" / name).unlink()
        stranger = put(archive.store, b"not readable by anybody")
        with open_index(f"sqlite:///{tmp_path}/again.sqlite") as index:
            report = rebuild(archive.store, index, describe)
            assert (report.rows, report.adopted, report.left) == (2, 2, [stranger])
            coded, plain = index.get("1.0"), index.get("1.1")
            was = archive.index.get("1.0")
            assert (coded.state, coded.object_name, coded.digest, coded.before, coded.model_id) == (
                State.CODED, was.object_name, was.digest, was.before, "m1")
            assert (coded.tried_effort, coded.tried_model) == ("fast", "m1")
            assert (plain.state, plain.attributes["patient_id"]) == (State.RECEIVED, "P1")


def test_an_original_is_found_when_its_coded_object_is_gone(new_archive: NewArchive, tmp_path: Path) -> None:
    with new_archive(grace_seconds=1e6) as archive:
        store_and_receive(archive, "1.0", as_object("1.0", "x"))
        original = archive.index.get("1.0").object_name
        archive.store.delete(code(archive))
        with open_index(f"sqlite:///{tmp_path}/again.sqlite") as index:
            rebuild(archive.store, index, describe)
            instance = index.get("1.0")
            assert (instance.state, instance.object_name) == (State.RECEIVED, original)
            assert index.due_releases() == []


def test_what_is_gone_is_named(new_archive: NewArchive, tmp_path: Path) -> None:
    with new_archive() as archive:
        store_and_receive(archive, "1.0", as_object("1.0", "x"))
        store_and_receive(archive, "1.1", as_object("1.1", "x"))
        archive.store.delete(archive.index.get("1.0").object_name)
        with open_index(f"sqlite:///{tmp_path}/again.sqlite") as index:
            report = rebuild(archive.store, index, describe)
            assert report.without_object == ["1.0"] and report.rows == 1


def test_an_acknowledged_instance_outlives_the_index_file(new_archive: NewArchive, tmp_path: Path) -> None:
    with new_archive() as archive:
        archive.receive(arrived("1.0", content=as_object("1.0", "x"),
                                name=put(archive.store, as_object("1.0", "x"))))
    shutil.rmtree(tmp_path / "archive" / "index")
    with new_archive() as archive:
        assert list(archive.index.instances()) == []
        assert rebuild(archive.store, archive.index, describe).rows == 1
        assert archive.open_current("1.0")[1].read() == as_object("1.0", "x")
