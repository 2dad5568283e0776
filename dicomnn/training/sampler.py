"""Crops of planes that are drawn evenly (`picking`).

Draw number n of a seed is always the same crop, whatever was drawn before and in whatever thread, so an
interrupted run goes on where it was, and work can be done ahead side by side.

A third of the crops of planes that have a plane before them are drawn with it, as the codec may have it
beside a tile; their group is called 'CT ref' for 'CT'. Packed planes go without: their values are numbers of
a table that is each plane's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from dicomnn.codec import features, packing
from dicomnn.errors import TrainingError
from dicomnn.training import made_cases
from dicomnn.training.data import CROP, KEPT, MAP_SIDE, Crop, walk
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import NotUsable, PlaneRecord
from dicomnn.training.pair import Pair, cut
from dicomnn.training.picking import Picker

EFFORTS = {"fast": 0.2, "default": 0.5, "max": 0.3}
REFERENCES = 1 / 3
WITH_REFERENCE = "{} ref"
START_ERRORS = (0.5, 16.0)
"""Times the codec's own assumption: it measures the error of a tile's centre, and that may be far from it."""
LEAST_PIXELS = 64
TRIES = 200

Walk = Callable[[np.ndarray, str, str, str, np.ndarray | None, int], Crop]
"""``walk(tile, effort, group, series, reference, start_error)``, see `data.walk`."""


class Sampler:
    """Draws crops of ``size`` pixels a side from ``planes``, and keeps ``kept`` pixels of each.

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
        kept: int = KEPT,
        plain: bool = False,
        weights: dict[str, float] | None = None,
        walk: Walk = walk,
    ) -> None:
        self.map_side = min(size, MAP_SIDE)
        self._size = size
        self._kept = kept
        self._cache = cache
        self._seed = seed
        self._plain = plain
        self._walk = walk
        self.gone: set[str] = set()
        self._picker = Picker(planes, weights)
        self.shares = self._picker.shares

    def draw(self, number: int) -> Crop:
        """Crop number ``number`` (from 0). Raises TrainingError where no crop teaches anything."""
        random = np.random.default_rng([self._seed, number])
        for _ in range(TRIES):
            group, plane = self._picker.pick(random)
            try:
                pair = self._pair(plane, random)
            except NotUsable:
                self.gone.add(plane.key)
                continue
            tile, reference = pair.tile, pair.reference
            if tile.max() > tile.min():
                effort = str(random.choice(list(EFFORTS), p=list(EFFORTS.values())))
                called = WITH_REFERENCE.format(group) if reference is not None else group
                series = f"{plane.file.source} {plane.file.series}"
                crop = self._walk(tile, effort, called, series, reference, self._start_error(random))
                if len(crop.inputs) >= LEAST_PIXELS:
                    return crop.thinned(self._kept, random)
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

    def _pair(self, plane: PlaneRecord, random: np.random.Generator) -> Pair:
        values = self._cache.get(plane)
        before = self._before(plane, random)
        if plane.measures.packed:
            values = packing.pack(values, packing.used_values(values))
        if self._plain:
            return _cut(values, before, self._size, random).contiguous()
        case = made_cases.case_of(random, before is not None)
        if case == "interpolated":
            side = int(self._size / random.uniform(1.15, 2.0))
            small = _cut(values, None, side, random).tile
            pair = Pair(made_cases.interpolated(small, self._size, random))
        else:
            pair = _cut(values, before, self._size, random)
        pair = made_cases.turned(pair, random)
        if case == "low-bit":
            pair = made_cases.low_bit(pair, random)
        elif case == "few-levels":
            pair = made_cases.few_levels(pair, random)
        elif case == "masked":
            pair = made_cases.masked(made_cases.scaled(pair, random), random)
        elif case == "sparse":
            tile = made_cases.sparse(pair.tile, random)
            if random.random() < 0.5:
                tile = tile - tile.min()
                tile = packing.pack(tile, packing.used_values(tile))
            pair = Pair(tile)
        else:
            pair = made_cases.scaled(pair, random)
        return pair.from_zero().contiguous()

    def _before(self, plane: PlaneRecord, random: np.random.Generator) -> tuple[np.ndarray, int] | None:
        """The plane before, for a third of the crops where there is one."""
        wanted = random.random() < REFERENCES
        return self._cache.before(plane) if wanted and not plane.measures.packed else None

    def _start_error(self, random: np.random.Generator) -> int:
        if self._plain:
            return features.START_ERROR
        return int(features.START_ERROR * 2 ** random.uniform(*np.log2(START_ERRORS)))


def _cut(
    values: np.ndarray, before: tuple[np.ndarray, int] | None, size: int, random: np.random.Generator
) -> Pair:
    h, w = values.shape
    top, left = int(random.integers(max(h - size, 0) + 1)), int(random.integers(max(w - size, 0) + 1))
    return cut(values, before, top, left, size, size)
