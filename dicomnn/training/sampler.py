"""Crops, drawn evenly: over modality, scanner and noise level, then series, then planes.

Draw number n of a seed is always the same crop, whatever was drawn before and in whatever thread, so an
interrupted run goes on where it was, and work can be done ahead side by side.

A modality with few series does not get its full share: no series gets more than ``MOST_OF_A_SERIES`` of all
crops while there are others, or the network would learn those images by heart.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from dicomnn.codec import packing
from dicomnn.errors import TrainingError
from dicomnn.training import made_cases
from dicomnn.training.data import Crop, walk
from dicomnn.training.images.measures import noise_class
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import NotUsable, PlaneRecord

CROP = 128
MOST_OF_A_SERIES = 0.015
EFFORTS = {"fast": 0.2, "default": 0.5, "max": 0.3}
LEAST_PIXELS = 64
TRIES = 200

Walk = Callable[[np.ndarray, str, str, str], Crop]
"""``walk(tile, effort, group, series)``: what the network sees of a tile (h, w) uint16."""


class Sampler:
    """Draws crops of ``size`` pixels from ``planes``.

    ``plain``: no flips, scaling or made cases, for validation. ``weights``: shares of modality groups instead
    of even ones. ``gone``: planes that could not be read any more; others were drawn in their place.
    """

    def __init__(
        self,
        planes: Sequence[PlaneRecord],
        cache: PlaneCache,
        seed: int,
        *,
        size: int = CROP,
        plain: bool = False,
        weights: dict[str, float] | None = None,
        walk: Walk = walk,
    ) -> None:
        self.size = size
        self._cache = cache
        self._seed = seed
        self._plain = plain
        self._walk = walk
        self.gone: set[str] = set()
        tree: dict[str, dict[str, dict[int, dict[str, list[PlaneRecord]]]]] = {}
        for plane in planes:
            scanners = tree.setdefault(plane.file.group, {})
            levels = scanners.setdefault(plane.file.scanner, {})
            series = levels.setdefault(noise_class(plane.measures.noise), {})
            series.setdefault(f"{plane.file.source} {plane.file.series}", []).append(plane)
        self._tree = {
            group: [[list(series.values()) for series in levels.values()] for levels in scanners.values()]
            for group, scanners in tree.items()
        }
        self.shares = shares_of(series_counts(planes), weights)

    def draw(self, number: int) -> Crop:
        """Crop number ``number`` (from 0). Raises TrainingError where no crop teaches anything."""
        random = np.random.default_rng([self._seed, number])
        for _ in range(TRIES):
            group, plane = self._pick(random)
            try:
                tile = self._tile(plane, random)
            except NotUsable:
                self.gone.add(plane.key)
                continue
            if tile.max() > tile.min():
                effort = str(random.choice(list(EFFORTS), p=list(EFFORTS.values())))
                crop = self._walk(tile, effort, group, f"{plane.file.source} {plane.file.series}")
                if len(crop.inputs) >= LEAST_PIXELS:
                    return crop
        raise TrainingError(
            f"{TRIES} crops in a row were flat or of images that are gone: nothing is left to learn from.",
            cure="Look at the images named in the run's catalogue; put them back, or leave such folders out.",
        )

    def stream(self, first: int, threads: int = 1) -> Iterator[Crop]:
        """Crops from number ``first`` on, in order, for ever; other threads work ahead of the reader."""
        number = first
        if threads <= 1:
            while True:
                yield self.draw(number)
                number += 1
        waiting: deque[Future[Crop]] = deque()
        with ThreadPoolExecutor(threads - 1, thread_name_prefix="dicomnn-crop") as pool:
            try:
                while True:
                    while len(waiting) < 2 * threads:
                        waiting.append(pool.submit(self.draw, number))
                        number += 1
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _pick(self, random: np.random.Generator) -> tuple[str, PlaneRecord]:
        group = str(random.choice(list(self.shares), p=list(self.shares.values())))
        scanners = self._tree[group]
        levels = scanners[random.integers(len(scanners))]
        series = levels[random.integers(len(levels))]
        planes = series[random.integers(len(series))]
        return group, planes[random.integers(len(planes))]

    def _tile(self, plane: PlaneRecord, random: np.random.Generator) -> np.ndarray:
        values = self._cache.get(plane)
        if plane.measures.packed:
            values = packing.pack(values, packing.used_values(values))
        if self._plain:
            return self._cut(values, self.size, random)
        case = str(random.choice(list(made_cases.CASES), p=list(made_cases.CASES.values())))
        if case == "interpolated":
            side = int(self.size / random.uniform(1.15, 2.0))
            tile = made_cases.interpolated(self._cut(values, side, random), self.size, random)
        else:
            tile = self._cut(values, self.size, random)
        tile = made_cases.turned(tile, random)
        if case == "low-bit":
            tile = made_cases.low_bit(tile, random)
        elif case == "masked":
            tile = made_cases.masked(made_cases.scaled(tile, random), random)
        elif case == "sparse":
            tile = made_cases.sparse(tile, random)
            if random.random() < 0.5:
                tile = tile - tile.min()
                tile = packing.pack(tile, packing.used_values(tile))
        else:
            tile = made_cases.scaled(tile, random)
        return np.ascontiguousarray(tile - tile.min())

    def _cut(self, values: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
        h, w = values.shape
        y = random.integers(max(h - size, 0) + 1)
        x = random.integers(max(w - size, 0) + 1)
        return values[y : y + size, x : x + size]


def series_counts(planes: Sequence[PlaneRecord]) -> dict[str, int]:
    """Series of each modality group."""
    series: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for plane in planes:
        series[plane.file.group].add((plane.file.source, plane.file.series))
    return {group: len(members) for group, members in sorted(series.items())}


def shares_of(series: dict[str, int], weights: dict[str, float] | None = None) -> dict[str, float]:
    """How often each modality group is drawn: evenly (or by ``weights``), but small groups not beyond
    MOST_OF_A_SERIES for each of their series; where all are small, by the number of series.
    """
    wanted = {g: (weights or {}).get(g, 0.0 if weights else 1.0) for g in series}
    if sum(wanted.values()) <= 0:
        raise TrainingError(f"The weights name none of the groups that are there ({', '.join(series)}).")
    caps = {g: MOST_OF_A_SERIES * n for g, n in series.items()}
    open_groups = [g for g in series if wanted[g] > 0]
    shares = dict.fromkeys(open_groups, 0.0)
    if weights:
        return {g: wanted[g] / sum(wanted.values()) for g in open_groups}
    if sum(caps[g] for g in open_groups) <= 1.0:
        return {g: series[g] / sum(series[k] for k in open_groups) for g in open_groups}
    left, free = 1.0, list(open_groups)
    while free:
        even = left / len(free)
        small = [g for g in free if caps[g] < even]
        if not small:
            shares.update(dict.fromkeys(free, even))
            break
        for g in small:
            shares[g] = caps[g]
            left -= caps[g]
            free.remove(g)
    return shares
