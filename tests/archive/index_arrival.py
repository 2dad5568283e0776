"""Part of the index's suite: arrivals, duplicates, conflicts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dicomnn.archive import Index, State
from dicomnn.errors import ConfigurationError, InstanceNotFound
from tests.archive.conftest import Clock, arrived
from tests.archive.index_base import IndexBase


class ArrivalSuite(IndexBase):
    def test_what_was_received_is_found_with_all_it_came_with(self, index: Index, clock: Clock) -> None:
        received = arrived("1.2.3", content=b"12345", transfer_syntax_uid="1.2.840.10008.1.2.1",
                           attributes={"modality": "MR", "patient_name": "Ä^B", "series_number": 2},
                           facts={"seconds": 0.5}, peer_address="10.0.0.1", profile="bounded:2")
        receipt = index.receive(received)
        assert (receipt.kind, receipt.drop) == ("new", None)
        instance = index.get("1.2.3")
        assert instance.id == receipt.instance_id
        assert instance.state is State.RECEIVED
        assert (instance.object_name, instance.object_size, instance.before, instance.digest) == (
            received.object_name, 5, 5, received.digest)
        assert instance.attributes == {"modality": "MR", "patient_name": "Ä^B", "series_number": 2}
        assert instance.facts == {"seconds": 0.5}
        assert (instance.calling_ae, instance.peer_address) == ("CT1", "10.0.0.1")
        assert instance.profile == "bounded:2"
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
        assert (conflict.id, conflict.object_name, conflict.digest) == (
            receipt.conflict_id, other.object_name, other.digest)
        assert (conflict.calling_ae, conflict.superseded) == ("CT2", False)
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
        assert (now.object_name, now.state) == (other.object_name, State.RECEIVED)
        assert now.study_instance_uid == "1.10"
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
