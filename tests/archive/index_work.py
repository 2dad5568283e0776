"""Part of the index's suite: leases, swaps, failures, deletion."""

from __future__ import annotations

from collections.abc import Callable

from dicomnn.archive import Index, State
from tests.archive.conftest import Clock, arrived
from tests.archive.index_base import IndexBase


class WorkSuite(IndexBase):
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
        assert (instance.state, instance.object_name) == (State.CODED, "f" * 32)
        assert (instance.object_size, instance.before, instance.after) == (3, 8, 3)
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
        assert (status.kept, status.failures) == ({"failed": 1}, {"codec": 1})
        assert status.retrying == 0 and status.idle

    def test_an_instance_that_kills_its_workers_is_kept_after_the_last_attempt(
            self, make_index: Callable[..., Index], clock: Clock) -> None:
        index = make_index(attempts=2)
        index.receive(arrived("1.2.3"))
        for _ in range(2):
            self.take(index, 60)
            clock.pass_(61)
        assert index.lease("worker", 60) == []
        instance = index.get("1.2.3")
        assert (instance.state, instance.reason) == (State.KEPT, "failed")
        assert instance.error_code == "lease-ran-out"

    def test_fewer_attempts_in_the_configuration_block_nothing(self, make_index: Callable[..., Index],
                                                               clock: Clock) -> None:
        index = make_index(attempts=5, back_off=1.0)
        index.receive(arrived("1.0"))
        for _ in range(3):
            index.failed(self.take(index), "codec", "it broke")
            clock.pass_(100)
        index.receive(arrived("1.1"))
        lowered = make_index(attempts=2)
        works = lowered.lease("worker", 60, limit=2)
        assert [work.sop_instance_uid for work in works] == ["1.0", "1.1"]
        assert lowered.failed(works[0], "codec", "again") is State.KEPT

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
