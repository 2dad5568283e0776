"""Forwarding with real sockets: which studies go where, and that they arrive as they came, once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from demo.node import free_port
from tests.scp.forwarding import QUICK, SHORT, command, deaf, destination, ledger, legs, rule, wait_sent
from tests.scp.peer import (
    BIG,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    Item,
    NodeProcess,
    element,
    image,
    send,
    text,
    wait_for,
)
from tests.scp.receiver import Receiver

pytestmark = pytest.mark.timeout(120)
ANY = [(CT, [EXPLICIT, IMPLICIT, BIG]), (MR, [EXPLICIT, IMPLICIT, BIG])]


def study(number: int, count: int = 3, **more: object) -> list[Item]:
    uid = f"1.2.826.9.7{number}"
    return [image(n, study=uid, series=f"{uid}.1", **more) for n in range(1, count + 1)]   # type: ignore[arg-type]


def once(receiver: Receiver, *items: Item) -> None:
    """It has exactly these, each one once and as it was sent."""
    assert Counter(i.instance for i in receiver.items) == Counter(i.instance for i in items)
    assert receiver.by_uid == {item.instance: item for item in items}


def test_a_study_that_grows_is_sent_on_as_it_came_and_only_what_is_new(tmp_path: Path) -> None:
    first, later = study(1, 4, syntax=BIG), study(1, 6, syntax=BIG)[4:]
    archive = tmp_path / "archive"
    with (Receiver(ANY) as near, Receiver(ANY) as far,
          NodeProcess(archive, config=QUICK + near.destination("NEAR") + far.destination("FAR")
                      + rule("NEAR", "FAR") + '[coding]\neffort = "fast"\n') as node):
        assert set(send(node.port, first)) == {0}
        wait_sent(archive, 8)
        for receiver in (near, far):
            once(receiver, *first)
        assert set(send(node.port, [*first[:1], *later])) == {0}      # one of them again
        wait_sent(archive, 12)
        for receiver in (near, far):
            once(receiver, *first, *later)
            assert set(receiver.callers) == {"DICOMNN"} and set(receiver.originators) == {("", 0)}
        rows = ledger(archive, "FAR")
        assert {(r.status, r.rule, r.tries) for r in rows} == {("0000", "rule 1", 1)}


def test_rules_choose_by_modality_sender_and_description_and_nothing_goes_back(tmp_path: Path) -> None:
    chest = element(0x00081030, "LO", text("CT Chest [low dose]"))
    described = study(2)
    described = [Item(i.sop_class, i.instance, i.syntax, i.data.replace(
        element(0x00100010, "PN", text("Doe^Jane")), chest + element(0x00100010, "PN", text("Doe^Jane"))))
        for i in described]
    plain, from_far = study(3), study(4)
    archive = tmp_path / "archive"
    with Receiver(ANY) as near, Receiver(ANY) as far:
        config = (QUICK + near.destination("NEAR") + far.destination("FAR")
                  + rule("NEAR", description="*chest [LOW*") + rule("NEAR", modality="MR")
                  + rule("FAR", modality="CT", ae_title="CT1"))
        with NodeProcess(archive, "--workers", "-1", config=config + rule("FAR", ae_title="FAR")) as node:
            assert set(send(node.port, described, title="ELSEWHERE")) == {0}
            assert set(send(node.port, plain, title="CT1")) == {0}
            assert set(send(node.port, from_far, title="FAR")) == {0}
            wait_sent(archive, 6)
            wait_for(lambda: node.log.count("forward-queued") == 3, 20, "the rules have seen three studies")
            once(near, *described)
            once(far, *plain)
            assert legs(archive) == {"sent": 6}


def test_what_is_received_without_rules_is_never_sent_and_can_be_asked_for(tmp_path: Path) -> None:
    items = study(5)
    archive = tmp_path / "archive"
    with Receiver(ANY) as far:
        with NodeProcess(archive, "--workers", "-1", config=QUICK + far.destination("FAR")) as node:
            assert set(send(node.port, items)) == {0}
        config = QUICK + far.destination("FAR") + rule("FAR")
        with NodeProcess(archive, "--workers", "-1", config=config) as node:
            later = study(6, 1)
            assert set(send(node.port, later)) == {0}
            wait_sent(archive, 1)
        with NodeProcess(archive, "--workers", "-1", config=QUICK + far.destination("FAR")) as node:
            assert node.process.poll() is None
            done = command(archive, "send", "1.2.826.9.75", "--to", "FAR")
            assert done.returncode == 0 and "3 " in done.stdout, done
            wait_sent(archive, 4)
            once(far, *later, *items)


def test_a_destination_that_is_down_for_a_while_gets_everything_once(tmp_path: Path) -> None:
    items, port, archive = study(7, 5), free_port(), tmp_path / "archive"
    config = QUICK + destination("FAR", port) + rule("FAR")
    with NodeProcess(archive, "--workers", "-1", config=config) as node:
        assert set(send(node.port, items)) == {0}
        wait_for(lambda: node.log.count("forward-paused") >= 3, 30, "it was tried three times")
        assert legs(archive) == {"waiting": 5}
        with Receiver(ANY, at=port) as far:
            wait_sent(archive, 5)
            once(far, *items)
        assert {(row.tries, row.strikes) for row in ledger(archive)} == {(1, 0)}


def test_a_destination_that_is_out_of_resources_for_a_while_gets_everything_once(tmp_path: Path) -> None:
    items, archive = study(8, 5), tmp_path / "archive"
    asked: Counter[str] = Counter()

    def full_for_a_while(item: Item, _event: object) -> int:
        asked[item.instance] += 1
        return 0xA700 if asked.total() < 15 else 0

    with (Receiver(ANY, full_for_a_while, comment="disk full, try later") as far,
          NodeProcess(archive, "--workers", "-1",
                      config=QUICK + "attempts = 2\n" + far.destination("FAR") + rule("FAR")) as node):
        assert set(send(node.port, items)) == {0}
        wait_for(lambda: any(row.status == "A700" for row in ledger(archive)), 20)
        refused = next(row for row in ledger(archive) if row.status == "A700")
        assert (refused.comment, refused.error_code) == ("disk full, try later", "peer-status")
        wait_sent(archive, 5)
        once(far, *items)


def test_what_a_destination_refuses_waits_for_a_person_and_the_rest_arrives(tmp_path: Path) -> None:
    items, archive = study(9, 4), tmp_path / "archive"
    wanted = [items[0].instance]

    def choosy(item: Item, _event: object) -> int:
        return 0xC123 if item.instance in wanted else 0xB007

    with (Receiver(ANY, choosy, comment="no such patient") as far,
          NodeProcess(archive, "--workers", "-1",
                      config=QUICK + "attempts = 3\n" + far.destination("FAR") + rule("FAR")) as node):
        assert set(send(node.port, items)) == {0}
        wait_for(lambda: legs(archive) == {"sent": 3, "failed": 1}, 30, legs(archive))
        failed = next(row for row in ledger(archive) if row.state.value == "failed")
        assert (failed.status, failed.comment, failed.tries) == ("C123", "no such patient", 3)
        assert {row.status for row in ledger(archive)} == {"C123", "B007"}
        assert "C123" in node.log and not any(word in node.log for word in ("no such patient", "Doe", "P-1"))
        wanted.clear()
        assert command(archive, "retry", "--to", "FAR").returncode == 0
        wait_sent(archive, 4)
        once(far, *items)


def test_a_destination_that_takes_only_some_classes_gets_those_and_the_others_are_told(
        tmp_path: Path) -> None:
    ours, others, archive = study(10), study(11, 2, sop_class=MR), tmp_path / "archive"
    with (Receiver([(CT, IMPLICIT)]) as far,
          NodeProcess(archive, "--workers", "-1",
                      config=QUICK + "attempts = 2\n" + far.destination("FAR") + rule("FAR")) as node):
        assert set(send(node.port, [*others, *ours])) == {0}
        wait_for(lambda: legs(archive) == {"sent": 3, "failed": 2}, 40, legs(archive))
        assert {i.instance for i in far.items} == {i.instance for i in ours} and len(far.items) == 3
        assert {i.syntax for i in far.items} == {IMPLICIT}
        assert {row.error_code for row in ledger(archive) if row.state.value == "failed"} == {"no-context"}


@pytest.mark.parametrize("kind", ["connects and says nothing", "never answers a C-STORE"])
def test_a_destination_that_hangs_stops_neither_ingest_nor_other_destinations(
        kind: str, tmp_path: Path) -> None:
    items, archive = study(12), tmp_path / "archive"
    with deaf() as port, Receiver(ANY) as near, Receiver(ANY, patience=60.0) as slow:
        def wait_for_ever(item: Item, event: object) -> int:
            slow.aborted.wait(60)
            slow.aborted.clear()
            return 0xC000

        slow.answer = wait_for_ever
        bad = port if kind.startswith("connects") else slow.port
        config = (QUICK + SHORT + near.destination("NEAR") + destination("BAD", bad) + rule("BAD", "NEAR"))
        with NodeProcess(archive, "--workers", "-1", config=config) as node:
            assert set(send(node.port, items)) == {0}
            wait_sent(archive, 3, "NEAR")
            wait_for(lambda: node.log.count("forward-paused") >= 3, 40, "it was given up three times")
            more = study(13)
            assert set(send(node.port, more)) == {0}
            wait_sent(archive, 6, "NEAR")
            once(near, *items, *more)
            assert {row.state.value for row in ledger(archive, "BAD")} <= {"waiting", "sending"}
            assert node.stop(20) == 0
        # It comes to its senses.
        with Receiver(ANY) as far:
            config = QUICK + near.destination("NEAR") + destination("BAD", far.port) + rule("BAD", "NEAR")
            with NodeProcess(archive, "--workers", "-1", config=config):
                wait_sent(archive, 6, "BAD")
                once(far, *items, *more)


@pytest.mark.faults
def test_a_node_that_is_killed_in_the_midst_loses_nothing_and_doubles_only_what_had_no_answer(
        tmp_path: Path) -> None:
    items, archive = study(14, 40), tmp_path / "archive"
    with Receiver(ANY) as far:
        config = QUICK + far.destination("FAR") + rule("FAR")
        kills = 0
        node = NodeProcess(archive, "--workers", "-1", config=config)
        assert set(send(node.port, items)) == {0}
        for at in (5, 15, 30):
            wait_for(lambda at=at: len(far.items) >= at, 40, f"{at} have arrived")
            node.kill()
            kills += 1
            node = NodeProcess(archive, "--workers", "-1", config=config)
        with node:
            wait_sent(archive, 40, seconds=60)
        came = Counter(item.instance for item in far.items)
        assert far.by_uid == {item.instance: item for item in items}
        assert sum(came.values()) - len(items) <= kills, "each kill may double the one that had no answer yet"


def test_a_person_holds_lists_drops_and_releases(tmp_path: Path) -> None:
    items, unwanted, archive = study(15), study(16, 2), tmp_path / "archive"
    with Receiver(ANY) as far:
        config = QUICK + far.destination("FAR") + rule("FAR")
        with NodeProcess(archive, "--workers", "-1", config=config) as node:
            assert command(archive, "hold", "--to", "FAR").returncode == 0
            assert set(send(node.port, [*items, *unwanted])) == {0}
            wait_for(lambda: legs(archive) == {"waiting": 5}, 20, legs(archive))
            listed = command(archive, "list", "--to", "FAR")
            assert "ON HOLD" in listed.stdout and listed.stdout.count("waiting ") >= 5, listed
            assert f"{items[0].instance}, 0 tries" in listed.stdout
            told = json.loads(command(archive, "list", "--json").stdout)
            assert told["queues"][0]["open"] == 5 and not told["queues"][0]["overdue"]
            dropped = command(archive, "drop", "--study", "1.2.826.9.716")
            assert dropped.stdout == "forward: 2 instances will not be sent\n"
            assert command(archive, "drop").returncode == 2
            assert command(archive, "list", "--state", "lost").returncode == 2
            assert far.items == []
            assert command(archive, "release", "--all").returncode == 0
            wait_for(lambda: legs(archive) == {"sent": 3, "dropped": 2}, 30, legs(archive))
            once(far, *items)
            status = json.loads(subprocess.run(
                [sys.executable, "-c", "from dicomnn.cli import main; main()", "status", "--json",
                 "--archive", str(archive)], capture_output=True, text=True, check=True).stdout)
            assert (status["forward"][0]["sent"], status["forward"][0]["oldest"]) == (3, None)
            assert command(archive, "send", "1.2.3", "--to", "FAR").returncode == 1
