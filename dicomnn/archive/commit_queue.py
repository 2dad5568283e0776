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
    __slots__ = ("done", "error", "leads", "result", "wake", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.wake = threading.Event()
        self.done = False
        self.leads = False
        self.result: Any = None
        self.error: BaseException | None = None


class CommitQueue(Generic[Work]):
    """``commit(works)`` runs works in order in one transaction and returns their results, or raises
    and has changed nothing; then each work is tried alone, so that one bad piece harms no other."""

    def __init__(self, commit: Callable[[Sequence[Work]], Sequence[Any]], *, largest: int = 256) -> None:
        self._commit = commit
        self._largest = largest
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Work]] = deque()
        self._led = False                  # somebody commits, or was told to
        self.groups = 0                    # for measurements: commits, and pieces of work in them
        self.pieces = 0

    def run(self, work: Work) -> Any:
        """The work's own result or exception, after its commit."""
        ticket = _Ticket(work)
        with self._lock:
            self._waiting.append(ticket)
            if not self._led:
                self._led = ticket.leads = True
        try:
            while not ticket.done:
                if ticket.leads:
                    self._lead()
                else:
                    ticket.wake.wait()
                    ticket.wake.clear()
        finally:
            # Each leader leads until its own work is done; then the longest waiting one is woken.
            with self._lock:
                if not ticket.done and ticket in self._waiting:
                    self._waiting.remove(ticket)           # interrupted while it waited
                if ticket.leads:
                    ticket.leads = False
                    self._led = bool(self._waiting)
                    if self._waiting:
                        self._waiting[0].leads = True
                        self._waiting[0].wake.set()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def _lead(self) -> None:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
        try:
            self._run(group)
        finally:
            for ticket in group:           # also when the leader itself is interrupted
                if not ticket.done:
                    ticket.error = ticket.error or RuntimeError("the commit was interrupted")
                    ticket.done = True
                ticket.wake.set()

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
