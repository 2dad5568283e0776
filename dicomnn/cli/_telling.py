"""Long work on the terminal: a bar with rate and ETA where there is one, else a line now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dicomnn.cli import one_line
from dicomnn.training.stopping import Teller

LINE_EVERY = 30.0


class TerminalTeller(Teller):
    """Writes to standard error. Use it as a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._what = ""
        self._begun = self._told = time.monotonic()
        self._first = 0

    def say(self, text: str) -> None:
        if not self._quiet:
            self._bar.console.print(one_line(text), markup=False, soft_wrap=True)

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun, self._first, self._told = what, now, done, now
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total or None, detail=detail)
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, detail=detail)
        if self._bar.disable and now - self._told >= LINE_EVERY:
            self._told = now
            self.say(self._line(done, total, detail, now))

    def _line(self, done: int, total: int, detail: str, now: float) -> str:
        if detail:
            return f"{self._what}: {detail}"
        rate = (done - self._first) / max(now - self._begun, 1e-6)
        left = f", {(total - done) / rate:.0f} s left" if total and rate > 0 else ""
        return f"{self._what}: {done}{f' of {total}' if total else ''}, {rate:.1f} a second{left}"

    def __enter__(self) -> TerminalTeller:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
