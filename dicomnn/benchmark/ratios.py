"""Sizes of a series against each other, and means over series with intervals.

A ratio is bytes of ours by bytes of a peer over the same frames of one series; a mean is that of the
series' ratios, every series counted once. Its interval is a bootstrap over series (percentiles 2.5 and
97.5 of the means of resamples, fixed seed), so it speaks of other series of this kind, not of other frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dicomnn.benchmark.folder import GROUPS, Series
from dicomnn.benchmark.stages import Measured

RESAMPLES = 10_000
SEED = 20240229
NOISE = 0.95
"""A series whose JPEG XL e7 bits per pixel exceed this share of log2(values in use) holds random numbers."""


@dataclass(frozen=True)
class Size:
    """What one codec made of a series. `units` are the files that count."""

    pixels: int
    size: int
    payload: int
    units: frozenset[str]
    kept: int
    tiles: dict[str, int] = field(default_factory=dict)

    @property
    def bits_per_pixel(self) -> float:
        return 8 * self.size / self.pixels


@dataclass
class Row:
    """A series with its sizes by codec. `noise` series are listed and count in no mean."""

    series: Series
    sizes: dict[str, Size]
    noise: bool = False

    def ratio(self, ours: str, peer: str) -> float | None:
        """Bytes of `ours` by bytes of `peer`, None unless both coded the same files."""
        a, b = self.sizes.get(ours), self.sizes.get(peer)
        if a is None or b is None or a.units != b.units or b.size == 0:
            return None
        return a.size / b.size


@dataclass(frozen=True)
class Mean:
    """Of the ratios of `count` series: `low` and `high` bound the 95 % interval of the mean. `payload` is the
    mean with the payload alone instead of all of ours: what is left is the price of a DICOM object.
    """

    ours: str
    peer: str
    count: int
    mean: float
    low: float
    high: float
    median: float
    worst: float
    worst_series: str
    under_one: int
    payload: float


def sizes(series: Series, results: Iterable[Measured]) -> dict[str, Size]:
    """By codec, over the units of `series` that were done."""
    names = {unit.name for unit in series.units}
    found: dict[str, list[Measured]] = {}
    for result in results:
        if result.name in names and result.status == "done":
            found.setdefault(result.codec, []).append(result)
    return {codec: total(part) for codec, part in found.items()}


def total(results: Sequence[Measured]) -> Size:
    """What one codec made of several units together."""
    tiles: dict[str, int] = {}
    for result in results:
        for name, count in result.tiles.items():
            tiles[name] = tiles.get(name, 0) + count
    return Size(
        pixels=sum(result.pixels for result in results),
        size=sum(result.size for result in results),
        payload=sum(result.payload for result in results),
        units=frozenset(result.name for result in results),
        kept=sum(result.kept for result in results),
        tiles=tiles,
    )


def is_noise(size: Size | None, bits: float) -> bool:
    """Whether a series of `bits` log2(values in use) holds random numbers, by its size in JPEG XL e7."""
    return size is not None and bits > 0 and size.bits_per_pixel > NOISE * bits


def mean(rows: Sequence[Row], ours: str, peer: str) -> Mean | None:
    """Over the rows where both coded the same files and that are no noise; None without any."""
    found = [
        (ratio, row.series.key, row.sizes[ours].payload / row.sizes[ours].size)
        for row in rows
        if not row.noise and (ratio := row.ratio(ours, peer)) is not None
    ]
    if not found:
        return None
    ratios = np.array([ratio for ratio, _, _ in found])
    low, high = interval(ratios)
    worst, worst_series, _ = max(found)
    return Mean(
        ours,
        peer,
        len(ratios),
        float(ratios.mean()),
        low,
        high,
        float(np.median(ratios)),
        worst,
        worst_series,
        int((ratios < 1).sum()),
        float(np.mean([ratio * part for ratio, _, part in found])),
    )


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of `ratios` (n,) by resampling series."""
    random = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 1000):
        means[start : start + 1000] = ratios[random.integers(len(ratios), size=(1000, len(ratios)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def by_group(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of each group that has any, in the order of the tables. 'thin CT' is a part of CT."""
    groups = {name: [row for row in rows if row.series.group == name] for name in GROUPS}
    table = {
        "CT": groups["CT"],
        "thin CT": [row for row in rows if row.series.thin],
        "MR": groups["MR"],
        "CT + MR": groups["CT"] + groups["MR"],
        "X-ray": groups["X-ray"],
        "other": groups["other"],
        "all": list(rows),
    }
    return {name: part for name, part in table.items() if part}
