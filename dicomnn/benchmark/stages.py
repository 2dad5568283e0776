"""One codec after another over all units, each in fresh worker processes of one thread.

So codecs never run side by side, every one gets the same number of cores, and the memory of a worker is that
of one codec. What is timed is the codec alone: reading the original, making planes and comparing are not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from dicomnn.benchmark.clock import Clock, peak_memory
from dicomnn.benchmark.folder import Unit
from dicomnn.benchmark.peers import THREADED, Peer, peer
from dicomnn.benchmark.planes import Opened, opened_unit
from dicomnn.errors import DicomnnError, VerificationFailed
from dicomnn.flow.pool import Tell, run_jobs

OURS = "dicomnn:"


@dataclass(frozen=True)
class Job:
    codec: str
    unit: Unit
    model: str
    """Id or path of our model, '' for the newest."""


@dataclass(frozen=True)
class Measured:
    """What one codec did to one unit. `status`: 'done', 'failed' (`detail` says why), or 'not-applicable'
    (a bound was asked for, and loss is not allowed). Sizes in bytes, seconds of one thread.
    """

    codec: str
    name: str
    status: str = "done"
    detail: str = ""
    pixels: int = 0
    size: int = 0
    payload: int = 0
    kept: bool = False
    tiles: dict[str, int] = field(default_factory=dict)
    encode_cpu: float = 0.0
    encode_wall: float = 0.0
    decode_cpu: float = 0.0
    decode_wall: float = 0.0
    memory: int = 0


@dataclass
class Stage:
    """All units through one codec. `wall` is the stage's own time, start of the workers included."""

    codec: str
    workers: int
    wall: float = 0.0
    results: dict[str, Measured] = field(default_factory=dict)


OnUnit = Callable[[Stage, Measured], None]


def run_stage(codec: str, units: Sequence[Unit], *, jobs: int, model: str, done: OnUnit | None) -> Stage:
    """`units` (large ones first, so that no core waits long at the end) through `codec`."""
    workers = 1 if codec.startswith(THREADED) else min(jobs, max(1, len(units)))
    stage = Stage(codec, workers)
    started = time.perf_counter()
    planned = [Job(codec, unit, model) for unit in sorted(units, key=lambda unit: -unit.pixels)]
    for result in run_jobs(planned, work, workers=workers, died=_died):
        stage.results[result.name] = result
        stage.wall = time.perf_counter() - started
        if done is not None:
            done(stage, result)
    return stage


def work(job: Job, tell: Tell) -> Measured:
    """One job in a worker. Never raises."""
    try:
        with tempfile.TemporaryDirectory(prefix="dicomnn-bench-") as place:
            return _measure(job, Path(place))
    except DicomnnError as error:
        return _failed(job, error.sentence())
    except MemoryError:
        return _failed(job, "not enough memory")
    except Exception as error:  # a codec's fault is a line in the table, not the end of the run
        return _failed(job, f"{type(error).__name__}: {error}")


def _failed(job: Job, detail: str) -> Measured:
    return Measured(job.codec, job.unit.name, "failed", detail)


def _died(job: Job, why: str) -> Measured:
    return _failed(job, why)


def _measure(job: Job, folder: Path) -> Measured:
    clock = Clock()
    with opened_unit(job.unit, folder) as opened:
        if job.codec.startswith(OURS):
            from dicomnn.benchmark import ours  # loads torch; the peers' workers do without

            ours.warm(job.codec, job.model)
            coded = ours.measure(opened, ours.Variant.parse(job.codec), job.model, folder, clock)
            if coded is None:
                return Measured(job.codec, job.unit.name, "not-applicable")
            size, payload, tiles, kept = coded.size, coded.payload, coded.tiles, coded.kept
        else:
            size = payload = _peer(opened, _warm_peer(job.codec), clock)
            tiles, kept = {}, False
        return Measured(
            job.codec,
            job.unit.name,
            pixels=job.unit.pixels,
            size=size,
            payload=payload,
            kept=kept,
            tiles=tiles,
            encode_cpu=clock.encode_cpu,
            encode_wall=clock.encode_wall,
            decode_cpu=clock.decode_cpu,
            decode_wall=clock.decode_wall,
            memory=peak_memory(),
        )


@cache
def _warm_peer(key: str) -> Peer:
    codec = peer(key)
    plane = (np.add.outer(np.arange(64), np.arange(96)) * 5).astype(np.uint16)
    codec.decode(codec.encode(plane), plane.shape)
    return codec


def _peer(opened: Opened, codec: Peer, clock: Clock) -> int:
    """Bytes of all planes; each is decoded and compared. Raises VerificationFailed."""
    size = 0
    for number, plane in enumerate(opened.planes()):
        shape = (plane.shape[0], plane.shape[1])
        with clock.encode():
            streams = codec.encode(plane)
        size += sum(map(len, streams))
        with clock.decode():
            decoded = codec.decode(streams, shape)
        worst = int(np.abs(decoded.astype(np.int32) - plane).max())
        if worst > codec.near:
            raise VerificationFailed(f"{codec.label} gives frame {number} back with errors of up to {worst}")
    return size
