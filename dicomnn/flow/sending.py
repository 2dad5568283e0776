"""Instances on their way out one after the other, the next ones prepared while one is being sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from dicomnn.flow.retrieve import Match, Outgoing


def prepared(prepare: Callable[[Match], Outgoing], matches: Sequence[Match],
             ahead: int) -> Iterator[Outgoing]:
    """What ``prepare`` gives for each match, in order; the caller closes it. ``ahead``: threads.

    One that fails does not hold up the others: the first failure is raised when all others are through (at
    once when it is the very first match, before anything was given).
    """
    if len(matches) == 1:
        yield prepare(matches[0])
        return
    trouble: Exception | None = None
    waiting: deque[Future[Outgoing]] = deque()
    rest = iter(matches)
    pool = ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="prepare")
    given = False
    try:
        for match in rest:
            waiting.append(pool.submit(prepare, match))
            if len(waiting) <= ahead:
                continue
            trouble = yield from _next(waiting, trouble)
            if trouble is not None and not given:
                raise trouble
            given = True
        while waiting:
            trouble = yield from _next(waiting, trouble)
            if trouble is not None and not given:
                raise trouble
            given = True
        if trouble is not None:
            raise trouble
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for future in waiting:
            if not future.cancelled() and future.exception() is None:
                future.result().close()


def _next(waiting: deque[Future[Outgoing]],
          trouble: Exception | None) -> Generator[Outgoing, None, Exception | None]:
    try:
        outgoing = waiting.popleft().result()
    except Exception as error:  # noqa: BLE001 - told when all others are through
        return trouble or error
    yield outgoing
    return trouble
