"""Seconds of encoding and decoding, by the processor and by the wall; and a process's largest memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Clock:
    """Adds up the sections of a worker's job; `cpu` is all threads of the process."""

    def __init__(self) -> None:
        self.encode_cpu = self.encode_wall = self.decode_cpu = self.decode_wall = 0.0

    @contextmanager
    def encode(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.encode_cpu += time.process_time() - cpu
        self.encode_wall += time.perf_counter() - wall

    @contextmanager
    def decode(self) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.decode_cpu += time.process_time() - cpu
        self.decode_wall += time.perf_counter() - wall


def peak_memory() -> int:
    """The largest resident size of this process so far, in bytes (Linux), 0 where it cannot be told."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        if sys.platform == "win32":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10
    return max((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), default=0)
