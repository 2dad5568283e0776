"""The tables of a model beside its networks: by rule where nothing was counted yet, then from counts."""

from __future__ import annotations

import numpy as np

from dicomnn.codec.lossy.magnitudes import KINDS
from dicomnn.codec.lossy.model import SCHEMA
from dicomnn.codec.lossy.scales import SCALES

SLOTS = 1 << 16
TRUSTED = 300.0
"""Places that the distribution as trained is worth beside what was counted."""
NEIGHBOURS, ENOUGH = 0.3, 2000.0
"""The states beside one count so much where it has few places itself."""
REACH = 2
SLOPE_UNIT = 256
HASTE = 2.5
"""How fast corrections follow: beside it 1 costs 0.15 % of the bits, 8 costs 0.5 %, 0 costs 1.2 %."""
POINT_UNIT, FEW, FARTHEST = 256, 60.0, 115
"""Points are drawn to 0 as if so many places had lain there; none is as far as half a step."""


def guesses() -> dict[str, np.ndarray]:
    """``points``, ``signs``, ``still``, ``lowest``, ``mask``, ``blocks`` by rule."""

    def filled(name: str, value: int) -> np.ndarray:
        return np.full(SCHEMA[name][1], value, np.int64)

    return {
        "points": filled("points", 0),
        "signs": filled("signs", SLOTS // 2),
        "still": filled("still", 3000),
        "lowest": _lowest_chances(),
        "mask": _mask_chances(),
        "blocks": np.array(
            [2000, 16000, 16000, 30000, 30000, 40000, 40000, 50000, 600, 16000, 49000, 64900], np.int64
        ),
    }


def _lowest_chances() -> np.ndarray:
    digits, k = np.arange(16)[:, None], np.arange(KINDS)[None]
    logit = np.clip((2 * (digits - 1.2) + 1 - k) * 0.9 + 1, -5, 5)
    logit = np.where(k == 0, np.maximum(logit, -1), logit)
    return np.asarray(np.round(SLOTS / (1 + np.exp(-logit))).astype(np.int64))


def _mask_chances() -> np.ndarray:
    near = np.array([3, 1, 1, 1.5, 3, 1.5, 1, 0.7, 1, 0.7])
    votes = ((np.arange(1024)[:, None] >> np.arange(10)) & 1) * 2 - 1
    return np.asarray(np.round(SLOTS / (1 + np.exp(-6 * (votes @ near) / near.sum()))).astype(np.int64))


def frequencies_of(trained: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """``frequencies`` (96, 40) from distributions as trained and places counted by state and class."""
    chances = trained
    if counts is not None:
        own = counts.sum(1, keepdims=True)
        beside = np.zeros_like(counts)
        beside[1:] += counts[:-1]
        beside[:-1] += counts[1:]
        counts = counts + NEIGHBOURS * np.minimum(1, ENOUGH / np.maximum(own, 1)) * beside
        chances = counts + TRUSTED * trained
    chances = chances / chances.sum(1, keepdims=True)
    whole = np.maximum(np.round(chances * SLOTS), 1).astype(np.int64)
    whole[np.arange(SCALES), whole.argmax(1)] += SLOTS - whole.sum(1)
    return whole


def slopes_of(frequencies: np.ndarray) -> np.ndarray:
    """``slopes`` (96, 40): bits that a state more would save, times HASTE, in 1/256; mean 0 over a state."""
    chances = frequencies / SLOTS
    bits = -np.log2(chances)
    states = np.arange(SCALES)
    low, high = np.maximum(states - REACH, 0), np.minimum(states + REACH, SCALES - 1)
    slopes = (bits[low] - bits[high]) / (high - low)[:, None]
    slopes -= (chances * slopes).sum(1, keepdims=True)
    return np.clip(np.round(HASTE * SLOPE_UNIT * slopes), -32000, 32000).astype(np.int64)


def points_of(distances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``points`` (3, 96, 3) from sums of how far values lay below their magnitudes, in steps, and places."""
    means = distances / (counts + FEW)
    return np.clip(np.round(means * POINT_UNIT), -FARTHEST, FARTHEST).astype(np.int64)


def chances_of(
    ones: np.ndarray, counts: np.ndarray, prior: np.ndarray | float, worth: float, least: int
) -> np.ndarray:
    """First chances of a 1 in 1/65536, drawn to a prior that is worth so many events."""
    chances = (ones + worth * prior) / (counts + worth)
    return np.clip(np.round(chances * SLOTS), least + 1, SLOTS - least - 1).astype(np.int64)
