"""`dicomnn fsck` on archives that were really damaged: what it finds, what it mends, what it leaves alone."""

from __future__ import annotations

import io
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dicomnn.archive.index import Instance
from dicomnn.cli import main
from dicomnn.flow.attachments import Attachments
from dicomnn.flow.code import Coder
from dicomnn.flow.ingest import Command, Ingest, Policy
from dicomnn.flow.opening import Archive, Place, open_archive
from dicomnn.flow.retrieve import Match, Retrieval
from scp import heartbeat
from tests.flow.test_attachments import as_file
from tests.scp.peer import Item, image

ITEMS = [image(number, rows=64, columns=64) for number in range(1, 5)]
ATTACHED = image(9, rows=64, columns=64, series="1.2.826.9.1.2")


def fsck(folder: Path, *options: object) -> tuple[Result, dict[str, Any]]:
    done = CliRunner().invoke(main, ["fsck", str(folder), "--json", *map(str, options)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done, json.loads(done.stdout) if done.exit_code < 2 else {}


def put(archive: Archive, item: Item) -> None:
    ingest = Ingest(archive, Policy())
    arrival = ingest.open(Command(item.sop_class, item.instance, item.syntax, calling_ae="PEER"))
    arrival.write(item.data)
    ingest.finish(arrival)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with coded instances, a conflict record, attachments, and one that waits for a worker."""
    with open_archive(Place(str(tmp_path / "archive"))) as archive:
        for item in ITEMS[:3]:
            put(archive, item)
        attachments = Attachments(archive, Policy())
        for uuid, kind, content in (("u1", 1, as_file(ATTACHED)), ("u2", 1024, b"notes " * 500)):
            attachments.take(uuid, kind, io.BytesIO(content).read, len(content))
        for work in archive.index.lease("test", 60.0, 10):
            Coder(archive, effort="fast").code(work)
        put(archive, ITEMS[3])
        put(archive, image(1, rows=64, columns=64, seed=3))       # a conflict
        archive.release_due()
    return tmp_path / "archive"


@pytest.fixture
def known(folder: Path) -> Callable[[int], Instance]:
    def instance(number: int) -> Instance:
        with open_archive(Place(str(folder))) as archive:
            return archive.index.get(ITEMS[number].instance)
    return instance


def path_of(folder: Path, name: str) -> Path:
    return folder / "objects" / name[:2] / name[2:4] / name


def damage(path: Path) -> None:
    path.chmod(0o600)
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 2 // 3] ^= 0x10
    path.write_bytes(raw)


def kinds(facts: dict[str, Any]) -> list[str]:
    return sorted(problem["kind"] for problem in facts["problems"])


def comes_back(folder: Path, *items: Item) -> bool:
    with open_archive(Place(str(folder))) as archive:
        for item in items:
            with Retrieval(archive).prepare(Match(item.instance, item.sop_class), None) as given:
                if given.source.read(given.size) != item.data:
                    return False
    return True


def old(path: Path) -> None:
    os.utime(path, (1_600_000_000, 1_600_000_000))


@pytest.mark.parametrize("deep", [(), ("--deep",)])
def test_a_sound_archive_is_clean_and_its_space_is_told_by_kind(folder: Path, deep: tuple[str, ...]) -> None:
    done, facts = fsck(folder, *deep)
    assert (done.exit_code, facts["problems"], facts["ok"]) == (0, [], True)
    assert (facts["instances"], facts["attachments"]) == (5, 2)
    objects = sum(path.stat().st_size for path in (folder / "objects").rglob("*") if path.is_file())
    space = facts["space"]
    assert sum(space[name] for name in ("coded", "waiting", "conflicts", "attachments")) == objects
    assert space["journal"] > 0 and space["index"] > 0
    readable = CliRunner().invoke(main, ["fsck", str(folder)])
    assert readable.exit_code == 0 and readable.stdout.endswith("clean\n")


def test_a_missing_and_a_short_object_are_found_and_named(
        folder: Path, known: Callable[[int], Instance]) -> None:
    gone, short = known(0).object_name, known(1).object_name
    path_of(folder, gone).unlink()
    path_of(folder, short).chmod(0o600)
    os.truncate(path_of(folder, short), 100)
    done, facts = fsck(folder)
    assert done.exit_code == 1
    assert {(p["kind"], p["subject"]) for p in facts["problems"]} == {("missing", gone), ("size", short)}
    assert fsck(folder, "--repair")[0].exit_code == 1, "there is no second copy"


def test_only_a_deep_look_finds_a_flipped_bit(folder: Path, known: Callable[[int], Instance]) -> None:
    with open_archive(Place(str(folder))) as archive:
        blob = next(item.object_name for item in archive.index.attachments() if item.object_name)
    for name in (known(0).object_name, known(3).object_name, blob):
        damage(path_of(folder, name))
    assert fsck(folder)[0].exit_code == 0
    done, facts = fsck(folder, "--deep")
    assert done.exit_code == 1
    assert {p["subject"] for p in facts["problems"]} == {
        ITEMS[0].instance, ITEMS[3].instance, "attachment u2"}
    assert set(kinds(facts)) == {"damaged"}


def test_an_object_with_right_bytes_of_another_data_set_is_found(
        folder: Path, known: Callable[[int], Instance]) -> None:
    index = sqlite3.connect(folder / "index" / "index.sqlite")
    with index:
        index.execute("UPDATE instance SET digest = ? WHERE sop_instance_uid = ?",
                      ("0" * 64, ITEMS[0].instance))
    index.close()
    _, facts = fsck(folder, "--deep")
    assert [(p["kind"], p["subject"]) for p in facts["problems"]] == [("damaged", ITEMS[0].instance)]


def test_orphans_are_left_alone_while_young_and_mended_each_in_its_way(folder: Path) -> None:
    new = image(7, rows=64, columns=64)
    with open_archive(Place(str(folder))) as archive:
        store = archive.store
        copy = store.open(archive.index.get(ITEMS[0].instance).object_name).read()
        names = []
        for content in (copy, as_file(new), b"no DICOM at all"):
            with store.create() as incoming:
                incoming.write(content)
                names.append(incoming.commit())
    assert fsck(folder)[0].exit_code == 0, "they may be on their way in"
    for name in names:
        old(path_of(folder, name))
    done, facts = fsck(folder)
    assert (done.exit_code, kinds(facts)) == (1, ["orphan"] * 3)
    assert all(path_of(folder, name).exists() for name in names), "dry unless asked"
    done, facts = fsck(folder, "--repair")
    assert done.exit_code == 0
    told = {p["subject"]: p["done"] for p in facts["problems"]}
    assert [told[name].split()[0] for name in names] == ["deleted:", "taken", "moved"]
    assert (folder / "set-aside" / names[2]).read_bytes() == b"no DICOM at all"
    assert comes_back(folder, new, *ITEMS)
    assert fsck(folder, "--deep")[0].exit_code == 0


def test_a_torn_last_line_of_the_journal_is_noted_and_a_damaged_one_is_a_problem(folder: Path) -> None:
    journal = max((folder / "journal").iterdir(), key=lambda path: path.stat().st_size)
    with journal.open("ab") as log:
        log.write(b'{"event":"rece')
    done, facts = fsck(folder)
    assert done.exit_code == 0 and len(facts["notes"]) == 1
    raw = journal.read_bytes()
    journal.write_bytes(raw.replace(b'{"event"', b"###", 1))
    done, facts = fsck(folder)
    assert (done.exit_code, kinds(facts)) == (1, ["journal"])


def test_a_wrong_counter_is_found_and_a_rebuilt_index_counts_right(folder: Path) -> None:
    with open_archive(Place(str(folder))) as archive:
        for work in archive.index.lease("test", 60.0, 10):
            Coder(archive, effort="fast").code(work)
        archive.release_due()
    index = sqlite3.connect(folder / "index" / "index.sqlite")
    with index:
        index.execute("UPDATE counter SET value = value + 1 WHERE name = 'state:coded'")
    index.close()
    done, facts = fsck(folder)
    assert (done.exit_code, kinds(facts)) == (1, ["sums"])
    assert fsck(folder, "--rebuild-index")[0].exit_code == 0


@pytest.mark.parametrize("lost", [False, True], ids=["index", "index-and-journal"])
def test_the_index_is_made_again_from_the_store(folder: Path, lost: bool) -> None:
    for path in (folder / "index").iterdir():
        path.write_bytes(b"not a database, after the power cut " * 300)
    if lost:
        for path in (folder / "journal").iterdir():
            path.unlink()
    done, facts = fsck(folder, "--rebuild-index", "--deep", "--orphans-after", 0)
    made = facts["rebuilt"]
    assert (made["instances"], made["conflicts"]) == (5, 1)
    assert Path(made["old_index"]).read_bytes().startswith(b"not a database")
    if lost:       # names of attachments stand in the journal alone
        assert (made["adopted"], made["attachments"], kinds(facts)) == (5, 0, ["orphan"])
        assert comes_back(folder, *ITEMS[1:], ATTACHED)
    else:
        assert (done.exit_code, facts["problems"], made["attachments"]) == (0, [], 2)
        assert comes_back(folder, *ITEMS, ATTACHED)
        with open_archive(Place(str(folder))) as archive, Attachments(archive, Policy()).give("u1") as given:
            assert b"".join(given.chunks()) == as_file(ATTACHED)


def test_a_rebuilt_index_knows_what_became_of_attachments(folder: Path) -> None:
    first, second = as_file(image(1, series="1.7", rows=64, columns=64)), as_file(
        image(1, series="1.7", rows=64, columns=64, seed=4))
    with open_archive(Place(str(folder))) as archive:
        attachments = Attachments(archive, Policy())
        for uuid, content in (("v1", first), ("v2", second), ("v3", as_file(ITEMS[0]))):
            attachments.take(uuid, 1, io.BytesIO(content).read, len(content))
        for uuid in ("v1", "v3", "u2"):    # v2's content takes the place of v1's
            attachments.remove(uuid)
        put(archive, ATTACHED)             # from now on it stays
        before = sorted((i.sop_instance_uid, i.digest, i.source, i.object_name)
                        for i in archive.index.instances())
    done, facts = fsck(folder, "--rebuild-index", "--orphans-after", 0, "--deep")
    assert (done.exit_code, facts["problems"], facts["attachments"]) == (0, [], 2)
    with open_archive(Place(str(folder))) as archive:
        assert sorted((i.sop_instance_uid, i.digest, i.source, i.object_name)
                      for i in archive.index.instances()) == before
        with Attachments(archive, Policy()).give("v2") as given:
            assert b"".join(given.chunks()) == second
        archive.index.detach("u1")
        assert archive.index.get(ATTACHED.instance).source == "c-store"


def test_the_index_is_not_made_again_under_a_running_node(folder: Path) -> None:
    heartbeat.write(folder, {"workers": 1})
    done, _ = fsck(folder, "--rebuild-index")
    assert done.exit_code == 2 and "node runs" in done.stderr


def test_attachments_that_the_other_archive_does_not_know_are_found_and_forgotten(
        folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "uuids.txt"
    listed.write_text("u2\nnever-came\n")
    index = tmp_path / "index"
    with sqlite3.connect(index) as database:
        database.execute("CREATE TABLE AttachedFiles (id INTEGER, fileType INTEGER, uuid TEXT)")
        database.execute("INSERT INTO AttachedFiles VALUES (1, 1, 'u2'), (1, 3, 'never-came')")
    database.close()
    for known in (listed, index):
        assert kinds(fsck(folder, "--attachments", known)[1]) == ["attachment-missing"], "u1 is too young"
        done, facts = fsck(folder, "--attachments", known, "--orphans-after", 0)
        assert (done.exit_code, kinds(facts)) == (1, ["attachment-missing", "attachment-orphan"])
    _, facts = fsck(folder, "--attachments", listed, "--orphans-after", 0, "--repair")
    assert [(p["subject"], p["done"]) for p in facts["problems"]] == [("u1", "forgotten"), ("never-came", "")]
    assert facts["attachments"] == 2 and fsck(folder)[1]["attachments"] == 1


def test_what_is_no_archive_is_wrong_use(tmp_path: Path) -> None:
    assert fsck(tmp_path / "nothing")[0].exit_code == 2
