"""C-MOVE with real sockets: a node process, a receiver that keeps the bytes, and a peer that asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AllStoragePresentationContexts

from demo.node import free_port
from tests.scp.peer import (
    BIG,
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    MR,
    SR,
    Item,
    NodeProcess,
    identifier,
    image,
    send,
    wait_for,
)
from tests.scp.receiver import PATIENT_MOVE, STUDY_MOVE, Receiver, move, move_study

STUDY = "1.2.826.9.5"


class Pair:
    """A node and the receiver that it knows as SINK; what the receiver takes and answers is set by tests."""

    def __init__(self, folder: Path) -> None:
        self.answers: Callable[[Item, Any], int] = lambda item, event: 0
        pairs = [(CT, [EXPLICIT, IMPLICIT, BIG, JPEG_LS]), (MR, [IMPLICIT])]
        self.receiver = Receiver(pairs, lambda item, event: self.answers(item, event)).__enter__()
        dead = f'[[destinations]]\nae_title = "DEAD"\nhost = "127.0.0.1"\nport = {free_port()}\n'
        nowhere = '[[destinations]]\nae_title = "NOWHERE"\nhost = "no.such.host.invalid"\n'
        config = self.receiver.destination() + dead + nowhere + "[node]\nmax_associations_per_peer = 64\n"
        self.node = NodeProcess(folder / "archive", "--workers", "-1", config=config)

    def put(self, *items: Item) -> None:
        assert set(send(self.node.port, list(items))) == {0}

    def close(self) -> None:
        self.node.stop()
        self.receiver.__exit__(None, None, None)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("move"))
    yield pair
    pair.close()


@pytest.fixture
def pair(running: Pair) -> Pair:
    running.answers = lambda item, event: 0
    for there in (running.receiver.items, running.receiver.callers, running.receiver.originators,
                  running.receiver.proposed):
        there.clear()
    return running


def test_a_study_is_moved_byte_for_byte_over_one_association_that_names_who_asked(pair: Pair) -> None:
    study = f"{STUDY}.1"
    items = [image(n, study=study, series=f"{study}.{n % 2}", syntax=syntax)
             for n, syntax in enumerate((IMPLICIT, EXPLICIT, BIG, EXPLICIT), 1)]
    pair.put(*items)
    got = move_study(pair.node.port, study)
    assert got.final == 0 and got.counts == {"Remaining": None, "Completed": 4, "Failed": 0, "Warning": 0}
    assert pair.receiver.by_uid == {item.instance: item for item in items}
    assert pair.receiver.callers == ["DICOMNN"]
    assert set(pair.receiver.originators) == {("ASKER", 77)}
    assert [p["Remaining"] for p in got.pending] == [3, 2, 1]


def test_every_level_of_both_models_can_be_moved(pair: Pair) -> None:
    study = f"{STUDY}.2"
    items = [image(n, study=study, series=f"{study}.{n % 2}") for n in (1, 2, 3)]
    pair.put(*items)
    series, one = f"{study}.1", items[0].instance
    requests = [(STUDY_MOVE, identifier("STUDY", StudyInstanceUID=study), 3),
                (STUDY_MOVE, identifier("SERIES", StudyInstanceUID=study, SeriesInstanceUID=series), 2),
                (STUDY_MOVE, identifier("IMAGE", SOPInstanceUID=[one, items[1].instance]), 2),
                (PATIENT_MOVE, identifier("STUDY", PatientID="P-1", StudyInstanceUID=study), 3),
                (PATIENT_MOVE, identifier("SERIES", SeriesInstanceUID=series), 2),
                (PATIENT_MOVE, identifier("IMAGE", StudyInstanceUID=study, SOPInstanceUID=one), 1)]
    for model, query, count in requests:
        pair.receiver.items.clear()
        assert move(pair.node.port, query, model=model).final == 0
        assert len(pair.receiver.items) == count, query
    all_of_patient = move(pair.node.port, identifier("PATIENT", PatientID="P-1"), model=PATIENT_MOVE)
    assert all_of_patient.counts["Completed"] >= 3
    refused = move(pair.node.port, identifier("PATIENT", PatientID="P-1"))
    assert refused.final == 0xA900


@pytest.mark.parametrize(("to", "final"), [("NOBODY", 0xA801), ("DEAD", 0xA702), ("NOWHERE", 0xA702)])
def test_a_destination_that_is_unknown_or_not_there_is_told_with_a_reason(
        pair: Pair, to: str, final: int) -> None:
    study = f"{STUDY}.3"
    items = [image(n, study=study, series=f"{study}.1") for n in (1, 2)]
    pair.put(*items)
    got = move_study(pair.node.port, study, to=to)
    assert got.final == final and to in got.comment
    if final == 0xA702:
        assert got.failed == [item.instance for item in items] and got.counts["Failed"] == 2


def test_nothing_found_is_a_success_and_opens_no_association(pair: Pair) -> None:
    got = move_study(pair.node.port, "1.2.3.4.5.99")
    assert got.final == 0 and got.counts["Completed"] == 0 and pair.receiver.callers == []


def test_what_the_destination_cannot_take_fails_alone_with_uid_and_reason(pair: Pair) -> None:
    study = f"{STUDY}.4"
    taken = image(1, study=study, series=f"{study}.1")
    report = image(2, study=study, series=f"{study}.1", sop_class=SR)
    pair.put(taken, report)
    got = move_study(pair.node.port, study)
    assert got.final == 0xB000 and got.failed == [report.instance]
    assert (got.counts["Completed"], got.counts["Failed"]) == (1, 1)
    assert "presentation context" in got.comment
    assert pair.receiver.items == [taken]


def test_refusals_count_as_failed_and_warnings_as_warned(pair: Pair) -> None:
    study = f"{STUDY}.5"
    items = [image(n, study=study, series=f"{study}.1") for n in (1, 2, 3)]
    pair.put(*items)
    codes = {items[0].instance: 0xA700, items[1].instance: 0xB000}
    pair.answers = lambda item, event: codes.get(item.instance, 0)
    got = move_study(pair.node.port, study)
    assert got.final == 0xB000 and got.failed == [items[0].instance] and "A700" in got.comment
    assert (got.counts["Completed"], got.counts["Failed"], got.counts["Warning"]) == (1, 1, 1)


def test_a_destination_that_refuses_everything_gives_a702(pair: Pair) -> None:
    study = f"{STUDY}.6"
    pair.put(image(1, study=study, series=f"{study}.1"))
    pair.answers = lambda item, event: 0xA700
    got = move_study(pair.node.port, study)
    assert got.final == 0xA702 and got.counts["Failed"] == 1


def test_a_destination_that_always_drops_one_instance_loses_that_alone(pair: Pair) -> None:
    study = f"{STUDY}.7"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 6)]
    pair.put(*items)

    def drop_the_third(item: Item, event: Any) -> int:
        if item.instance == items[2].instance:
            event.assoc.abort()
        return 0

    pair.answers = drop_the_third
    got = move_study(pair.node.port, study)
    assert got.final == 0xB000 and got.failed == [items[2].instance]
    assert (got.counts["Completed"], got.counts["Failed"]) == (4, 1)
    assert {items[n].instance for n in (0, 1, 3, 4)} <= set(pair.receiver.by_uid)
    assert len(pair.receiver.callers) == 3, "it was tried again"


def test_a_destination_that_drops_the_association_once_loses_nothing(pair: Pair) -> None:
    study = f"{STUDY}.13"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 6)]
    pair.put(*items)
    dropped = threading.Event()

    def drop_once(item: Item, event: Any) -> int:
        if item.instance == items[2].instance and not dropped.is_set():
            dropped.set()
            event.assoc.abort()
        return 0

    pair.answers = drop_once
    got = move_study(pair.node.port, study)
    assert got.final == 0 and got.counts["Completed"] == 5
    assert set(pair.receiver.by_uid) == {item.instance for item in items}
    assert len(pair.receiver.callers) == 2


def test_a_destination_that_drops_every_association_is_given_up(pair: Pair) -> None:
    study = f"{STUDY}.8"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 6)]
    pair.put(*items)

    def drop(item: Item, event: Any) -> int:
        event.assoc.abort()
        return 0xA700

    pair.answers = drop
    got = move_study(pair.node.port, study)
    assert got.final == 0xA702 and got.failed == [item.instance for item in items]
    assert len(pair.receiver.callers) == 4, "two instances, twice each"


def test_a_cancelled_move_stops_and_says_how_many_remained(pair: Pair) -> None:
    study = f"{STUDY}.9"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 9)]
    pair.put(*items)
    cancelled = threading.Event()

    def hold_the_third(item: Item, event: Any) -> int:
        if item.instance == items[2].instance:
            assert cancelled.wait(20)
        return 0

    def cancel(assoc: Any, number: int) -> None:
        if number == 2:
            assoc.send_c_cancel(77, query_model=STUDY_MOVE)
            cancelled.set()

    pair.answers = hold_the_third
    got = move_study(pair.node.port, study, on_pending=cancel)
    assert got.final == 0xFE00
    assert got.counts["Remaining"] == 8 - len(pair.receiver.items) > 0


def test_a_peer_that_asks_and_leaves_ends_the_move(pair: Pair) -> None:
    study = f"{STUDY}.10"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 30)]
    pair.put(*items)
    left = threading.Event()

    def hold(item: Item, event: Any) -> int:
        if item.instance == items[1].instance:
            assert left.wait(20)
        return 0

    def leave(assoc: Any, number: int) -> None:
        assoc.abort()
        left.set()

    pair.answers = hold
    assert move_study(pair.node.port, study, on_pending=leave).final is None
    wait_for(lambda: "move-ended" in pair.node.log, what="the move to end")
    assert len(pair.receiver.items) < 29


def test_the_destination_gets_the_other_little_endian_syntax_when_it_takes_only_that(pair: Pair) -> None:
    study = f"{STUDY}.11"
    item = image(1, study=study, series=f"{study}.1", sop_class=MR, syntax=EXPLICIT)
    pair.put(item)
    assert move_study(pair.node.port, study).final == 0
    (came,) = pair.receiver.items
    assert (came.instance, came.syntax) == (item.instance, IMPLICIT) and came.data != item.data


def test_trap_a_batch_of_more_than_128_contexts_goes_over_as_few_associations_as_hold_it(
        tmp_path: Path) -> None:
    study = f"{STUDY}.12"
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:70]]
    items = [image(number, study=study, series=f"{study}.1", syntax=syntax, sop_class=sop_class, rows=2,
                   columns=2) for number, (sop_class, syntax) in enumerate(
                       (c, s) for c in classes for s in (EXPLICIT, IMPLICIT))]
    with (Receiver([(c, [EXPLICIT, IMPLICIT]) for c in classes]) as receiver,
          NodeProcess(tmp_path / "archive", "--workers", "-1", config=receiver.destination()) as node):
        for part in (items[:100], items[100:]):
            assert set(send(node.port, part)) == {0}
        got = move_study(node.port, study)
        assert got.final == 0 and got.counts["Completed"] == 140
        assert receiver.by_uid == {item.instance: item for item in items}
        assert [len(contexts) for contexts in receiver.proposed] == [128, 12]


def test_the_log_has_no_patient_data(pair: Pair) -> None:
    assert "moved" in pair.node.log and "Doe" not in pair.node.log and "P-1" not in pair.node.log
