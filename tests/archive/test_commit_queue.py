"""Group commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomnn.archive.commit_queue import CommitQueue


def test_each_caller_gets_its_own_result_and_commits_are_shared() -> None:
    commits: list[int] = []

    def commit(works: Sequence[int]) -> list[int]:
        time.sleep(0.01)
        commits.append(len(works))
        return [work * 2 for work in works]

    queue: CommitQueue[int] = CommitQueue(commit)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(queue.run, range(200))) == [2 * i for i in range(200)]
    assert sum(commits) == 200
    assert len(commits) < 60
    assert (queue.groups, queue.pieces) == (len(commits), 200)


def test_nobody_returns_before_the_commit_that_holds_the_own_work() -> None:
    durable: set[int] = set()

    def commit(works: Sequence[int]) -> list[None]:
        time.sleep(0.005)
        durable.update(works)
        return [None for _ in works]

    queue: CommitQueue[int] = CommitQueue(commit)

    def one(number: int) -> bool:
        queue.run(number)
        return number in durable

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(100)))


def test_one_bad_piece_harms_no_other() -> None:
    entered = threading.Event()
    go_on = threading.Event()

    def commit(works: Sequence[int]) -> list[int]:
        entered.set()
        go_on.wait(10)
        if 13 in works:
            raise ValueError("thirteen")
        return list(works)

    queue: CommitQueue[int] = CommitQueue(commit)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(queue.run, 99)
        entered.wait(10)                    # the rest gathers behind the first
        rest = {number: pool.submit(queue.run, number) for number in range(10, 20)}
        time.sleep(0.05)
        go_on.set()
        assert first.result(10) == 99
        with pytest.raises(ValueError, match="thirteen"):
            rest.pop(13).result(10)
        assert {number: future.result(10) for number, future in rest.items()} == {n: n for n in rest}


def test_an_interrupted_leader_leaves_nobody_waiting() -> None:
    entered = threading.Event()
    go_on = threading.Event()
    once: list[int] = []

    def commit(works: Sequence[int]) -> list[int]:
        if not once:
            once.append(1)
            entered.set()
            go_on.wait(10)
            raise KeyboardInterrupt
        return list(works)

    queue: CommitQueue[int] = CommitQueue(commit)
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(queue.run, 1)
        entered.wait(10)
        other = pool.submit(queue.run, 2)
        go_on.set()
        with pytest.raises(KeyboardInterrupt):
            leader.result(10)
        assert other.result(10) == 2
