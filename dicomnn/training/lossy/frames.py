"""Frames to learn from: a piece of a plane at a step, quantised by rule or by the encoder's own choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.lossy.frame import PRICE, encode_quantised, filled, index_of, padding, step_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.wavelet import analyse, levels_of
from dicomnn.errors import TrainingError
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import NotUsable, PlaneRecord
from dicomnn.training.picking import Picker

CROP = 512
SHARES = (0.006, 0.38)
"""Of coefficients above 0.62 steps; about 0.05 to 1.5 bits per pixel."""
STRATA = 3
"""Draws after each other take their shares from the low, the middle and the high third."""
ROUNDED = 0.62
ROUNDING = 0.36
"""A magnitude is rounded up from 1 - 0.36 on: about what the encoder's choice by error and bits comes to."""
TRIES = 200


@dataclass(frozen=True)
class Drawn:
    """A piece (rows, columns) uint16 of a plane, and the number of the step to code it with."""

    plane: np.ndarray
    quality: int
    group: str


@dataclass(frozen=True)
class Frame:
    """A piece quantised. `values` (rows, columns) int32: signed magnitudes, also of the lowest band;
    `scaled` float32: coefficients by the step; `bits`: of its stream, guessed where there is no model.
    `error`: squared, in steps, summed up.
    """

    values: np.ndarray
    scaled: np.ndarray
    levels: int
    bits: float
    error: float = 0.0


class Drawer:
    """Draws pieces of planes evenly. Draw number n of a seed is always the same. ``gone``: planes that could
    not be read any more.
    """

    def __init__(
        self,
        planes: Sequence[PlaneRecord],
        cache: PlaneCache,
        seed: int,
        weights: dict[str, float] | None = None,
    ) -> None:
        self._picker, self._cache, self._seed = Picker(planes, weights), cache, seed
        self.gone: set[str] = set()

    def draw(self, number: int) -> Drawn:
        """Raises TrainingError where no piece teaches anything."""
        random = np.random.default_rng([self._seed, number])
        for _ in range(TRIES):
            group, record = self._picker.pick(random)
            try:
                plane = self._cache.get(record)
            except NotUsable:
                self.gone.add(record.key)
                continue
            top, left = (int(random.integers(max(n - CROP, 0) + 1)) for n in plane.shape)
            plane = np.ascontiguousarray(plane[top : top + CROP, left : left + CROP])
            part = (number % STRATA + random.random()) / STRATA
            share = SHARES[0] * (SHARES[1] / SHARES[0]) ** part
            sizes = np.sort(np.abs(coefficients(plane)).ravel())[::-1]
            quality = index_of(float(sizes[int(share * sizes.size)]) / ROUNDED)
            if sizes[0] > 2 * float(step_of(quality)):
                return Drawn(plane, quality, group)
        raise TrainingError(
            f"{TRIES} pieces in a row were flat or of images that are gone: nothing is left to learn from.",
            cure="Look at the images named in the run's catalogue; put them back, or leave such folders out.",
        )


def coefficients(plane: np.ndarray, step: float = 8.0) -> np.ndarray:
    """The transform of a plane (rows, columns) uint16 as the encoder makes it, but for the mean: float32."""
    mask = padding(plane, step)
    values = plane.astype(np.float32) if mask is None else filled(plane, mask)
    return analyse(values - np.float32(values.mean()), levels_of(*plane.shape))


def quantised(drawn: Drawn, model: LossyModel | None) -> Frame:
    """By the encoder with a model, or by rule."""
    levels = levels_of(*drawn.plane.shape)
    if model is None:
        step = step_of(drawn.quality)
        scaled = coefficients(drawn.plane, float(step)) / step
        magnitudes = np.floor(np.abs(scaled) + ROUNDING)
        values = (np.sign(scaled) * magnitudes).astype(np.int32)
        return Frame(values, scaled, levels, 5.0 * np.count_nonzero(values) + 0.02 * values.size)
    stream, made = encode_quantised(drawn.plane, drawn.quality, model, PRICE)
    # Points lie less than half a step from their magnitudes (`fitting.MOST`).
    values = np.rint(made.restored).astype(np.int32)
    error = float(np.square(made.scaled - made.restored, dtype=np.float64).sum())
    return Frame(values, made.scaled, levels, 8.0 * len(stream), error)
