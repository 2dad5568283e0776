"""Frames in order, worked on by a few threads, never more of them in memory than needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_order(
    count: int, work: Callable[[int, int], Result], *, tiles_each: int, threads: int
) -> Iterator[Result]:
    """``work(number, threads_for_it)`` for numbers 0..count-1, results in order.

    Frames of many tiles are done one after another and get all threads; small ones share the threads, with at
    most two waiting results per thread.
    """
    if threads <= 1 or count == 1 or tiles_each >= 2 * threads:
        for number in range(count):
            yield work(number, threads)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="dicomnn-frame") as pool:
        try:
            for number in range(count):
                waiting.append(pool.submit(work, number, 1))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
