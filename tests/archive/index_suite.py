"""What every index promises. An index's own test file inherits `IndexSuite` and gives ``make_index``.

Arrivals, queries and work are in ``index_arrival.py``, ``index_find.py`` and ``index_work.py``; here are
questions, studies, sums.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from dicomnn.archive import Index, State, Tried, Work
from tests.archive.conftest import Clock, arrived
from tests.archive.index_again import MAX, AgainSuite
from tests.archive.index_arrival import ArrivalSuite
from tests.archive.index_find import FindSuite
from tests.archive.index_forward import ForwardSuite
from tests.archive.index_work import WorkSuite

TRIED = (None, Tried("fast", "old"), Tried("default", "new"), Tried("default"), Tried("max", "new"))


class IndexSuite(ArrivalSuite, FindSuite, WorkSuite, AgainSuite, ForwardSuite):
    # ---------------------------------------------------------------- questions
    def test_pages_give_every_instance_once_in_order_of_arrival(self, index: Index) -> None:
        for number in range(11):
            index.receive(arrived(f"1.{number}", study_instance_uid=f"S{number % 2}",
                                  series_instance_uid=f"E{number % 4}"))
        assert [i.sop_instance_uid for i in index.instances(page=3)] == [f"1.{n}" for n in range(11)]
        assert [i.sop_instance_uid for i in index.instances(study="S1", page=2)] == [
            f"1.{n}" for n in range(1, 11, 2)]
        both = index.instances(study="S1", series="E3", page=1)
        assert [i.sop_instance_uid for i in both] == ["1.3", "1.7"]
        assert [i.sop_instance_uid for i in index.instances(sop_instance="1.5")] == ["1.5"]
        assert [study.study_instance_uid for study in index.studies(page=1)] == ["S0", "S1"]

    def test_instances_that_arrive_while_pages_are_read_do_no_harm(self, index: Index) -> None:
        for number in range(4):
            index.receive(arrived(f"1.{number}"))
        reading = index.instances(page=2)
        seen = [next(reading).sop_instance_uid]
        index.receive(arrived("1.4"))
        index.delete("1.3", reason="r", by="b")
        assert seen + [i.sop_instance_uid for i in reading] == ["1.0", "1.1", "1.2", "1.4"]

    def test_the_rate_is_of_the_last_minutes_only(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.0"))
        clock.pass_(3600)
        for number in range(1, 7):
            index.receive(arrived(f"1.{number}"))
        clock.pass_(120)
        status = index.status(rate_seconds=240)
        assert status.rate["received"] == pytest.approx(6 / status.rate_seconds)
        assert 180 <= status.rate_seconds <= 240
        assert status.oldest_backlog == clock.now - 3720

    # ---------------------------------------------------------------- studies
    def test_a_study_is_stable_when_its_associations_are_closed_and_it_was_quiet(
            self, index: Index, clock: Clock) -> None:
        association = index.association_opened(calling_ae="CT1")
        index.receive(arrived("1.0", association=association))
        clock.pass_(1000)
        assert index.stable_studies(60) == [], "an association that touched it is open"
        index.association_closed(association)
        assert index.stable_studies(60) == [], "the quiet time begins with the release"
        clock.pass_(61)
        (study,) = index.stable_studies(60)
        assert (study.study_instance_uid, study.instances, study.pending) == ("1.9", 1, 1)
        index.receive(arrived("1.1"))
        assert index.stable_studies(60) == []

    def test_an_association_of_another_study_does_not_matter(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.0"))
        index.receive(arrived("2.0", study_instance_uid="2.9", association=index.association_opened()))
        clock.pass_(100)
        assert [study.study_instance_uid for study in index.stable_studies(60)] == ["1.9"]

    def test_what_a_dead_node_left_open_is_forgotten(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.0", association=index.association_opened(owner="node-1")))
        index.receive(arrived("2.0", study_instance_uid="2.9",
                              association=index.association_opened(owner="node-2")))
        assert index.forget_associations("node-1") == 1
        clock.pass_(100)
        assert [study.study_instance_uid for study in index.stable_studies(60)] == ["1.9"]
        clock.pass_(4000)
        assert len(index.stable_studies(60)) == 2, "an association silent for an hour is dead"

    def test_a_report_is_written_once_and_again_when_the_study_changes(self, index: Index,
                                                                      clock: Clock) -> None:
        index.receive(arrived("1.0"))
        clock.pass_(100)
        (study,) = index.stable_studies(60)
        assert index.claim_report("1.9", study.revision, 600)
        assert not index.claim_report("1.9", study.revision, 600)
        assert index.stable_studies(60) == []
        assert index.report_written("1.9", study.revision)
        clock.pass_(1000)
        assert index.stable_studies(60) == []
        self.finish(index, self.take(index))
        (study,) = index.stable_studies(60)
        assert study.pending == 0 and study.report_at is not None

    def test_a_report_that_was_overtaken_stays_due(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.0"))
        clock.pass_(100)
        (study,) = index.stable_studies(60)
        assert index.claim_report("1.9", study.revision, 600)
        index.receive(arrived("1.1"))
        assert not index.report_written("1.9", study.revision)
        clock.pass_(100)
        assert len(index.stable_studies(60)) == 1

    def test_a_claim_of_a_report_runs_out(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.0"))
        clock.pass_(100)
        (study,) = index.stable_studies(60)
        assert index.claim_report("1.9", study.revision, 600)
        clock.pass_(601)
        assert len(index.stable_studies(60)) == 1
        assert index.claim_report("1.9", study.revision, 600)

    # ---------------------------------------------------------------- sums
    def test_counters_equal_a_count_of_the_rows_after_any_history(self, make_index: Callable[..., Index],
                                                                  clock: Clock) -> None:
        pick = random.Random(9)
        indexes = [make_index(policy=policy, attempts=2, back_off=1.0) for policy in ("never", "if-changed")]
        held: list[Work] = []
        for _ in range(240):
            index = pick.choice(indexes)
            clock.pass_(pick.random() * 5)
            action = pick.choice(["receive"] * 4 + [
                "lease", "lease", "coded", "coded", "coded", "kept", "failed", "retry", "delete", "release",
                "ask", "again", "call-off"])
            uid = f"1.{pick.randrange(25)}"
            if action == "receive":
                index.receive(arrived(uid, content=pick.choice([b"one", b"other", b"third!"]),
                                      study_instance_uid=f"S{pick.randrange(3)}"))
            elif action == "lease":
                held += index.lease("worker", 10, limit=3)
            elif action == "retry":
                index.retry(sop_instance_uid=uid)
            elif action == "delete":
                index.delete(uid, reason="r", by="b")
            elif action == "ask":
                index.ask_again(replace(MAX, failed=True), limit=3)
                index.ask_tonight(MAX, 1, night="monday", per_night=20)
            elif action == "again":
                held += index.lease_again("worker", 10, limit=2, night=True)
            elif action == "call-off" and pick.random() < 0.2:
                index.call_off()
            elif action == "release":
                index.released([release.object_name for release in index.due_releases()])
            elif held:
                work = held.pop(pick.randrange(len(held)))
                if action == "coded":
                    self.finish(index, work, size=pick.randrange(1, 5), tried=pick.choice(TRIED))
                elif action == "kept":
                    index.kept(work, pick.choice(["colour", "not-smaller"]), tried=pick.choice(TRIED))
                else:
                    index.failed(work, pick.choice(["codec", "payload"]), "message")
        indexes[0].ask_again(replace(MAX, failed=True))
        assert indexes[0].lease_again("worker", 10, limit=2)
        self.check_sums(indexes[0])

    @staticmethod
    def check_sums(index: Index) -> None:
        rows = list(index.instances(include_deleted=True))
        states = Counter(row.state for row in rows)
        status = index.status()
        assert len(states) >= 4, "the history was too poor to prove anything"
        assert (status.backlog, status.coding, status.coded, status.deleted) == (
            states[State.RECEIVED], states[State.CODING], states[State.CODED] + states[State.RECODING],
            states[State.DELETED])
        assert status.kept == Counter(row.reason for row in rows if row.state is State.KEPT)
        assert status.failures == Counter(row.error_code for row in rows
                                          if row.state is State.KEPT and row.error_code)
        coded = [row for row in rows if row.state.is_coded]
        assert status.recoding == Counter(row.recode_by for row in rows if row.state is State.RECODING)
        assert status.recoding and status.recoded > 0 < status.recode_kept
        assert status.recode_waiting == Counter(row.recode_by for row in rows
                                                if row.state is State.CODED and row.recode_by)
        assert status.recode_failures == Counter(row.error_code for row in rows
                                                 if row.state is State.CODED and row.reason)
        assert {(effort, model): number for effort, models in status.tried.items()
                for model, number in models.items()} == Counter(
            (row.tried_effort, row.tried_model) for row in coded if row.tried_effort)
        assert (status.bytes_before, status.bytes_after) == (
            sum(row.before for row in coded), sum(row.after for row in coded))
        assert status.bytes_store == sum(size for _, size, _ in index.object_names())
        conflicts = list(index.conflicts())
        assert status.conflicts == len(conflicts) > 0
        for study in index.studies():
            here = [row for row in rows if row.study_instance_uid == study.study_instance_uid
                    and row.state is not State.DELETED]
            assert (study.instances, study.bytes_before, study.bytes_after) == (
                len(here), sum(row.before for row in here), sum(row.after for row in here))
            assert study.pending == sum(row.state in (State.RECEIVED, State.CODING) for row in here)
            assert study.conflicts == sum(
                conflict.study_instance_uid == study.study_instance_uid for conflict in conflicts)
        names = [name for name, _, _ in index.object_names()]
        assert names == sorted(set(names)), "an object in use must not be on the release queue"
