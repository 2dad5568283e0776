"""Migration from another archive over C-FIND and C-GET or C-MOVE, whatever its habits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo.node import free_port
from tests.cli.test_files import dicomnn
from tests.scp.cutting import CuttingArchive, Habits
from tests.scp.objects import made
from tests.scp.peer import Item, NodeProcess, send


def collection(studies: int = 3, each: int = 2) -> list[Item]:
    """Small images; the studies over some years, each of one patient, one series."""
    return [
        made(
            f"1.2.9.{study}.1.{number}",
            study=f"1.2.9.{study}",
            series=f"1.2.9.{study}.1",
            size=12,
            PatientID=f"P{study % 7}",
            Modality="CT",
            StudyDate=f"20{10 + study % 9}0{1 + study % 8}11",
        )
        for study in range(studies)
        for number in range(each)
    ]


def job_of(folder: Path, port: int, *more: object, title: str = "CUTTING") -> list[object]:
    return [
        "--job",
        folder / "job",
        "--from",
        f"ae:{title}@127.0.0.1:{port}",
        "--to",
        f"archive:{folder / 'archive'}",
        "--timeout",
        10,
        *more,
    ]


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dicomnn("migrate", "status", "--job", folder / "job", "--json").stdout)
    return found


def test_a_peers_studies_are_forecast_brought_and_read_back_and_a_second_run_asks_nothing(
    tmp_path: Path,
) -> None:
    habits = Habits()
    with CuttingArchive(collection(), habits) as source:
        planned = dicomnn("migrate", "plan", *job_of(tmp_path, source.port), "--sample", 3, "--jobs", 1)
        assert planned.exit_code == 0 and "6 instances (6 new)" in planned.stdout
        assert "CT" in planned.stdout and "3 coded" in planned.stdout
        assert not (tmp_path / "archive" / "index").exists()
        done = dicomnn("migrate", "run", "--job", tmp_path / "job", "--no-code")
        assert done.exit_code == 0 and "every instance is accounted for" in done.stdout, done.output
        verified = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
        assert verified.exit_code == 0 and "6 exact" in verified.stdout
        habits.calls.clear()
        again = dicomnn("migrate", "run", "--job", tmp_path / "job")
        assert again.exit_code == 0 and "nothing to do" in again.stdout and not habits.calls


@pytest.mark.parametrize("said", [False, True])
def test_a_source_that_cuts_its_answers_is_asked_by_date_until_all_studies_are_there(
    said: bool, tmp_path: Path
) -> None:
    items = collection(40, 1) + [
        made("1.2.9.99.1", study="1.2.9.99", series="1.2.9.99.0", PatientID="Undated", Modality="CT")
    ]
    with CuttingArchive(items, Habits(limit=6, said=said)) as source:
        done = dicomnn("migrate", "run", *job_of(tmp_path, source.port), "--no-code")
    assert done.exit_code == 0, done.output
    assert status(tmp_path)["stored"] == 41


def test_our_own_node_refuses_a_large_query_and_is_migrated_from_all_the_same(tmp_path: Path) -> None:
    config = "[query]\nmax_answers = 5\n"
    with NodeProcess(tmp_path / "old", "--workers", "-1", config=config) as node:
        assert set(send(node.port, collection(20, 1))) == {0}
        done = dicomnn("migrate", "run", *job_of(tmp_path, node.port, title="DICOMNN"), "--no-code")
        assert done.exit_code == 0, done.output
        assert status(tmp_path)["stored"] == 20


@pytest.mark.parametrize("retrieve", ["get", "move"])
def test_an_object_at_which_the_source_hangs_up_is_the_only_one_that_stays_out(
    retrieve: str, tmp_path: Path
) -> None:
    port = free_port()
    items = collection(2, 4)
    habits = Habits(drops={items[2].instance}) if retrieve == "get" else Habits(withheld={items[2].instance})
    with CuttingArchive(items, habits, {"DICOMNN": port}) as source:
        done = dicomnn(
            "migrate",
            "run",
            *job_of(tmp_path, source.port),
            "--retrieve",
            retrieve,
            "--listen",
            port,
            "--no-code",
        )
    assert done.exit_code == 1, done.output
    assert f"{items[2].instance} [not-delivered]" in done.stdout
    found = status(tmp_path)
    assert (found["stored"], found["failed"], found["accounted"]) == (7, 1, False)
    signed = dicomnn(
        "migrate", "sign-off", "--job", tmp_path / "job", "--reason", "lost in the source", "--by", "me"
    )
    assert signed.exit_code == 0 and status(tmp_path)["accounted"]


def test_what_the_source_counts_and_does_not_list_is_asked_for_and_gets_its_row(tmp_path: Path) -> None:
    items = collection(2, 3)
    with CuttingArchive(items, Habits(hidden={items[1].instance})) as source:
        done = dicomnn("migrate", "run", *job_of(tmp_path, source.port), "--no-code")
    assert done.exit_code == 0, done.output
    assert status(tmp_path)["stored"] == 6


def test_a_source_that_counts_too_many_is_reported_as_short(tmp_path: Path) -> None:
    with CuttingArchive(collection(1, 2), Habits(counted=1)) as source:
        done = dicomnn("migrate", "run", *job_of(tmp_path, source.port), "--no-code")
    assert done.exit_code == 1 and "1 studies have more instances" in done.stdout
    report = dicomnn("migrate", "report", "--job", tmp_path / "job")
    assert report.exit_code == 1 and "fewer than counted" in (tmp_path / "job" / "report.html").read_text()


def test_verify_asks_the_source_again_and_tells_that_it_grew(tmp_path: Path) -> None:
    with CuttingArchive(collection(1, 2), Habits()) as source:
        assert dicomnn("migrate", "run", *job_of(tmp_path, source.port), "--no-code").exit_code == 0
        source.habits.counted = 2
        done = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
    assert done.exit_code == 1 and "studies have more instances" in done.stdout


def test_a_source_that_is_away_for_longer_than_patience_ends_the_run_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with CuttingArchive(collection(1, 1), Habits()) as source:
        planned = dicomnn("migrate", "plan", *job_of(tmp_path, source.port), "--sample", 0)
        assert planned.exit_code == 0
    done = dicomnn("migrate", "run", "--job", tmp_path / "job", "--patience", 0, "--no-code")
    assert done.exit_code == 1 and "cannot be reached" in done.stderr and "Traceback" not in done.output
    assert status(tmp_path)["todo"] == 1


def test_a_move_to_a_title_that_the_source_does_not_know_is_told_in_its_words(tmp_path: Path) -> None:
    with CuttingArchive(collection(1, 1), Habits()) as source:
        done = dicomnn(
            "migrate",
            "run",
            *job_of(tmp_path, source.port),
            "--retrieve",
            "move",
            "--listen",
            free_port(),
            "--no-code",
        )
    assert done.exit_code == 1 and "A801" in done.stdout


def test_migration_goes_on_beside_a_node_that_runs_on_the_archive(tmp_path: Path) -> None:
    items = collection(3, 2)
    with (
        CuttingArchive(items[:4], Habits()) as source,
        NodeProcess(tmp_path / "archive", "--workers", "-1") as node,
    ):
        assert set(send(node.port, items[4:])) == {0}
        done = dicomnn("migrate", "run", *job_of(tmp_path, source.port), "--no-code")
        assert done.exit_code == 0, done.output
        assert send(node.port, items[:1]) == [0]  # the node knows what came beside it
        facts = json.loads(dicomnn("status", "--archive", node.archive, "--json").stdout)
        assert facts["instances"] == 6 and facts["duplicates"] == 1 and facts["conflicts"] == 0
