"""Coding again in an archive: smaller, the same bytes, and at every moment something that can be fetched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import RLELossless

from dicomnn.archive import State
from dicomnn.errors import StoreFull
from dicomnn.flow.code import Coder, Done
from dicomnn.flow.ingest import Policy, ProfileRule
from dicomnn.flow.lift import lift_to
from dicomnn.flow.part10 import file_prefix
from dicomnn.flow.study import report_folder, study_report, write_due_report
from dicomnn.shelf import Shelf
from tests.flow.conftest import Walks
from tests.scp.collection import items, split
from tests.scp.peer import CT, Item, image

NAMES = ("ct_thorax/ct_01.dcm", "ct_thorax/ct_02.dcm", "mr_brain/t1_01.dcm", "mr_flow_bigendian/velocity.dcm")
STUDY = "1.2.826.9.1"


def samples(sample_data: Path, *names: str) -> list[Item]:
    return [item for path, item in items(sample_data) if str(path.relative_to(sample_data)) in names]


def lift_all(walks: Walks, effort: str = "max", **more: Any) -> list[Done]:
    """Ask for all that is below ``effort``, and do it."""
    archive = walks.archive
    archive.index.ask_again(lift_to(archive.shelf, effort, failed=True, **more))
    coder, done = Coder(archive), []
    while works := archive.index.lease_again("test", 60.0):
        done += [coder.code(work) for work in works]
    archive.release_due()
    return done


def test_fast_becomes_max_smaller_and_byte_identical(walks: Walks, sample_data: Path) -> None:
    sent = samples(sample_data, *NAMES)
    for item in sent:
        walks.put(item)
    walks.code_all("fast")
    walks.archive.release_due()
    before = {i.sop_instance_uid: i for i in walks.archive.index.instances()}
    done = lift_all(walks)
    assert [d.outcome for d in done] == ["recoded"] * len(NAMES)
    assert [walks.take(item) for item in sent] == sent
    for now in walks.archive.index.instances():
        was = before[now.sop_instance_uid]
        assert now.state is State.CODED and now.object_size < was.object_size
        assert (now.before, now.digest, now.transfer_syntax_uid) == (
            was.before, was.digest, was.transfer_syntax_uid)
        assert (now.facts["effort"], now.tried_effort) == ("max", "max")
        assert now.facts["bytes_before"] == was.facts["bytes_before"] and now.facts["image"]
    assert walks.objects() == len(NAMES), "nothing of before is left"
    status = walks.archive.status()
    assert status.recoded == len(NAMES) and status.recode_saved == sum(
        was.object_size for was in before.values()) - status.bytes_after > 0
    assert lift_all(walks) == [], "done is done"


def test_it_is_fetched_in_every_state_on_the_way(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all("fast")
    walks.archive.release_due()
    walks.archive.index.ask_again(lift_to(walks.archive.shelf, "max"))
    assert walks.take(item) == item
    (work,) = walks.archive.index.lease_again("test", 60.0)
    assert walks.archive.index.get(item.instance).state is State.RECODING
    assert walks.take(item) == item
    assert study_report(walks.archive, STUDY).totals.states == {"coded": 1}
    assert Coder(walks.archive).code(work).outcome == "recoded"
    assert walks.take(item) == item
    walks.archive.release_due()
    assert walks.take(item) == item


def test_retrieval_is_right_while_everything_is_coded_again(walks: Walks) -> None:
    sent = [image(n, rows=48, columns=48) for n in range(1, 9)]
    for item in sent:
        walks.put(item)
    walks.code_all("fast")
    walks.archive.release_due()
    over = threading.Event()

    def read() -> int:
        rounds = 0
        while not over.is_set() or rounds == 0:
            assert [walks.take(item) for item in sent] == sent
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            archive = walks.archive
            archive.index.ask_again(lift_to(archive.shelf, "max"))
            coder = Coder(archive)
            while works := archive.index.lease_again("test", 60.0):
                coder.code(works[0])
                archive.release_due()
        finally:
            over.set()
        assert all(reader.result() for reader in readers)
    assert walks.archive.status().recoded > 0


def test_what_does_not_become_smaller_keeps_its_object(walks: Walks) -> None:
    made = [image(number) for number in range(1, 25)]  # noise: a higher effort has nothing to find
    for item in made:
        walks.put(item)
    walks.code_all("default")
    walks.archive.release_due()
    before = {item.instance: walks.archive.index.get(item.instance) for item in made}
    outcomes = [(done.outcome, done.reason) for done in lift_all(walks)]
    kept = outcomes.count(("left", "not-smaller"))
    assert kept > 0 and kept + outcomes.count(("recoded", "")) == len(made)
    same = 0
    for item in made:
        was, now = before[item.instance], walks.archive.index.get(item.instance)
        assert (now.state, now.tried_effort) == (State.CODED, "max") and walks.take(item) == item
        if now.object_name == was.object_name:
            assert now.facts == was.facts and now.model_id == was.model_id
            same += 1
    assert same == kept == walks.archive.status().recode_kept
    assert lift_all(walks) == [], "it is not tried every night"


def test_a_newer_model_is_a_reason_and_the_effort_stays_what_it_was(
        walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    with monkeypatch.context() as patched:        # as if there had been no model yet
        patched.setattr("dicomnn.shelf.default_shelf", lambda extra=None: Shelf([], extra=extra))
        walks.code_all("max")
    walks.archive._shelf = None
    assert walks.archive.index.get(item.instance).tried_model == ""
    assert lift_all(walks, "default", model="any") == []
    assert [d.outcome for d in lift_all(walks, "default")] == ["recoded"]
    now = walks.archive.index.get(item.instance)
    newest = walks.archive.shelf.newest().id
    assert (now.tried_effort, now.tried_model, now.facts["effort"], now.model_id) == (
        "max", newest, "max", newest)
    assert newest in walks.archive.store.models() and walks.take(item) == item


def test_lossy_objects_are_left_alone(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(profile="bounded:3"))
    walks.put(image(1, rows=96, columns=96))
    walks.code_all("fast")
    (before,) = walks.archive.index.instances()
    assert before.facts["exact"] == "bounded" and before.tried_effort is None
    assert lift_all(walks) == []


def test_losslessly_encapsulated_input_comes_back_as_before(walks: Walks, tmp_path: Path) -> None:
    plain = image(1, rows=64, columns=64)
    path = tmp_path / "rle.dcm"
    path.write_bytes(file_prefix(CT, plain.instance, plain.syntax) + plain.data)
    packed = pydicom.dcmread(path)
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(path, enforce_file_format=True)
    item = Item(CT, plain.instance, str(RLELossless), split(path.read_bytes())[1])
    walks.put(item)
    walks.code_all("fast")
    assert walks.archive.index.get(item.instance).facts["exact"] == "pixels"
    first = walks.take(item)
    assert [d.outcome for d in lift_all(walks)] == ["recoded"]
    assert walks.take(item) == first
    assert walks.archive.index.get(item.instance).facts["exact"] == "pixels"


# ------------------------------------------------------------------ trouble
def test_a_damaged_object_is_told_and_left_for_analysis(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(attempts=2, back_off=0.0)
    items_ = [image(n, rows=64, columns=64) for n in (1, 2)]
    for item in items_:
        walks.put(item)
    walks.code_all("fast")
    walks.archive.release_due()
    before = walks.archive.index.get(items_[0].instance)
    path = walks.archive.store.local_path(before.object_name)
    assert path is not None
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"DNNP") + 300] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(raw)
    outcomes = sorted(d.outcome for d in lift_all(walks))
    assert outcomes == ["failed", "failed", "recoded"]
    now = walks.archive.index.get(items_[0].instance)
    assert (now.state, now.object_name, now.reason) == (State.CODED, before.object_name, "recode-failed")
    assert now.error_code == "payload-corrupt" and path.read_bytes() == raw
    assert walks.take(items_[1]) == items_[1]


def test_an_object_of_another_data_set_never_takes_the_place(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(attempts=1)
    one, other = image(1, rows=64, columns=64), image(2, rows=64, columns=64)
    for item in (one, other):
        walks.put(item)
    walks.code_all("fast")
    index, store = walks.archive.index, walks.archive.store
    paths = [store.local_path(index.get(item.instance).object_name) for item in (one, other)]
    assert paths[0] is not None and paths[1] is not None
    paths[0].chmod(0o600)
    paths[0].write_bytes(paths[1].read_bytes())
    lift_all(walks)
    assert index.get(one.instance).error_code == "restore-mismatch"
    assert index.get(other.instance).tried_effort == "max"


def test_a_full_store_stops_the_work_and_nothing_is_lost(walks: Walks,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all("fast")
    walks.archive.release_due()
    walks.archive.index.ask_again(lift_to(walks.archive.shelf, "max"))
    (work,) = walks.archive.index.lease_again("test", 0.0)

    def full(*_arguments: object, **_options: object) -> None:
        raise StoreFull("no space is left")

    with monkeypatch.context() as patched:
        patched.setattr(type(walks.archive.store), "create", full)
        with pytest.raises(StoreFull):
            Coder(walks.archive).code(work)
    assert walks.take(item) == item
    (again,) = walks.archive.index.lease_again("test", 60.0)
    assert Coder(walks.archive).code(again).outcome == "recoded" and walks.take(item) == item


def test_work_done_twice_is_harmless(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all("fast")
    walks.archive.index.ask_again(lift_to(walks.archive.shelf, "max"))
    (first,) = walks.archive.index.lease_again("slow", 0.0)
    (second,) = walks.archive.index.lease_again("fast", 60.0)
    coder = Coder(walks.archive)
    assert coder.code(second).outcome == "recoded"
    assert coder.code(first).outcome in ("lost", "failed")
    walks.archive.release_due()
    assert walks.take(item) == item and walks.objects() == 1


# ------------------------------------------------------------------ reports and rules
def test_a_report_is_written_again_with_the_new_sizes(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all("fast")
    assert write_due_report(walks.archive, 0.0) == STUDY
    before = study_report(walks.archive, STUDY).series[0].instances[0]
    walks.archive.index.ask_again(lift_to(walks.archive.shelf, "max"))
    asked = study_report(walks.archive, STUDY).series[0].instances[0]
    assert asked == before and write_due_report(walks.archive, 0.0) is None, "a wish changes nothing"
    facts = walks.archive.index.get(item.instance).facts
    assert asked.coded_at == facts["coded_at"], "not when somebody last touched it"
    lift_all(walks)
    assert write_due_report(walks.archive, 0.0) == STUDY
    assert (report_folder(walks.archive, STUDY) / "report.json").is_file()
    after = study_report(walks.archive, STUDY).series[0].instances[0]
    assert after.effort == "max" and after.bytes_after < before.bytes_after
    assert (after.bytes_before, after.dataset_digest) == (before.bytes_before, before.dataset_digest)


def test_rules_choose_the_effort(walks: Walks) -> None:
    for number in (1, 2):
        walks.put(image(number, rows=32, columns=32))
    rules = (ProfileRule("lossless", ae_title="OTHER", effort="max"),
             ProfileRule("lossless", ae_title="PEER", modality="CT", effort="fast"))
    index = walks.archive.index
    for rule, expected in ((rules, "fast"), (rules[:1], "default")):
        (work,) = index.lease("test", 60.0)
        assert Coder(walks.archive, effort="default", rules=rule).code(work).outcome == "coded"
        now = index.get(work.sop_instance_uid)
        assert now.facts["effort"] == now.tried_effort == expected
    assert index.status().tried.keys() == {"fast", "default"}
