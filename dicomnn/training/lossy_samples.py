"""What the lossy tier's networks learn from: coefficients of real planes with the classes round them.

A plane is transformed as the encoder does it, quantised at three steps between some 0.8 and 28 % of values
that are not zero (about 0.05 to 1.2 bits per pixel), and every coefficient is scanned with the coder's own
contexts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from dicomnn.codec.lossy.contexts import INPUTS, PAD, gather, remember
from dicomnn.codec.lossy.frame import filled, padding
from dicomnn.codec.lossy.layout import Known, bands, nothing, room_of
from dicomnn.codec.lossy.wavelet import analyse, levels_of

CROP = 512
SHARES = (0.008, 0.28)
STEPS = 3
ROUNDING = 0.36
"""A magnitude is rounded up from 1 - 0.36 on: about what the encoder's choice by error and bits comes to."""
KEPT, KEPT_QUIET = 9000, 300
"""Samples of a band at most: of places with anything round them, and of quiet ones."""


class Samples(NamedTuple):
    """Of one orientation: levels (n,) and classes (n, 34) uint8, values (n,) int32, weights (n,) float32."""

    levels: np.ndarray
    classes: np.ndarray
    values: np.ndarray
    weights: np.ndarray


@njit(cache=True, nogil=True)
def _scan(q, wide, own, activity, p_wide, parent, parent_activity, aunts, sister, sister_2, beside, classes):  # type: ignore[no-untyped-def]
    rows, columns = q.shape
    x = np.zeros(INPUTS, np.uint8)
    for y in range(rows):
        for u in range(columns):
            at, p = (y + PAD) * wide + u + PAD, ((y >> 1) + PAD) * p_wide + (u >> 1) + PAD
            gather(
                x,
                at,
                wide,
                own,
                activity,
                p,
                p_wide,
                parent,
                parent_activity,
                aunts,
                sister,
                sister_2,
                beside,
            )
            classes[y * columns + u] = x
            remember(abs(q[y, u]), at, wide, own, activity)


def samples(planes: Iterable[np.ndarray], seed: int) -> list[Samples]:
    """By orientation. `planes`: (rows, columns) uint16 with a least value of 0, at least 32 on each side.

    A weight makes all bands of a plane count by their places, and all planes and steps alike in their bits.
    """
    rng = np.random.default_rng(seed)
    found: list[list[Samples]] = [[], [], []]
    for plane in planes:
        plane = _crop(plane, rng)
        mask = padding(plane, 8.0)
        values = plane.astype(np.float32) if mask is None else filled(plane, mask)
        levels = levels_of(*plane.shape)
        coefficients = analyse(values - np.float32(values.mean()), levels)
        sizes = np.sort(np.abs(coefficients).ravel())[::-1]
        for part in (rng.random(STEPS) + np.arange(STEPS)) / STEPS:
            share = SHARES[0] * (SHARES[1] / SHARES[0]) ** part
            step = max(float(sizes[int(share * sizes.size)]) / 0.62, 0.5)
            magnitudes = np.floor(np.abs(coefficients) / step + ROUNDING)
            quantised = (np.sign(coefficients) * magnitudes).astype(np.int32)
            weight = 1 / (plane.size * (5 * share + 0.02))
            for orientation, taken in _bands(quantised, levels, weight, rng):
                found[orientation].append(taken)
    return [Samples(*(np.concatenate(parts) for parts in zip(*group, strict=True))) for group in found]


def _bands(
    quantised: np.ndarray, levels: int, weight: float, rng: np.random.Generator
) -> Iterable[tuple[int, Samples]]:
    shape = (quantised.shape[0], quantised.shape[1])
    high, level = room_of(*shape, levels, levels)[1], 0
    parents: list[Known] = []
    done: list[Known] = []
    for band in bands(*shape, levels):
        if band.level != level:
            level = band.level
            deep, wide = room_of(*shape, levels, level)
            empty = nothing(deep * wide)
            parents, done = (done or [empty] * 3), []
        o, own = band.orientation, nothing(deep * wide)
        q = np.ascontiguousarray(quantised[band.rows, band.columns])
        classes = np.zeros((q.size, INPUTS), np.uint8)
        _scan(
            q,
            wide,
            own.classes,
            own.activity,
            high,
            parents[o].classes,
            parents[o].activity,
            tuple(parents[i].classes for i in range(3) if i != o),
            done[0].classes if o > 0 else empty.classes,
            done[1].classes if o == 2 else empty.classes,
            done[o - 1].activity if o > 0 else empty.activity,
            classes,
        )
        done.append(own)
        if o == 2:
            high = wide
        yield o, _taken(level, classes, q.ravel(), weight, rng)


def _taken(
    level: int, classes: np.ndarray, values: np.ndarray, weight: float, rng: np.random.Generator
) -> Samples:
    live = classes.any(1) | (values != 0)
    parts = []
    for members, most in ((np.flatnonzero(live), KEPT), (np.flatnonzero(~live), KEPT_QUIET)):
        each = weight
        if len(members) > most:
            each = weight * len(members) / most
            members = rng.choice(members, most, replace=False)
        parts.append((members, np.full(len(members), each, np.float32)))
    at = np.concatenate([members for members, _ in parts])
    return Samples(
        np.full(len(at), level, np.uint8),
        classes[at],
        values[at],
        np.concatenate([weights for _, weights in parts]),
    )


def _crop(plane: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = (int(rng.integers(0, max(1, n - CROP + 1))) for n in plane.shape)
    return np.ascontiguousarray(plane[y : y + CROP, x : x + CROP])
