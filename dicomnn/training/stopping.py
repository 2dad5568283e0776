"""Ctrl-C and a polite kill during long work: finish the step, save, and say how to go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(Exception):
    """Work was stopped on request; everything that was done is saved."""


class Stop:
    """``with Stop() as stop:`` SIGINT and SIGTERM set ``stop.asked``; a second one ends at once.

    Only the main thread of a process hears signals; elsewhere nothing is installed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def check(self) -> None:
        """Raises Interrupted when somebody asked to stop."""
        if self.asked:
            raise Interrupted

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Teller:
    """Where long work says what it does. This one says nothing; the command line has one that does."""

    def say(self, text: str) -> None:
        """One sentence that stays."""

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        """``done`` of ``total`` (0: unknown) of some work, called often."""
