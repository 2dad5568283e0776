"""Group commit: many threads hand in small pieces of work, one of them commits for all.

There is no thread of its own. Whoever finds nobody committing becomes the leader, takes everything
that waits, runs it in one transaction and makes it durable with one sync; the others wait for that
very commit. So each caller returns only after its own work is durable, and while the disk is busy
with one commit the next group gathers by itself: the busier, the larger the groups.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")


class _Ticket(Generic[Work]):
    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class CommitQueue(Generic[Work]):
    """``commit(works)`` runs works in order in one transaction and returns their results, or raises
    and has changed nothing; then each work is tried alone, so that one bad piece harms no other."""

    def __init__(self, commit: Callable[[Sequence[Work]], Sequence[Any]], *, largest: int = 256) -> None:
        self._commit = commit
        self._largest = largest
        self._waiting: deque[_Ticket[Work]] = deque()
        self._leader = threading.Lock()
        self.groups = 0                    # for the measurements: commits, and pieces of work in them
        self.pieces = 0

    def run(self, work: Work) -> Any:
        """The work's own result or exception, after its commit."""
        ticket = _Ticket(work)
        self._waiting.append(ticket)       # deque: append and popleft are atomic
        while not ticket.done:
            with self._leader:
                if not ticket.done:
                    self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def _lead(self) -> None:
        group: list[_Ticket[Work]] = []
        while self._waiting and len(group) < self._largest:
            group.append(self._waiting.popleft())
        try:
            self._run(group)
        finally:
            for ticket in group:           # also when the leader itself is interrupted
                if not ticket.done:
                    ticket.error = ticket.error or RuntimeError("the commit was interrupted")
                    ticket.done = True

    def _run(self, group: list[_Ticket[Work]]) -> None:
        if len(group) > 1:
            try:
                results = self._commit([ticket.work for ticket in group])
            except Exception:              # which one is to blame is found below
                pass
            else:
                self.groups, self.pieces = self.groups + 1, self.pieces + len(group)
                for ticket, result in zip(group, results, strict=True):
                    ticket.result, ticket.done = result, True
                return
        for ticket in group:
            try:
                (ticket.result,) = self._commit([ticket.work])
                self.groups, self.pieces = self.groups + 1, self.pieces + 1
            except Exception as error:
                ticket.error = error
            ticket.done = True
