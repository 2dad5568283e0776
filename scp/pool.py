"""The node's side of its processes, workers and forwarder: start them, watch them, start them again.

Workers are programs of their own (``python -m scp.worker``), not forks: a fork of a process with
threads and open databases is not safe, and a hostile frame that crashes a decoder takes its worker
with it, not the node. Each holds the reading end of a pipe; when the node goes, however it goes, the
pipe ends and so does the worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from dicomnn.flow.ingest import ProfileRule
from dicomnn.flow.lift import NightRule
from dicomnn.flow.lossy import Lossy
from dicomnn.flow.opening import Place

log = structlog.get_logger(__name__)

# One thread per worker: workers as many as cores beat threads that wait for each other. torch and
# numba read these when they are imported.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
              "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
WATCH_SECONDS = 0.25
STOP_SECONDS = 10.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
HEALTHY_SECONDS = 20.0      # a worker that lived this long resets the pause


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker process is told; travels as one line of JSON. arrivals: whether it takes what waits to
    be coded for the first time; night: what it may look for by itself when there is nothing else."""

    place: Place
    effort: str = "default"
    rules: tuple[ProfileRule, ...] = ()
    lossy: Lossy = field(default_factory=Lossy)
    arrivals: bool = True
    night: NightRule | None = None
    lease_seconds: float = 60.0
    quiet_seconds: float = 30.0
    reports: bool = True
    log_level: str = "info"
    log_json: bool = False

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> WorkerSettings:
        values = json.loads(line)
        night = values["night"]
        return cls(**{**values, "place": Place(**values["place"]),
                      "rules": tuple(ProfileRule(**rule) for rule in values["rules"]),
                      "lossy": Lossy(**values["lossy"]),
                      "night": None if night is None else NightRule(**night)})


class _Slot:
    """One place in the pool and the process that fills it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.pause = FIRST_PAUSE
        self.next_start = 0.0


class Settings(Protocol):
    """What a process is told on its standard input."""

    def to_line(self) -> bytes: ...


class WorkerPool:
    """``count`` processes of the program ``module``, kept alive until `stop`."""

    def __init__(self, settings: Settings, count: int, module: str = "scp.worker") -> None:
        self._settings, self._module = settings, module
        self._kind = module.rsplit(".", 1)[-1]
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="worker-pool", daemon=True)

    def start(self) -> None:
        for slot in self._slots:
            self._start(slot)
        self._watcher.start()

    @property
    def pids(self) -> list[int]:
        """Of the workers that run now."""
        return [s.process.pid for s in self._slots if s.process is not None and s.process.poll() is None]

    def _start(self, slot: _Slot) -> None:
        environment = dict(os.environ)
        environment.update({name: "1" for name in ONE_THREAD})
        # The worker finds the same packages as the node, installed or from the checkout.
        top = str(Path(__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (top, environment.get("PYTHONPATH"))))
        process = subprocess.Popen([sys.executable, "-m", self._module, str(slot.number)],
                                   stdin=subprocess.PIPE, env=environment)
        slot.process, slot.started = process, time.monotonic()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(self._settings.to_line())
            process.stdin.flush()
        log.info(f"{self._kind}-started", worker=slot.number, pid=process.pid)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            for slot in self._slots:
                try:
                    self._look_at(slot)
                except Exception as error:  # noqa: BLE001 - tried again in a moment
                    log.error(f"{self._kind}-not-started", worker=slot.number, exc_info=error)

    def _look_at(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is not None:
            code = slot.process.poll()
            if code is None:
                return
            lived = now - slot.started
            slot.pause = FIRST_PAUSE if lived > HEALTHY_SECONDS else min(slot.pause * 2, LONGEST_PAUSE)
            slot.next_start = now + slot.pause
            log.warning(f"{self._kind}-ended", worker=slot.number, pid=slot.process.pid, code=code,
                        again_in=round(slot.pause, 1))
            _close_pipe(slot.process)
            slot.process = None
        if slot.process is None and now >= slot.next_start and not self._stopping.is_set():
            self._start(slot)

    def stop(self) -> None:
        """Close the pipes; workers finish what they have. Who takes too long is killed: its lease runs
        out and the work is done again."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        processes = [slot.process for slot in self._slots if slot.process is not None]
        for process in processes:
            _close_pipe(process)
        end = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(timeout=max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
