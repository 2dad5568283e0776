"""Speeds of the lossy tier as a table, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicomnn.benchmark.lossy_speed import Timing
from dicomnn.benchmark.tables import Table

BUSY = 1.25
"""Seconds by the wall, of all threads, to seconds of a processor: above it the machine had other work."""


def speed_tables(found: Sequence[Timing], threads: int) -> list[Table]:
    """A row for each direction, rate and group; a machine that had other work is named."""
    cells = []
    for timing in sorted(found, key=lambda t: (t.direction != "decode", t.direction, t.group != "all")):
        sizes = (timing.bytes_ours, timing.bytes_theirs)
        bits_ours, bits_theirs = (8 * size / timing.pixels for size in sizes)
        cells.append(
            [
                timing.direction,
                timing.group,
                f"{timing.frames} of {timing.frames + timing.left_out}",
                f"{timing.rate:g}",
                f"{bits_ours:.3f} / {bits_theirs:.3f}",
                spread(timing.speeds(timing.wall_ours), 1),
                spread(timing.speeds(timing.wall_theirs), 1),
                spread(timing.shares, 2),
                f"{np.median(timing.cpu_shares):.2f}",
            ]
        )
    columns = ["direction", "group", "frames", "bpp asked", "bpp ours / theirs", "ours MB/s"]
    columns += ["OpenJPEG MB/s", "ours by theirs", "by processor time"]
    return [Table("Speed of the lossy tier and of OpenJPEG 9/7", columns, cells, _busy(found, threads))]


def spread(values: np.ndarray, digits: int) -> str:
    """Median, and from the least to the largest."""
    low, middle, high = (f"{value:.{digits}f}" for value in np.percentile(values, [0, 50, 100]))
    return f"{middle} ({low} .. {high})"


def _busy(found: Sequence[Timing], threads: int) -> str:
    wall = threads * sum(sum(t.wall_ours) + sum(t.wall_theirs) for t in found)
    cpu = sum(sum(t.cpu_ours) + sum(t.cpu_theirs) for t in found)
    if wall <= BUSY * cpu:
        return ""
    return (
        f"The machine was busy: {wall / cpu:.1f} seconds of {threads} threads went by for each of a "
        "processor. Trust the ratios, not the speeds."
    )


def conventions(threads: int, rounds: int) -> tuple[str, ...]:
    """One sentence or two each."""
    return (
        "Measured: the middle frame of every series; MB/s of 16-bit pixels (2 bytes a pixel), memory to "
        "memory. Median of the rounds, in brackets the lowest and the highest.",
        f"Both sides: a pool of {threads} thread{'s' if threads > 1 else ''}, one frame a thread at a time, "
        f"the largest first, each codec itself with one thread; {rounds} rounds in turn, the one first in "
        "even rounds and the other in odd ones; warm. 'ours by theirs' is taken round by round.",
        "Bytes: ours at the finest step that gives no more than the rate asked for, container and checksum "
        "included; OpenJPEG (9/7, declared with the bits that the values need) at the setting whose file "
        "is nearest to as many bytes; frames that do not get within a tenth, as small ones do not at low "
        "rates, are left out. Both are decoded and checked before the clock starts. The search for the "
        "step is not in the time, nor is that for the setting.",
        "decode: ours from the whole payload, with its checksums. encode: the stream at a given step. "
        "encode, verified: that and decoding it again, on both sides, which is what a node has to do.",
        "all: the seconds of the groups added up, so large frames weigh most.",
    )
