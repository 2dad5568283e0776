"""kill -9 of node and workers while objects arrive: what was acknowledged is there, and exact."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.campaign import (
    STUDY,
    Sender,
    everything_is_there,
    in_background,
    kill_a_worker,
    wait_idle,
    workers_of,
)
from tests.scp.peer import NodeProcess, image, wait_for

CONFIG = "[coding]\nlease_seconds = 4\neffort = \"fast\"\n[study]\nreports = false\n"


def made(number: int) -> list:
    return [image(n, study=STUDY, series=f"{STUDY}.1", rows=32, columns=48) for n in range(1, number + 1)]


def kill_the_node(tmp_path: Path, number: int, kills: int, seconds: float) -> None:
    archive, sender = tmp_path / "archive", Sender(made(number))
    running = [NodeProcess(archive, "--workers", "1", config=CONFIG)]
    try:
        thread = in_background(lambda: sender.send(lambda: running[0].port, time.monotonic() + seconds))
        for kill in range(1, kills + 1):
            wanted = kill * number // (kills + 1)
            wait_for(lambda wanted=wanted: len(sender.acknowledged) >= wanted, seconds, "enough objects")
            running[0].kill()
            running[0] = NodeProcess(archive, "--workers", "1", config=CONFIG)
        thread.join(timeout=seconds)
        assert len(sender.acknowledged) == number and sender.lost + 1 >= kills
        everything_is_there(running[0], sender.acknowledged)      # some coded, some not
        idle = wait_idle(archive, seconds)
        assert idle.returncode == 0, (idle.stderr, running[0].log[-3000:])
        everything_is_there(running[0], sender.acknowledged)
        status = json.loads(idle.stdout)
        assert status["instances"] == number and status["backlog"] == 0
    finally:
        running[0].stop()
    assert not [p for p in (archive / "incoming").rglob("*.part")] or _only_of_the_dead(archive)


def _only_of_the_dead(archive: Path) -> bool:
    """Leftovers of a killed process stay until the sweep: none belongs to a process that lives."""
    import fcntl

    for lock in (archive / "incoming").glob("*/lock"):
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


@pytest.mark.faults
def test_kill_9_of_the_node_loses_nothing_acknowledged(tmp_path: Path) -> None:
    kill_the_node(tmp_path, 40, 2, 120.0)


@pytest.mark.faults
def test_kill_9_of_a_worker_loses_nothing_and_its_work_is_done_again(tmp_path: Path) -> None:
    kill_workers(tmp_path, 40, 2, 120.0)


def kill_workers(tmp_path: Path, number: int, kills: int, seconds: float) -> None:
    archive, sender = tmp_path / "archive", Sender(made(number))
    with NodeProcess(archive, "--workers", "1", config=CONFIG) as node:
        thread = in_background(lambda: sender.send(lambda: node.port, time.monotonic() + seconds))
        killed: list[int] = []
        for _ in range(kills):
            def worked() -> bool:
                alive = [pid for pid in workers_of(node) if pid not in killed]
                return bool(alive) and _coding(archive)

            wait_for(worked, seconds, "a worker with a lease")
            pid = kill_a_worker(node)
            assert pid is not None
            killed.append(pid)
        thread.join(timeout=seconds)
        assert len(sender.acknowledged) == number and sender.lost == 0
        idle = wait_idle(archive, seconds)
        assert idle.returncode == 0, (idle.stderr, node.log[-3000:])
        assert node.log.count("worker-ended") >= kills
        everything_is_there(node, sender.acknowledged)
        assert json.loads(idle.stdout)["failures"] == {}


def _coding(archive: Path) -> bool:
    """Whether a lease is out now; read straight from the index, as no other process would see it sooner."""
    from dicomnn.archive import State
    from dicomnn.flow.opening import Place, open_archive

    with open_archive(Place(str(archive))) as opened:
        return next(opened.index.instances(state=State.CODING), None) is not None


@pytest.mark.faults
def test_workers_end_with_a_node_that_was_killed(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "archive", "--workers", "1", config=CONFIG)
    (pid,) = wait_for(lambda: workers_of(node), 20, "a worker")
    wait_for(lambda: "scp.worker" in _arguments(pid), 10, "its program")
    time.sleep(1.0)
    node.kill()
    wait_for(lambda: not _arguments(pid), 40, "the worker's end")


def _arguments(pid: int) -> str:
    shown = subprocess.run(["ps", "-o", "stat=,args=", "-p", str(pid)], capture_output=True, text=True,
                           check=False).stdout.strip()
    return "" if shown.startswith("Z") else shown


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_hundred_objects_survive_kills_of_the_node(tmp_path: Path) -> None:
    kill_the_node(tmp_path, 200, 6, 600.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_hundred_objects_survive_kills_of_workers(tmp_path: Path) -> None:
    kill_workers(tmp_path, 200, 6, 600.0)
