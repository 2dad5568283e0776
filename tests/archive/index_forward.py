"""Part of the index's suite: the queue and the ledger of forwarding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomnn.archive import Delivery, Failure, Index, Leg, Which
from tests.archive.conftest import Clock, arrived
from tests.archive.index_base import IndexBase

DAY = 86400.0
FAR = {"FAR": "rule 1"}


class ForwardSuite(IndexBase):
    @staticmethod
    def come(index: Index, *uids: str, **more: Any) -> None:
        for uid in uids:
            index.receive(arrived(uid, content=uid.encode(), **{"forward": True, **more}))

    @staticmethod
    def route(index: Index, destinations: dict[str, str] | None = None) -> int:
        """Apply rules that send everything there; how many deliveries."""
        made = [index.forwarding.route(a, FAR if destinations is None else destinations, DAY)
                for a in index.forwarding.arrived(0.0)]
        assert None not in made
        return sum(filter(None, made))

    @staticmethod
    def lease(index: Index, destination: str = "FAR", limit: int = 10, **more: Any) -> list[Delivery]:
        return index.forwarding.lease(destination, **{"owner": "host:1:x", "seconds": 60.0, "limit": limit,
                                                      "strikes": 3, **more})

    @staticmethod
    def counted(index: Index, destination: str = "FAR") -> dict[Leg, int]:
        """The counts of a queue, which must be those of the rows."""
        (queue,) = [q for q in index.forwarding.queues() if q.destination == destination]
        rows = list(index.forwarding.deliveries(Which(destination, states=tuple(Leg))))
        assert queue.counts == {leg: sum(row.state is leg for row in rows) for leg in Leg}
        return {leg: count for leg, count in queue.counts.items() if count}

    # ---------------------------------------------------------------- routing
    def test_what_arrives_under_rules_becomes_a_delivery_once(self, index: Index) -> None:
        self.come(index, "1.1", "1.2")
        self.come(index, "1.3", forward=False)
        (study,) = index.forwarding.arrived(0.0)
        assert study.senders == (("CT", "CT1"),)
        assert self.route(index) == 2 and index.forwarding.arrived(0.0) == []
        self.come(index, "1.1")                                   # the same again
        assert index.forwarding.arrived(0.0) == []
        self.come(index, "1.4")                                   # the study grows: only the new one
        assert self.route(index) == 1
        assert self.counted(index) == {Leg.WAITING: 3}

    def test_a_study_is_not_looked_at_before_it_is_quiet(self, index: Index, clock: Clock) -> None:
        token = index.association_opened(calling_ae="CT1")
        self.come(index, "1.1", association=token)
        clock.pass_(60)
        assert index.forwarding.arrived(30.0) == []
        index.association_closed(token)
        assert index.forwarding.arrived(30.0) == []
        clock.pass_(30)
        assert len(index.forwarding.arrived(30.0)) == 1

    def test_rules_that_saw_a_study_before_it_grew_are_not_taken_for_its_rules(
            self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1")
        (study,) = index.forwarding.arrived(0.0)
        clock.pass_(1)
        self.come(index, "1.2")
        assert index.forwarding.route(study, FAR, DAY) is None
        assert self.route(index) == 2

    def test_what_no_rule_wanted_goes_along_when_one_wants_the_grown_study(self, index: Index) -> None:
        self.come(index, "1.1")
        assert self.route(index, {}) == 0
        self.come(index, "1.2")
        assert self.route(index) == 2

    def test_nothing_is_sent_back_to_where_it_came_from(self, index: Index) -> None:
        self.come(index, "1.1", calling_ae="FAR")
        self.come(index, "1.2", calling_ae="CT1")
        assert self.route(index) == 1
        assert [d.received_uid for d in self.lease(index)] == ["1.2"]

    def test_other_content_that_takes_the_place_is_sent_too(self, make_index: Callable[..., Index]) -> None:
        index = make_index(policy="if-changed")
        self.come(index, "1.1")
        assert self.route(index) == 1
        index.receive(arrived("1.1", content=b"corrected", forward=True))
        assert self.route(index) == 1 and self.counted(index) == {Leg.WAITING: 2}

    def test_a_deleted_instance_is_neither_routed_nor_counted(self, index: Index) -> None:
        self.come(index, "1.1")
        index.delete("1.1", reason="asked", by="test")
        assert index.forwarding.arrived(0.0) == []
        self.come(index, "1.1", "1.2")
        assert self.route(index) == 2

    # ---------------------------------------------------------------- sending
    def test_what_was_sent_keeps_the_peers_words_and_is_never_leased_again(
            self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index)
        first, second = self.lease(index)
        assert self.lease(index) == []
        assert index.forwarding.sent(first, "B007", "not quite\\what was said")
        index.forwarding.give_back([second])
        assert [d.id for d in self.lease(index)] == [second.id]
        clock.pass_(DAY)
        kept = next(index.forwarding.deliveries(Which(states=[Leg.SENT])))
        assert (kept.status, kept.comment, kept.tries) == ("B007", "not quite\\what was said", 1)
        assert self.counted(index) == {Leg.SENT: 1, Leg.SENDING: 1}

    def test_a_refused_one_waits_longer_and_then_for_a_person(self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1")
        self.route(index)
        refused = Failure("peer-status", "refused", 10.0, status="C000", comment="no")
        for leg in (Leg.WAITING, Leg.WAITING, Leg.FAILED):
            (delivery,) = self.lease(index)
            assert index.forwarding.failed(delivery, refused, 3) is leg
            assert self.lease(index) == []
            clock.pass_(10)
        assert self.lease(index) == [] and self.counted(index) == {Leg.FAILED: 1}
        assert index.forwarding.queues()[0].failed_tries == {"peer-status": 3}
        assert index.forwarding.retry(Which("FAR")) == 1
        (delivery,) = self.lease(index)
        assert (delivery.status, delivery.comment, delivery.strikes) == ("C000", "no", 0)

    def test_a_destination_out_of_resources_is_no_fault_of_the_instance(
            self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index)
        full = Failure("peer-status", "full", 0.0, blames="either", status="A700")
        for _ in range(9):
            clock.pass_(1)
            (one,) = self.lease(index, limit=1)
            assert index.forwarding.failed(one, full, 3) is Leg.WAITING
        for strikes in (1, 2):              # it takes others, and this one never
            clock.pass_(1)
            one, *others = sorted(self.lease(index), key=lambda d: d.received_uid)
            for other in others:
                index.forwarding.sent(other, "0000", "")
                clock.pass_(1)
            if strikes == 2:
                self.come(index, "1.3")
                self.route(index)
                for other in self.lease(index):
                    index.forwarding.sent(other, "0000", "")
            index.forwarding.failed(one, full, 3)
        rows = {d.received_uid: d for d in index.forwarding.deliveries(Which(states=tuple(Leg)))}
        assert rows["1.1"].strikes == 2 and rows["1.2"].state is Leg.SENT

    def test_a_pause_holds_up_one_destination_alone_and_ends_when_something_is_taken(
            self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index, {"FAR": "", "NEAR": ""})
        (delivery, other) = self.lease(index)
        index.forwarding.pause("FAR", Failure("unreachable", "FAR cannot be reached", 20.0))
        index.forwarding.give_back([delivery, other])
        assert self.lease(index) == [] and len(self.lease(index, "NEAR")) == 2
        assert index.forwarding.failures("FAR") == 1 and index.forwarding.failures("NEAR") == 0
        clock.pass_(20)
        for delivery in self.lease(index):
            assert index.forwarding.sent(delivery, "0000", "")
        assert index.forwarding.failures("FAR") == 0

    def test_a_destination_that_takes_something_after_all_has_no_pause_any_more(self, index: Index) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index)
        first, second = self.lease(index)
        index.forwarding.pause("FAR", Failure("no-answer", "too slow", 1000.0))
        index.forwarding.give_back([second])
        assert self.lease(index) == []
        index.forwarding.sent(first, "0000", "")
        assert [d.id for d in self.lease(index)] == [second.id]

    def test_what_a_dead_forwarder_left_comes_alone_and_not_for_ever(
            self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index)
        assert len(self.lease(index)) == 2 and index.forwarding.owners() == ["host:1:x"]
        assert self.lease(index) == []
        assert index.forwarding.abandoned("host:1:x") == 2
        (first,) = self.lease(index, owner="host:2:y")
        assert (first.strikes, first.error_code) == (1, "lease-ran-out")
        assert index.forwarding.sent(first, "0000", "")
        for strikes in (1, 2):
            (second,) = self.lease(index, owner="host:2:y")
            assert second.strikes == strikes
            clock.pass_(60)
        assert self.lease(index) == []
        assert self.counted(index) == {Leg.SENT: 1, Leg.FAILED: 1}

    def test_a_lost_lease_changes_nothing(self, index: Index, clock: Clock) -> None:
        self.come(index, "1.1")
        self.route(index)
        (old,) = self.lease(index)
        index.forwarding.renew([old], 90.0)
        clock.pass_(60)
        assert self.lease(index) == []
        clock.pass_(30)
        (new,) = self.lease(index, owner="another")
        assert not index.forwarding.sent(old, "0000", "")
        assert index.forwarding.sent(new, "0000", "") and self.counted(index) == {Leg.SENT: 1}

    # ---------------------------------------------------------------- by hand
    def test_held_is_not_sent_until_released(self, index: Index) -> None:
        self.come(index, "1.1")
        self.come(index, "2.1", study_instance_uid="2.9")
        self.route(index)
        assert index.forwarding.hold(Which(study_instance_uid="2.9")) == 1
        assert [d.received_uid for d in self.lease(index)] == ["1.1"]
        assert index.forwarding.release(Which(study_instance_uid="2.9")) == 1
        assert [d.received_uid for d in self.lease(index)] == ["2.1"]

    def test_a_held_destination_gets_nothing_of_what_comes_either(self, index: Index) -> None:
        assert index.forwarding.hold(Which("FAR")) == 0
        self.come(index, "1.1")
        self.route(index)
        assert self.lease(index) == [] and index.forwarding.queues()[0].held
        index.forwarding.release(Which("FAR"))
        assert len(self.lease(index)) == 1

    def test_dropped_stays_in_the_ledger_and_can_be_sent_after_all(self, index: Index) -> None:
        self.come(index, "1.1", "1.2")
        self.route(index)
        assert index.forwarding.discard(Which(study_instance_uid="1.9"), by="anna") == 2
        assert self.lease(index) == [] and not index.forwarding.any_open()
        (row, _) = index.forwarding.deliveries(Which(states=[Leg.DROPPED]))
        assert row.detail == "by anna"
        assert index.forwarding.send("1.9", "FAR", by="anna", deadline_seconds=DAY) == 2
        for delivery in self.lease(index):
            index.forwarding.sent(delivery, "0000", "")
        assert index.forwarding.send("1.9", "FAR", by="anna", deadline_seconds=DAY) == 0
        assert index.forwarding.send("1.9", "FAR", by="anna", deadline_seconds=DAY, again=True) == 2
        assert self.counted(index) == {Leg.WAITING: 2}

    def test_a_queue_tells_its_oldest_and_its_deadline(self, index: Index, clock: Clock) -> None:
        start = clock.now
        self.come(index, "1.1")
        self.route(index)
        clock.pass_(100)
        self.come(index, "1.2")
        self.route(index)
        (queue,) = index.forwarding.queues()
        assert (queue.oldest, queue.deadline, queue.open) == (start, start + DAY, 2)
        (first, second) = self.lease(index)
        index.forwarding.sent(first, "0000", "")
        assert index.forwarding.queues()[0].oldest == second.created_at == start + 100
