"""Thin-slice CT as stacks: every slice for itself, and each with the slice before, beside JPEG XL.

The slices of a run, single-frame files as a rule, are put together as the frames of one multi-frame object,
and coded into one payload without groups and one in groups. Sizes are those of the payloads; the peer's are
its codestreams of the same planes. Nothing is timed here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dicomnn.benchmark import peers
from dicomnn.benchmark.costs import cost
from dicomnn.benchmark.folder import Series, Unit
from dicomnn.benchmark.ours import PREFIX, models, the_model
from dicomnn.benchmark.planes import opened_unit, unsigned
from dicomnn.benchmark.ratios import Row, is_noise, total
from dicomnn.benchmark.slices import Run
from dicomnn.benchmark.stages import Measured
from dicomnn.codec.decode import decode_frames, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.payload import MAX_DECODED
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import METHODS
from dicomnn.coded.spool import spool_file
from dicomnn.errors import DicomnnError, VerificationFailed
from dicomnn.flow.pool import Tell, run_jobs

GROUP = 16
"""Slices of a group unless another number is asked for: to read one of them takes up to so many."""
PEER = "jxl-e7"


@dataclass(frozen=True)
class Stack:
    """A run of thin slices; `units` are its files in order. `name` says which run of which series."""

    name: str
    run: Run
    units: tuple[Unit, ...]

    @property
    def pixels(self) -> int:
        return sum(unit.pixels for unit in self.units)


@dataclass(frozen=True)
class Job:
    stack: Stack
    efforts: tuple[str, ...]
    group: int
    model: str
    threads: int


@dataclass(frozen=True)
class Stacked:
    """What became of a stack. `left_out` says why it is none, '' where it is one; then `results` has every
    codec, or the first that failed alone. `bits`: mean over slices of log2(values in use).
    """

    name: str
    left_out: str = ""
    results: tuple[Measured, ...] = ()
    bits: float = 0.0


@dataclass
class StackedSeries(Row):
    """A series with the sizes of its `runs` together: those that are stacks and failed in no codec."""

    runs: list[Run] = field(default_factory=list)

    @property
    def slices(self) -> int:
        return sum(map(len, self.runs))


@dataclass
class Stacks:
    """Of a whole folder. `left_out` has (stack, reason), `problems` (stack, codec, sentence)."""

    group: int
    rows: list[StackedSeries] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    interrupted: bool = False
    """Then only those series have a row that were done by then."""


class _NoStack(Exception):
    """The text says why."""


def key_of(effort: str, group: int) -> str:
    """Of a stack in our codec; `group` 0 is every slice for itself."""
    return f"{PREFIX}{effort}:lossless:group:{group}"


def label_of(key: str) -> str:
    """The name of a stack's codec, the peer's included."""
    if key == PEER:
        return peers.label_of(key)
    effort, _, _, group = key.removeprefix(PREFIX).split(":")
    return f"dicomnn {effort}, " + (f"groups of {group}" if int(group) else "alone")


def cost_of(efforts: Sequence[str]) -> float:
    """About what a pixel of a stack costs, in the unit of ``costs.cost``."""
    return sum(part for *_, part in _codecs(efforts, GROUP))


def _codecs(efforts: Sequence[str], group: int) -> list[tuple[str, str, int, float]]:
    """What a stack goes through, as (key, effort, group, cost); the peer has no effort."""
    ours = [
        (key_of(effort, size), effort, size, cost(f"{PREFIX}{effort}:lossless"))
        for effort in efforts
        for size in (0, group)
    ]
    return [(PEER, "", 0, cost(PEER)), *ours]


def stacks_of(series: Series) -> list[Stack]:
    """One for each thin run."""
    items = {item.name: item for item in series.items}
    stacks = []
    for number, run in enumerate(series.runs, 1):
        units = []
        for name, places in groupby(run.slices, key=lambda place: place[0]):
            item, frames = items[name], tuple(frame for _, frame in places)
            pixels = len(frames) * item.rows * item.columns
            units.append(Unit(name, item.path, frames, len(frames) == item.frames, pixels))
        name = series.key if len(series.runs) == 1 else f"{series.key}, run {number}"
        stacks.append(Stack(name, run, tuple(units)))
    return stacks


def measure_stacks(
    series: Sequence[Series],
    *,
    efforts: tuple[str, ...],
    group: int,
    model: str = "",
    jobs: int = 1,
    pixels: Callable[[int], None] | None = None,
    problem: Callable[[str], None] | None = None,
) -> Stacks:
    """All thin runs of `series`, whatever of them is measured elsewhere.

    `group`: 2..255. A worker process takes a stack at a time; where there are fewer of them than `jobs`, each
    gets more threads. `pixels(more)` and `problem(sentence)` are told on the way. An interrupt ends it early.
    """
    planned = {stack.name: stack for one in series for stack in stacks_of(one)}
    found: dict[str, Stacked] = {}
    seen = dict.fromkeys(planned, 0)
    stacks = Stacks(group)

    def progress(job: Job, done: int, _: int) -> None:
        if pixels is not None:
            pixels(done - seen[job.stack.name])
        seen[job.stack.name] = done

    workers = min(jobs, max(1, len(planned)))
    ordered = sorted(planned.values(), key=lambda stack: -stack.pixels)
    work_list = [Job(stack, efforts, group, model, max(1, jobs // workers)) for stack in ordered]
    try:
        for stacked in run_jobs(work_list, work, workers=workers, died=_died, progress=progress):
            found[stacked.name] = stacked
            if pixels is not None:
                pixels(planned[stacked.name].pixels - seen[stacked.name])
            for result in stacked.results:
                if result.status == "failed":
                    stacks.problems.append((stacked.name, result.codec, result.detail))
                    if problem is not None:
                        problem(f"{stacked.name}: {result.codec}: {result.detail}")
    except KeyboardInterrupt:
        stacks.interrupted = True
    stacks.left_out = [
        (name, stacked.left_out) for name, stacked in sorted(found.items()) if stacked.left_out
    ]
    stacks.rows = [row for one in series if (row := _row(one, found)) is not None]
    return stacks


def _row(series: Series, found: dict[str, Stacked]) -> StackedSeries | None:
    """None while not all stacks of a series are done, and where none is left."""
    stacks = stacks_of(series)
    if any(stack.name not in found for stack in stacks):
        return None
    whole = [
        (stack, found[stack.name])
        for stack in stacks
        if not found[stack.name].left_out
        and all(result.status == "done" for result in found[stack.name].results)
    ]
    if not whole:
        return None
    results: dict[str, list[Measured]] = {}
    for _, stacked in whole:
        for result in stacked.results:
            results.setdefault(result.codec, []).append(result)
    sizes = {codec: total(part) for codec, part in results.items()}
    runs = [stack.run for stack, _ in whole]
    bits = float(np.average([stacked.bits for _, stacked in whole], weights=[len(run) for run in runs]))
    return StackedSeries(series, sizes, is_noise(sizes[PEER], bits), runs)


# ------------------------------------------------------------------ in a worker process
def work(job: Job, tell: Tell) -> Stacked:
    """One stack through every codec, decoded and compared. Never raises."""
    name = job.stack.name
    codecs = _codecs(job.efforts, job.group)
    every, spent = sum(part for *_, part in codecs), 0.0
    results: list[Measured] = []
    with spool_file(None) as file:
        try:
            frames, sample_format, bits = _stack(job.stack, file)
        except _NoStack as why:
            return Stacked(name, str(why))
        except Exception as error:  # a bad file is a line of the list
            return Stacked(name, _sentence(error))
        for codec, effort, group, part in codecs:

            def told(share: float, spent: float = spent, part: float = part) -> None:
                tell(int(job.stack.pixels * (spent + share * part) / every), job.stack.pixels)

            try:
                if codec == PEER:
                    results.append(_peer(name, frames, sample_format, told))
                else:
                    results.append(_ours(job, effort, group, frames, sample_format, told))
            except Exception as error:  # a codec's fault is a line of the list, too
                return Stacked(name, "", (Measured(codec, name, "failed", _sentence(error)),))
            spent += part
    return Stacked(name, "", tuple(results), bits)


def _sentence(error: Exception) -> str:
    return error.sentence() if isinstance(error, DicomnnError) else f"{type(error).__name__}: {error}"


def _died(job: Job, why: str) -> Stacked:
    return Stacked(job.stack.name, "", (Measured("all", job.stack.name, "failed", why),))


def _stack(stack: Stack, file: BinaryIO) -> tuple[np.ndarray, SampleFormat, float]:
    """The raw words (slices, rows, columns) in `file`, mapped, and the mean of log2(values in use)."""
    first: tuple[str, tuple[int, int], SampleFormat] | None = None
    bits: list[float] = []
    for unit in stack.units:
        with opened_unit(unit, Path(tempfile.gettempdir())) as opened:
            shape = (opened.original.shape.rows, opened.original.shape.columns)
            first = first or (unit.name, shape, opened.sample_format)
            if (shape, opened.sample_format) != first[1:]:
                raise _NoStack(f"'{unit.name}' has another size or sample format than '{first[0]}'")
            if len(stack.run) * opened.original.shape.frame_bytes >= MAX_DECODED:
                raise _NoStack(f"{len(stack.run)} slices of this size are more than one object can hold")
            for words in opened.words():
                file.write(words.tobytes())
                used = np.count_nonzero(np.bincount(unsigned(words, opened.sample_format).ravel()))
                bits.append(float(np.log2(used)))
    assert first is not None
    _, shape, sample_format = first
    file.flush()
    frames = np.memmap(file, sample_format.dtype, "r", shape=(len(bits), *shape))
    return np.asarray(frames), sample_format, float(np.mean(bits))


def _peer(
    name: str, frames: np.ndarray, sample_format: SampleFormat, told: Callable[[float], None]
) -> Measured:
    """Each slice for itself. Raises VerificationFailed."""
    codec, size = peers.peer(PEER), 0
    for number, words in enumerate(frames):
        plane = unsigned(words, sample_format)
        streams = codec.encode(plane)
        size += sum(map(len, streams))
        if not np.array_equal(codec.decode(streams, (plane.shape[0], plane.shape[1])), plane):
            raise VerificationFailed(f"{codec.label} does not give slice {number} back")
        told((number + 1) / len(frames))
    return Measured(PEER, name, pixels=frames.size, size=size, payload=size)


def _ours(
    job: Job,
    effort: str,
    group: int,
    frames: np.ndarray,
    sample_format: SampleFormat,
    told: Callable[[float], None],
) -> Measured:
    """One payload of all slices. Raises VerificationFailed."""
    payload = bytes(
        encode(
            frames,
            sample_format,
            profile=Profile("lossless"),
            model=the_model(job.model),
            effort=effort,
            group=group,
            threads=job.threads,
            progress=lambda done, tiles: told(done / tiles / 2),
        )
    )
    decoded: Iterator[np.ndarray] = decode_frames(payload, models(job.model), threads=job.threads)
    for number, (before, after) in enumerate(zip(frames, decoded, strict=True)):
        if not np.array_equal(before, after):
            raise VerificationFailed(f"slice {number} of the stack is not what was coded")
        told(0.5 + (number + 1) / len(frames) / 2)
    counts = np.bincount(read_header(payload).tile_methods, minlength=len(METHODS))
    return Measured(
        key_of(effort, group),
        job.stack.name,
        pixels=frames.size,
        size=len(payload),
        payload=len(payload),
        tiles={method: int(count) for method, count in zip(METHODS, counts, strict=True) if count},
    )
