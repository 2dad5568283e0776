"""Part of the index's suite: coding again, who asks for it, who does it, and what becomes of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from dicomnn.archive import Index, Lift, State, Tried, Work
from dicomnn.conditions import OneOf
from tests.archive.conftest import Clock, arrived
from tests.archive.index_base import IndexBase

MAX = Lift("max", lower=("fast", "default"), older=("old",))
FAST = Tried("fast", "new")


class AgainSuite(IndexBase):
    def coded(self, index: Index, uid: str, tried: Tried | None = FAST, size: int = 6, **more: object) -> str:
        """One more coded instance of ``size`` bytes; its object's name."""
        index.receive(arrived(uid, **more))
        name = secrets.token_hex(16)
        assert self.finish(index, self.take(index), name, size, model_id="new", tried=tried)
        return name

    @staticmethod
    def take_again(index: Index, *, night: bool = False) -> Work:
        (work,) = index.lease_again("worker", 60, night=night)
        return work

    def test_what_is_coded_again_just_now_is_found_as_coded(self, index: Index) -> None:
        self.coded(index, "1.1", study_instance_uid="S", attributes={"patient_id": "P"})
        index.ask_again(MAX)
        assert self.take_again(index).instance.state is State.RECODING
        for level in ("patient", "study", "series", "instance"):
            assert [row["coded"] for row in index.find(level, [], wanted=["coded"])] == [True], level
        assert [located.coded for located in index.locate([OneOf("patient_id", ("P",))])] == [True]

    # ---------------------------------------------------------------- which
    def test_meant_is_what_was_tried_with_less_effort_or_an_older_model(self, index: Index) -> None:
        for uid, tried in {"1.1": FAST, "1.2": Tried("max", "new"), "1.3": Tried("max", "old"),
                           "1.4": Tried("default", "old"), "1.5": None}.items():
            self.coded(index, uid, tried)
        index.receive(arrived("1.6"))
        assert {i.sop_instance_uid for i in index.recodable(MAX)} == {"1.1", "1.3", "1.4"}
        assert index.ask_again(MAX) == (3, 18)
        assert list(index.recodable(MAX)) == [] and index.ask_again(MAX) == (0, 0)

    def test_a_wish_can_be_narrowed_down(self, index: Index, clock: Clock) -> None:
        self.coded(index, "1.1", study_instance_uid="S1")
        self.coded(index, "1.2", attributes={"modality": "MR"})
        clock.pass_(1000)
        self.coded(index, "1.3", study_instance_uid="S1")

        def meant(**more: object) -> set[str]:
            lift = Lift("max", lower=("fast",), **more)  # type: ignore[arg-type]
            return {i.sop_instance_uid for i in index.recodable(lift)}

        assert meant(study="S1") == {"1.1", "1.3"}
        assert meant(modality="MR") == {"1.2"}
        assert meant(received_before=clock.now - 500) == {"1.1", "1.2"}
        assert meant(study="S1", received_before=clock.now - 500) == {"1.1"}

    def test_a_limit_takes_the_first_that_arrived(self, index: Index) -> None:
        for number in range(5):
            self.coded(index, f"1.{number}")
        assert index.ask_again(MAX, limit=2) == (2, 12)
        works = index.lease_again("worker", 60, limit=9)
        assert [work.sop_instance_uid for work in works] == ["1.0", "1.1"]

    def test_many_are_asked_for_in_pages(self, index: Index) -> None:
        for number in range(450):
            self.coded(index, f"1.{number}")
        told: list[tuple[int, int]] = []
        assert index.ask_again(MAX, told=lambda count, size: told.append((count, size))) == (450, 2700)
        assert told == [(200, 1200), (400, 2400), (450, 2700)]
        assert index.status().recode_waiting == {"asked": 450}
        assert index.call_off() == 450 and index.status().recode_waiting == {}

    def test_a_greater_wish_takes_the_place_of_a_smaller_one_and_not_the_reverse(self, index: Index) -> None:
        self.coded(index, "1.1")
        assert index.ask_again(Lift("default", lower=("fast",))) == (1, 6)
        assert index.ask_again(MAX) == (1, 6)
        assert index.ask_again(Lift("default", lower=("fast",))) == (0, 0)
        assert self.take_again(index).instance.recode_effort == "max"

    # ---------------------------------------------------------------- the line of its own
    def test_what_is_to_be_coded_again_never_stands_before_new_arrivals(self, index: Index) -> None:
        self.coded(index, "1.1")
        index.ask_again(MAX)
        index.receive(arrived("1.2"))
        assert [work.sop_instance_uid for work in index.lease("worker", 60, limit=9)] == ["1.2"]
        assert [work.sop_instance_uid for work in index.lease_again("worker", 60, limit=9)] == ["1.1"]
        assert index.lease_again("worker", 60) == [] == index.lease("worker", 60)
        assert index.get("1.1").state is State.RECODING and index.get("1.1").lease_owner == "worker"

    def test_what_the_nightly_rule_wants_waits_for_the_night_and_what_a_person_wants_does_not(
            self, index: Index) -> None:
        self.coded(index, "1.1")
        self.coded(index, "1.2")
        assert index.ask_tonight(MAX, 1, night="monday") == 1
        assert index.status().recode_waiting == {"night": 1}
        assert index.lease_again("worker", 60) == [] and index.status().idle
        assert index.ask_again(MAX) == (2, 12), "a person may ask for what only the night would do"
        assert index.status().recode_waiting == {"asked": 2} and not index.status().idle
        assert len(index.lease_again("worker", 60, limit=9)) == 2
        assert index.status().recoding == {"asked": 2} and not index.status().idle

    def test_the_night_has_a_limit_over_all_processes(self, make_index: Callable[..., Index]) -> None:
        one, other = make_index(), make_index()
        for number in range(9):
            self.coded(one, f"1.{number}")
        assert one.ask_tonight(MAX, 2, night="monday", per_night=3) == 2
        assert other.ask_tonight(MAX, 2, night="monday", per_night=3) == 1
        assert one.ask_tonight(MAX, 2, night="monday", per_night=3) == 0
        assert one.ask_tonight(MAX, 2, night="tuesday", per_night=3) == 2
        assert other.ask_tonight(MAX, 20, night="tuesday") == 4
        assert len(one.lease_again("worker", 60, limit=99, night=True)) == 9

    def test_a_wish_that_was_called_off_is_not_done(self, index: Index) -> None:
        self.coded(index, "1.1")
        self.coded(index, "1.2")
        index.ask_again(MAX, limit=1)
        index.ask_tonight(MAX, 1, night="monday")
        assert index.call_off() == 2 and index.call_off() == 0
        assert index.lease_again("worker", 60, night=True) == []
        assert len(list(index.recodable(MAX))) == 2

    # ---------------------------------------------------------------- what becomes of it
    def test_the_smaller_object_takes_the_place_and_the_older_one_is_released(self, index: Index) -> None:
        old = self.coded(index, "1.1", facts={"a": 1})
        index.released([release.object_name for release in index.due_releases()])
        before = index.get("1.1")
        index.ask_again(MAX)
        work = self.take_again(index)
        assert work.object_name == old and index.get("1.1").object_name == old
        assert self.finish(index, work, "f" * 32, 4, model_id="m2", tried=Tried("max", "m2"),
                           facts={"effort": "max"})
        after = index.get("1.1")
        assert (after.state, after.object_name, after.object_size) == (State.CODED, "f" * 32, 4)
        assert (after.before, after.digest) == (before.before, before.digest)
        assert (after.tried_effort, after.tried_model, after.recode_effort, after.recode_by) == (
            "max", "m2", None, None)
        assert after.facts == {"a": 1, "effort": "max"}
        assert [(r.object_name, r.reason) for r in index.due_releases()] == [(old, "recoded")]
        status = index.status()
        assert (status.coded, status.bytes_after, status.recoding) == (1, 4, {})
        assert (status.recoded, status.recode_bytes_before, status.recode_saved) == (1, 6, 2)
        assert status.tried == {"max": {"m2": 1}}
        assert list(index.recodable(Lift("max", lower=("fast",)))) == []

    def test_one_that_does_not_become_smaller_stays_and_is_not_tried_again(self, index: Index) -> None:
        old = self.coded(index, "1.1")
        index.released([release.object_name for release in index.due_releases()])
        study = index.study("1.9")
        index.ask_again(MAX)
        assert index.kept(self.take_again(index), "not-smaller", tried=Tried("max", "new"))
        now = index.get("1.1")
        assert (now.state, now.object_name, now.reason) == (State.CODED, old, None)
        assert index.due_releases() == [] and list(index.recodable(MAX)) == []
        assert (index.status().recode_kept, index.status().recoded) == (1, 0)
        assert study is not None and index.study("1.9") == study, "there is nothing new to report"

    def test_a_lossy_object_is_never_meant(self, index: Index) -> None:
        self.coded(index, "1.1", None)
        assert index.ask_again(MAX) == (0, 0) and index.status().tried == {}

    def test_a_failure_is_tried_again_then_given_up_and_the_coded_object_stays(
            self, make_index: Callable[..., Index], clock: Clock) -> None:
        index = make_index(attempts=2, back_off=10.0)
        old = self.coded(index, "1.1")
        index.ask_again(MAX)
        assert index.failed(self.take_again(index), "payload", "it broke") is State.CODED
        assert index.lease_again("worker", 60) == []
        clock.pass_(10)
        assert index.failed(self.take_again(index), "payload", "for good") is State.CODED
        now = index.get("1.1")
        assert (now.state, now.object_name, now.reason, now.error_code, now.detail) == (
            State.CODED, old, "recode-failed", "payload", "for good")
        status = index.status()
        assert (status.recode_failures, status.failures, status.kept) == ({"payload": 1}, {}, {})
        assert status.idle and status.recode_waiting == {}
        assert index.ask_tonight(MAX, 9, night="monday") == 0, "the night does not run against a wall"
        assert index.ask_again(Lift("max", lower=("fast",), failed=True)) == (1, 6)
        assert index.status().recode_failures == {}
        self.finish(index, self.take_again(index), tried=Tried("max", "new"))
        assert index.get("1.1").reason is None

    def test_one_that_kills_its_workers_is_given_up_and_stays_coded(self, make_index: Callable[..., Index],
                                                                    clock: Clock) -> None:
        index = make_index(attempts=2)
        old = self.coded(index, "1.1")
        index.ask_again(MAX)
        for _ in range(2):
            self.take_again(index)
            clock.pass_(61)
        assert index.lease_again("worker", 60) == []
        now = index.get("1.1")
        assert (now.state, now.object_name, now.error_code) == (State.CODED, old, "lease-ran-out")

    def test_a_lease_that_ran_out_is_taken_over_and_the_first_worker_loses(self, index: Index,
                                                                           clock: Clock) -> None:
        old = self.coded(index, "1.1")
        index.ask_again(MAX)
        slow = self.take_again(index)
        assert index.renew(slow, 60)
        clock.pass_(50)
        assert index.renew(slow, 60) and index.lease_again("other", 60) == []
        clock.pass_(61)
        quick = self.take_again(index)
        assert not index.renew(slow, 60) and not index.kept(slow, "not-smaller")
        assert self.finish(index, quick, "b" * 32, 5, tried=Tried("max", "new"))
        assert not self.finish(index, slow, "a" * 32, 4, tried=Tried("max", "new"))
        assert index.get("1.1").object_name == "b" * 32
        assert {release.object_name for release in index.due_releases()} >= {"a" * 32, old}
        assert self.finish(index, quick, "b" * 32), "said again after a lost answer"

    def test_other_content_or_a_deletion_ends_it(self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="if-changed")
        for uid in ("1.1", "1.2"):
            self.coded(index, uid)
        index.ask_again(MAX)
        first, second = index.lease_again("worker", 60, limit=2)
        index.receive(arrived("1.1", content=b"newer content"))
        index.delete("1.2", reason="r", by="b")
        assert not self.finish(index, first, "a" * 32) and not self.finish(index, second, "b" * 32)
        replaced = index.get("1.1")
        assert (replaced.state, replaced.tried_effort, replaced.recode_by) == (State.RECEIVED, None, None)
        (conflict,) = index.conflicts()
        assert conflict.coded and conflict.object_name == first.object_name
        assert index.status().tried == {} and index.status().recoding == {}
