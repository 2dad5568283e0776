"""Work spread over a few threads, results in order, never more of them in memory than needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """``work`` of each item; side by side when there is more than one thread and more than one item."""
    if threads <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="dicomnn-tile") as pool:
        return list(pool.map(work, items))


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
