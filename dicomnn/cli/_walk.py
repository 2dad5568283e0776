"""What compress, restore and verify share on the terminal: progress, list of what failed, totals."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dicomnn.cli import one_line
from dicomnn.flow.files import FileJob, FileResult, run

SHOWN = {"failed": "red", "skipped": "yellow"}


def jobs_option(function: Any) -> Any:
    """--jobs: worker processes, by default one for each core."""
    return click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        default=_cores(),
        show_default="all cores",
        help="Worker processes.",
    )(function)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def walk(planned: list[FileJob], *, jobs: int, quiet: bool = False) -> list[FileResult]:
    """Run the jobs; progress with rate and ETA on standard error if that is a terminal. Sorted by name."""
    console = Console(stderr=True, highlight=False)
    results: list[FileResult] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    sizes = {job.name: job.size for job in planned}
    finished = 0
    under_way: dict[str, float] = {}
    with bar:
        task = bar.add_task(f"0/{len(planned)} files", total=sum(sizes.values()))

        def advance(job: FileJob, done: int, total: int) -> None:
            under_way[job.name] = job.size * min(1.0, done / total) if total else 0.0
            bar.update(task, completed=finished + sum(under_way.values()))

        for result in run(planned, workers=jobs, progress=advance):
            results.append(result)
            under_way.pop(result.name, None)
            finished += sizes[result.name]
            bar.update(
                task,
                completed=finished + sum(under_way.values()),
                description=f"{len(results)}/{len(planned)} files",
            )
            if result.status == "failed" and not quiet:
                bar.console.print(_line(result), markup=False, soft_wrap=True)
    return sorted(results, key=lambda result: result.name)


def _line(result: FileResult) -> str:
    return one_line(f"{result.status}: {result.name}: {result.detail}")


def finish(results: Iterable[FileResult], *, started: float, verb: str, target: str = "") -> None:
    """Totals and lists on standard output; exits with 1 when something failed."""
    results = list(results)
    counts = Counter(result.status for result in results)
    _reasons(results)
    failed = [result for result in results if result.status == "failed"]
    if failed:
        click.echo(f"{len(failed)} failed:")
        for result in failed:
            click.echo(one_line(f"  {result.name} [{result.reason}] {result.detail}"))
    before = sum(result.bytes_before for result in results if result.status not in ("skipped",))
    after = sum(result.bytes_after for result in results)
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no files"
    where = f" -> {target}" if target else ""
    click.echo(f"{verb}: {summary}; {sizes(before, after)} in {time.monotonic() - started:.1f} s{where}")
    if failed:
        sys.exit(1)


def _reasons(results: list[FileResult]) -> None:
    for status in ("kept", "skipped"):
        reasons = Counter(result.reason for result in results if result.status == status)
        for reason, count in sorted(reasons.items()):
            click.echo(f"{status} ({reason}): {count}")
    for result in results:
        if result.status == "skipped" or result.reason == "surroundings-changed":
            click.echo(one_line(f"  {result.status}: {result.name}: {result.detail}"))


def sizes(before: int, after: int) -> str:
    """'12.3 MiB -> 4.1 MiB (3.00:1)'."""
    ratio = f" ({before / after:.2f}:1)" if before > after > 0 else ""
    return f"{mebibytes(before)} -> {mebibytes(after)}{ratio}"


def mebibytes(size: int) -> str:
    """A size for people: bytes below 10 KiB, else KiB or MiB."""
    if size < 10 << 10:
        return f"{size} bytes"
    return f"{size / 1024:.1f} KiB" if size < 10 << 20 else f"{size / (1 << 20):.1f} MiB"
