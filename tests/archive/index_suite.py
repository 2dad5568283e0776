"""What every index promises. An index's own test file inherits `IndexSuite` and gives ``make_index``."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dicomnn.archive import Index, State, Work
from dicomnn.errors import ConfigurationError, InstanceNotFound
from tests.archive.conftest import Clock, arrived


class IndexSuite:
    @pytest.fixture
    def make_index(self, clock: Clock) -> Callable[..., Index]:
        """Opens the index of this test with the clock of this test; the same one when called again."""
        raise NotImplementedError

    @pytest.fixture
    def index(self, make_index: Callable[..., Index]) -> Index:
        return make_index()

    @staticmethod
    def take(index: Index, seconds: float = 60.0) -> Work:
        (work,) = index.lease("worker", seconds)
        return work

    @staticmethod
    def finish(index: Index, work: Work, name: str | None = None, size: int = 3, **more: Any) -> bool:
        return index.coded(work, name or secrets.token_hex(16), object_sha256="c" * 64, object_size=size, **more)

    # ---------------------------------------------------------------- arrival
    def test_what_was_received_is_found_with_all_it_came_with(self, index: Index, clock: Clock) -> None:
        received = arrived("1.2.3", content=b"12345", transfer_syntax_uid="1.2.840.10008.1.2.1",
                           attributes={"modality": "MR", "patient_name": "Ä^B", "rows": 5, "series_number": 2},
                           facts={"seconds": 0.5}, peer_address="10.0.0.1", profile="bounded:2")
        receipt = index.receive(received)
        assert (receipt.kind, receipt.drop) == ("new", None)
        instance = index.get("1.2.3")
        assert instance.id == receipt.instance_id
        assert instance.state is State.RECEIVED
        assert (instance.object_name, instance.object_size, instance.before, instance.digest) == (
            received.object_name, 5, 5, received.digest)
        assert instance.attributes == {"modality": "MR", "patient_name": "Ä^B", "rows": 5, "series_number": 2}
        assert instance.facts == {"seconds": 0.5}
        assert (instance.calling_ae, instance.peer_address, instance.profile) == ("CT1", "10.0.0.1", "bounded:2")
        assert instance.received_at == instance.changed_at == clock.now

    def test_an_unknown_uid_is_a_typed_error(self, index: Index) -> None:
        with pytest.raises(InstanceNotFound, match="9.9.9"):
            index.get("9.9.9")

    def test_the_same_content_again_is_acknowledged_and_not_stored_twice(self, index: Index) -> None:
        first = arrived("1.2.3")
        index.receive(first)
        again = arrived("1.2.3")
        receipt = index.receive(again)
        assert (receipt.kind, receipt.drop) == ("same", again.object_name)
        assert index.get("1.2.3").object_name == first.object_name
        assert [release.object_name for release in index.due_releases()] == [again.object_name]
        assert index.status().duplicates == 1

    def test_saying_the_same_arrival_again_after_a_lost_answer_changes_nothing(self, index: Index) -> None:
        first = arrived("1.2.3")
        index.receive(first)
        assert index.receive(first).kind == "new"
        other = arrived("1.2.3", content=b"other")
        index.receive(other)
        receipt = index.receive(other)
        assert (receipt.kind, receipt.drop) == ("conflict", None)
        assert index.due_releases() == []

    def test_other_content_under_a_known_uid_is_kept_beside_the_first(self, index: Index) -> None:
        first, other = arrived("1.2.3"), arrived("1.2.3", content=b"other", calling_ae="CT2")
        index.receive(first)
        receipt = index.receive(other)
        assert (receipt.kind, receipt.drop) == ("conflict", None)
        assert index.get("1.2.3").digest == first.digest
        (conflict,) = index.conflicts(study="1.9")
        assert (conflict.id, conflict.object_name, conflict.digest, conflict.calling_ae, conflict.superseded) == (
            receipt.conflict_id, other.object_name, other.digest, "CT2", False)
        assert index.due_releases() == []
        assert index.referrer(other.object_name) == "conflict"
        status = index.status()
        assert status.conflicts == 1 and status.bytes_store == 8 + 5
        study = index.study("1.9")
        assert study is not None and study.conflicts == 1

    def test_a_conflict_that_is_sent_again_is_stored_once(self, index: Index) -> None:
        index.receive(arrived("1.2.3"))
        index.receive(arrived("1.2.3", content=b"other"))
        again = arrived("1.2.3", content=b"other")
        receipt = index.receive(again)
        assert (receipt.kind, receipt.drop) == ("conflict", again.object_name)
        (conflict,) = index.conflicts()
        assert conflict.times_seen == 2

    def test_if_changed_lets_the_newer_win_and_loses_nothing(self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="if-changed")
        first, other = arrived("1.2.3"), arrived("1.2.3", content=b"other", study_instance_uid="1.10")
        index.receive(first)
        self.finish(index, self.take(index), "f" * 32)
        assert index.receive(arrived("1.2.3")).kind == "same"
        assert index.receive(other).kind == "replaced"
        now = index.get("1.2.3")
        assert (now.object_name, now.state, now.study_instance_uid) == (other.object_name, State.RECEIVED, "1.10")
        (conflict,) = index.conflicts()
        assert (conflict.object_name, conflict.superseded, conflict.coded) == ("f" * 32, True, True)
        assert conflict.digest == first.digest
        one, two = index.study("1.9"), index.study("1.10")
        assert one is not None and two is not None and (one.instances, two.instances) == (0, 1)

    def test_two_contents_taking_turns_do_not_pile_up(self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="if-changed")
        for content in (b"one", b"two") * 4:
            index.receive(arrived("1.2.3", content=content))
        assert len(list(index.conflicts())) == 2
        assert {conflict.object_name for conflict in index.conflicts()}.isdisjoint(
            release.object_name for release in index.due_releases())

    def test_always_takes_the_newer_object_even_of_the_same_content(
            self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="always")
        first, again = arrived("1.2.3"), arrived("1.2.3")
        index.receive(first)
        assert index.receive(again).kind == "replaced"
        assert index.get("1.2.3").object_name == again.object_name
        assert [release.object_name for release in index.due_releases()] == [first.object_name]
        assert list(index.conflicts()) == []

    def test_an_unknown_policy_is_a_configuration_error(self, make_index: Callable[..., Index]) -> None:
        with pytest.raises(ConfigurationError, match="sometimes"):
            make_index(policy="sometimes")

    def test_a_replaced_instance_is_lost_to_the_worker_that_codes_it(
            self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="if-changed")
        index.receive(arrived("1.2.3"))
        work = self.take(index)
        index.receive(arrived("1.2.3", content=b"other"))
        assert not index.renew(work, 60)
        assert not self.finish(index, work, "e" * 32)
        assert "e" * 32 in {release.object_name for release in index.due_releases()}
        assert index.get("1.2.3").state is State.RECEIVED

    def test_what_is_judged_at_arrival_is_kept_and_never_leased(self, index: Index) -> None:
        index.receive(arrived("1.2.3", kept_reason="no-pixel-data", kept_detail="a report"))
        assert index.lease("worker", 60) == []
        instance = index.get("1.2.3")
        assert (instance.state, instance.reason, instance.detail) == (State.KEPT, "no-pixel-data", "a report")
        assert index.status().kept == {"no-pixel-data": 1}

    def test_hostile_text_is_stored_without_harm(self, index: Index) -> None:
        ugly = "a\0b\ud800'; DROP TABLE instance; --"
        index.receive(arrived("1.2.3", attributes={"patient_name": ugly, "series_number": 10 ** 30,
                                                   "weight": float("nan")}, calling_ae=ugly))
        instance = index.get("1.2.3")
        assert instance.attributes["patient_name"] == "ab?'; DROP TABLE instance; --"
        study = index.study("1.9")
        assert study is not None and study.patient_name == "ab?'; DROP TABLE instance; --"

    # ---------------------------------------------------------------- work
    def test_work_is_leased_once_longest_waiting_first(self, index: Index, clock: Clock) -> None:
        for number in range(5):
            clock.pass_(1)
            index.receive(arrived(f"1.{number}"))
        first = index.lease("a", 60, limit=3)
        second = index.lease("b", 60, limit=3)
        assert [work.sop_instance_uid for work in (*first, *second)] == [f"1.{number}" for number in range(5)]
        assert index.lease("c", 60) == []
        assert {work.attempt for work in first} == {1}
        assert index.get("1.0").lease_owner == "a"

    def test_the_swap_points_to_the_new_object_and_releases_the_original(self, index: Index) -> None:
        received = arrived("1.2.3", facts={"a": 1})
        index.receive(received)
        work = self.take(index)
        assert self.finish(index, work, "f" * 32, size=3, model_id="m1", facts={"ratio": 2.5})
        instance = index.get("1.2.3")
        assert (instance.state, instance.object_name, instance.object_size, instance.before, instance.after) == (
            State.CODED, "f" * 32, 3, 8, 3)
        assert instance.digest == received.digest
        assert (instance.model_id, instance.facts) == ("m1", {"a": 1, "ratio": 2.5})
        assert [(r.object_name, r.reason) for r in index.due_releases()] == [(received.object_name, "coded")]
        status = index.status()
        assert (status.coded, status.bytes_before, status.bytes_after, status.bytes_store) == (1, 8, 3, 11)
        index.released([received.object_name])
        assert index.due_releases() == [] and index.status().bytes_store == 3

    def test_released_objects_stay_for_the_grace_time(self, make_index: Callable[..., Index],
                                                      clock: Clock) -> None:
        index = make_index(grace_seconds=100)
        index.receive(arrived("1.2.3"))
        self.finish(index, self.take(index))
        assert index.due_releases() == []
        clock.pass_(101)
        assert len(index.due_releases()) == 1

    def test_saying_coded_again_after_a_lost_answer_is_true_and_changes_nothing(self, index: Index) -> None:
        index.receive(arrived("1.2.3"))
        work = self.take(index)
        assert self.finish(index, work, "f" * 32)
        assert self.finish(index, work, "f" * 32)
        assert "f" * 32 not in {release.object_name for release in index.due_releases()}

    def test_a_lease_that_ran_out_is_taken_over_and_the_first_worker_loses(self, index: Index,
                                                                          clock: Clock) -> None:
        index.receive(arrived("1.2.3"))
        slow = self.take(index, 60)
        clock.pass_(61)
        quick = self.take(index)
        assert quick.attempt == 2
        assert not index.renew(slow, 60)
        assert not index.kept(slow, "colour")
        assert index.failed(slow, "codec", "too late") is State.CODING
        assert not self.finish(index, slow, "a" * 32)
        assert self.finish(index, quick, "b" * 32)
        assert index.get("1.2.3").object_name == "b" * 32
        assert {release.object_name for release in index.due_releases()} == {
            "a" * 32, slow.object_name}, "the loser's object and the original, nothing that is in use"

    def test_a_lease_that_ran_out_and_that_nobody_took_still_counts(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.2.3"))
        work = self.take(index, 60)
        clock.pass_(1000)
        assert self.finish(index, work)

    def test_a_renewed_lease_is_not_taken_over(self, index: Index, clock: Clock) -> None:
        index.receive(arrived("1.2.3"))
        work = self.take(index, 60)
        clock.pass_(50)
        assert index.renew(work, 60)
        clock.pass_(50)
        assert index.lease("other", 60) == []
        assert self.finish(index, work)

    def test_a_failure_is_tried_again_after_a_growing_pause_then_kept(self, make_index: Callable[..., Index],
                                                                      clock: Clock) -> None:
        index = make_index(attempts=3, back_off=10.0)
        index.receive(arrived("1.2.3"))
        for pause in (10.0, 20.0):
            assert index.failed(self.take(index), "codec", "it broke") is State.RECEIVED
            assert index.status().retrying == 1
            clock.pass_(pause - 1)
            assert index.lease("worker", 60) == []
            clock.pass_(1)
        assert index.failed(self.take(index), "codec", "it broke for good") is State.KEPT
        instance = index.get("1.2.3")
        assert (instance.state, instance.reason, instance.error_code, instance.detail) == (
            State.KEPT, "failed", "codec", "it broke for good")
        status = index.status()
        assert (status.kept, status.failures, status.retrying, status.idle) == ({"failed": 1}, {"codec": 1}, 0, True)

    def test_an_instance_that_kills_its_workers_is_kept_after_the_last_attempt(
            self, make_index: Callable[..., Index], clock: Clock) -> None:
        index = make_index(attempts=2)
        index.receive(arrived("1.2.3"))
        for _ in range(2):
            self.take(index, 60)
            clock.pass_(61)
        assert index.lease("worker", 60) == []
        instance = index.get("1.2.3")
        assert (instance.state, instance.reason, instance.error_code) == (State.KEPT, "failed", "lease-ran-out")

    def test_kept_instances_are_given_back_to_the_workers_on_request(self, index: Index) -> None:
        for number in range(3):
            index.receive(arrived(f"1.{number}", kept_reason="failed" if number else "colour"))
        assert index.retry(reason="failed") == 2
        assert index.retry(reason="failed") == 0
        assert index.retry(sop_instance_uid="1.0") == 1
        assert len(index.lease("worker", 60, limit=9)) == 3
        assert index.status().kept == {}

    def test_a_lossy_result_has_a_new_uid_and_is_still_known_by_the_old(self, index: Index) -> None:
        index.receive(arrived("1.2.3"))
        self.finish(index, self.take(index), sop_instance_uid="2.25.1")
        assert index.get("2.25.1") == index.get("1.2.3")
        assert index.get("1.2.3").sop_instance_uid == "2.25.1"
        assert index.receive(arrived("1.2.3")).kind == "same"

    # ---------------------------------------------------------------- the end
    def test_a_deleted_instance_is_a_tombstone_and_its_object_goes_after_the_grace_time(
            self, make_index: Callable[..., Index], clock: Clock) -> None:
        index = make_index(grace_seconds=100)
        received = arrived("1.2.3")
        index.receive(received)
        assert index.delete("1.2.3", reason="retention", by="rule 7")
        assert not index.delete("1.2.3", reason="retention", by="rule 7")
        assert not index.delete("9.9", reason="retention", by="rule 7")
        instance = index.get("1.2.3")
        assert (instance.state, instance.reason, instance.detail) == (State.DELETED, "retention", "by rule 7")
        assert list(index.instances()) == []
        assert index.lease("worker", 60) == [] and index.due_releases() == []
        clock.pass_(101)
        assert [release.object_name for release in index.due_releases()] == [received.object_name]

    def test_a_deleted_instance_that_is_sent_again_lives_again(self, index: Index) -> None:
        index.receive(arrived("1.2.3"))
        index.delete("1.2.3", reason="mistake", by="somebody")
        again = arrived("1.2.3")
        assert index.receive(again).kind == "new"
        instance = index.get("1.2.3")
        assert (instance.state, instance.object_name, instance.reason) == (
            State.RECEIVED, again.object_name, None)
        study = index.study("1.9")
        assert study is not None and study.instances == 1

    # ---------------------------------------------------------------- questions
    def test_pages_give_every_instance_once_in_order_of_arrival(self, index: Index) -> None:
        for number in range(11):
            index.receive(arrived(f"1.{number}", study_instance_uid=f"S{number % 2}",
                                  series_instance_uid=f"E{number % 4}"))
        assert [i.sop_instance_uid for i in index.instances(page=3)] == [f"1.{n}" for n in range(11)]
        assert [i.sop_instance_uid for i in index.instances(study="S1", page=2)] == [
            f"1.{n}" for n in range(1, 11, 2)]
        assert [i.sop_instance_uid for i in index.instances(study="S1", series="E3", page=1)] == ["1.3", "1.7"]
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
        for _ in range(250):
            index = pick.choice(indexes)
            clock.pass_(pick.random() * 5)
            action = pick.choice(["receive"] * 4 + ["lease", "lease", "coded", "coded", "kept", "failed",
                                                    "retry", "delete", "release"])
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
            elif action == "release":
                index.released([release.object_name for release in index.due_releases()])
            elif held:
                work = held.pop(pick.randrange(len(held)))
                if action == "coded":
                    self.finish(index, work, size=pick.randrange(1, 5))
                elif action == "kept":
                    index.kept(work, pick.choice(["colour", "not-smaller"]))
                else:
                    index.failed(work, pick.choice(["codec", "payload"]), "message")
        self.check_sums(indexes[0])

    @staticmethod
    def check_sums(index: Index) -> None:
        rows = list(index.instances(include_deleted=True))
        states = Counter(row.state for row in rows)
        status = index.status()
        assert len(states) >= 4, "the history was too poor to prove anything"
        assert (status.backlog, status.coding, status.coded, status.deleted) == (
            states[State.RECEIVED], states[State.CODING], states[State.CODED], states[State.DELETED])
        assert status.kept == Counter(row.reason for row in rows if row.state is State.KEPT)
        assert status.failures == Counter(row.error_code for row in rows
                                          if row.state is State.KEPT and row.error_code)
        coded = [row for row in rows if row.state is State.CODED]
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
