"""What `bench` shows on the way: stage, rate, and the time left over all stages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dicomnn.cli import one_line

if TYPE_CHECKING:
    from dicomnn.benchmark.run import Progress as Told
    from dicomnn.benchmark.run import Step


class Shown:
    """A bar on standard error if that is a terminal, else a line for each stage."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.step: Step | None = None
        self.pixels = 0
        self.cost = 0.0
        self.began = self.stage_began = time.monotonic()

    def __enter__(self) -> Shown:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def told(self) -> Told:
        """What the run may tell."""
        from dicomnn.benchmark.run import Progress as Told

        return Told(seen=self._seen, stage=self._stage, pixels=self._pixels, problem=self._problem)

    def _seen(self, count: int) -> None:
        if self.task is None:
            self.task = self.bar.add_task("", total=None, rate="", left="")
        self.bar.update(self.task, description=f"looking through the folder: {count} files")

    def _stage(self, step: Step) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.step, self.pixels, self.stage_began = step, 0, time.monotonic()
        if step.number == 1:  # what was read before is no measure of what comes
            self.cost, self.began = 0.0, self.stage_began
        place = f"{step.number} of {step.of}: " if step.number else ""
        left = self._left()
        self.task = self.bar.add_task(f"{place}{step.label}", total=step.pixels or None, rate="", left=left)
        if not self.console.is_terminal:
            more = f", {left}" if left else ""
            self.console.print(f"{place}{step.label}, {2e-6 * step.pixels:.1f} MB{more}", markup=False)

    def _pixels(self, more: int) -> None:
        if self.task is None or self.step is None:
            return
        self.pixels += more
        self.cost += more * self.step.cost
        spent = time.monotonic() - self.stage_began
        rate = f"{2e-6 * self.pixels / spent:.1f} MB/s" if spent > 0.5 else ""
        self.bar.update(self.task, completed=self.pixels, rate=rate, left=self._left())

    def _left(self) -> str:
        """The time left in all stages, '' before there is anything to guess it from."""
        spent = time.monotonic() - self.began
        if self.step is None or not self.step.number or not self.cost or spent < 1:
            return ""
        rest = (self.step.pixels - self.pixels) * self.step.cost + self.step.later
        seconds = spent * rest / self.cost
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"

    def _problem(self, sentence: str) -> None:
        self.bar.console.print(one_line(f"failed: {sentence}"), markup=False, soft_wrap=True)
