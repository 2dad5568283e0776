"""Worker processes that take one job at a time and may die without taking the run with them.

A crash inside of a C decoder, or the kernel's out-of-memory killer, ends one worker: its job is reported
as failed, a fresh worker takes the next one. (The pools of the standard library give up as a whole.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Tell = Callable[[int, int], None]
"""progress(done, total) of the job in hand."""


@dataclass
class _Worker(Generic[Job]):
    process: BaseProcess
    pipe: Connection
    jobs: list[Job] = field(default_factory=list)
    """The job in hand, if any."""


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job, Tell], Result],
    *,
    workers: int,
    died: Callable[[Job, str], Result],
    progress: Callable[[Job, int, int], None] | None = None,
) -> Iterator[Result]:
    """Results of `work(job, tell)` as they come, in no particular order.

    `work` is a module-level function and must not raise; `died(job, why)` makes the result of a job whose
    worker ended. `progress(job, done, total)` is called with what `work` told. Jobs and results are pickled.
    """
    waiting = list(reversed(jobs))
    team: list[_Worker[Job]] = []
    try:
        while waiting or any(worker.jobs for worker in team):
            while waiting and len(team) < max(1, workers):
                team.append(_start(work))
            for worker in team:
                if waiting and not worker.jobs:
                    worker.jobs.append(waiting.pop())
                    with suppress(OSError):  # dead already: its end of file is read below
                        worker.pipe.send(worker.jobs[0])
            ready = connection.wait([worker.pipe for worker in team])
            for worker in [worker for worker in team if worker.pipe in ready]:
                try:
                    kind, content = worker.pipe.recv()
                except (EOFError, OSError):
                    team.remove(worker)
                    worker.process.join()
                    for job in worker.jobs:
                        yield died(job, _how(worker.process.exitcode))
                    continue
                if kind == "told" and progress is not None:
                    progress(worker.jobs[0], *content)
                elif kind == "result":
                    worker.jobs.clear()
                    yield content
    finally:
        for worker in team:
            worker.pipe.close()
            if worker.jobs:
                worker.process.terminate()
        for worker in team:
            worker.process.join()


def _start(work: Callable[[Job, Tell], Result]) -> _Worker[Job]:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, work), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _serve(pipe: Connection, work: Callable[[Job, Tell], Result]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes share the cores, not each one's threads
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pipe.recv()
            pipe.send(("result", work(job, lambda done, total: pipe.send(("told", (done, total))))))


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"the worker process was ended by {signal.Signals(-exit_code).name}"
    return f"the worker process ended with exit code {exit_code}"
