"""What the network learns from: places of frames that are coded, with what is seen at them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dicomnn.codec.lossy.inputs import INPUTS

from .frames import Frame
from .marks import Places, bands_of, classes_of

PASSES = 6
KEPT = 600
"""Of the zeros and of the others of a pass over a band."""


class Samples(NamedTuple):
    """Of one pass (2 * orientation + odd) over all bands of a frame: levels uint8 (n,), inputs int16
    (n, inputs), classes uint8 (n,), and what each stands for: weights float32 (n,).
    """

    levels: np.ndarray
    inputs: np.ndarray
    classes: np.ndarray
    weights: np.ndarray


def samples(frame: Frame, random: np.random.Generator, kept: int = KEPT) -> list[Samples]:
    """Six lists, thinned. The weights of all places together are `coded places / bits of the frame`: so all
    frames count alike in the logarithm of their bits.
    """
    parts: list[list[Samples]] = [[] for _ in range(PASSES)]
    for band in bands_of(frame.values, frame.levels):
        for odd in (0, 1):
            at = band.places(odd)
            classes = classes_of(np.abs(band.at(at)))
            for some in (np.flatnonzero(classes == 0), np.flatnonzero(classes)):
                weight = max(len(some) / kept, 1.0) / frame.bits
                if len(some) > kept:
                    some = random.choice(some, kept, replace=False)
                parts[2 * band.orientation + odd].append(
                    Samples(
                        np.full(len(some), band.level, np.uint8),
                        band.inputs(Places(odd, at.y[some], at.i[some])),
                        classes[some].astype(np.uint8),
                        np.full(len(some), weight, np.float32),
                    )
                )
    return [_joined(group) for group in parts]


def _joined(group: list[Samples]) -> Samples:
    if not group:
        return Samples(
            np.zeros(0, np.uint8),
            np.zeros((0, len(INPUTS)), np.int16),
            np.zeros(0, np.uint8),
            np.zeros(0, np.float32),
        )
    return Samples(*(np.concatenate(arrays) for arrays in zip(*group, strict=True)))


class Batch(NamedTuple):
    """Of all passes (6, n): levels int64, inputs (6, n, inputs) float32, classes int64, weights float32."""

    levels: np.ndarray
    inputs: np.ndarray
    classes: np.ndarray
    weights: np.ndarray


class Pool:
    """Samples of the latest `room` frames, from which batches are drawn."""

    def __init__(self, room: int) -> None:
        self._room, self._frames = room, list[list[Samples]]()
        self._ladders: list[list[np.ndarray]] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._frames)

    def take(self, frame: list[Samples]) -> None:
        """In the place of the oldest where there is no room."""
        ladders = [np.cumsum(part.weights.astype(np.float64) ** 0.75) for part in frame]
        if len(self._frames) < self._room:
            self._frames.append(frame)
            self._ladders.append(ladders)
            return
        self._frames[self._next], self._ladders[self._next] = frame, ladders
        self._next = (self._next + 1) % self._room

    def batch(self, frames: int, each: int, random: np.random.Generator) -> Batch:
        """`each` places of every pass of so many frames. The sum of bits * weights has the expectation of the
        mean over frames of all their bits by what they were when drawn.
        """
        levels = np.zeros((PASSES, frames * each), np.int64)
        inputs = np.zeros((PASSES, frames * each, len(INPUTS)), np.float32)
        classes = np.zeros((PASSES, frames * each), np.int64)
        weights = np.zeros((PASSES, frames * each), np.float32)
        for n, which in enumerate(random.integers(0, len(self._frames), frames)):
            place = slice(n * each, (n + 1) * each)
            for k, (part, ladder) in enumerate(zip(self._frames[which], self._ladders[which], strict=True)):
                if not len(ladder):
                    continue
                at = np.searchsorted(ladder, random.random(each) * ladder[-1], "right")
                at = np.minimum(at, len(ladder) - 1)
                levels[k, place], inputs[k, place] = part.levels[at], part.inputs[at]
                classes[k, place] = part.classes[at]
                weights[k, place] = part.weights[at] ** 0.25 * (ladder[-1] / (each * frames))
        return Batch(levels, inputs, classes, weights)
