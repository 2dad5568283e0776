"""Our own codec, or another, at no more than a given number of bytes, found by search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat

WORDS = SampleFormat(8, 8, 7, False)
BOUNDS = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)

Coded = tuple[bytes, np.ndarray]
"""A file and the image that it gives."""


@dataclass
class Ladder:
    """A codec whose rungs 0, 1, 2 ... need more and more bytes; what was tried is kept.

    With the rung that fits, the best that this codec can do at so many bytes, if bytes grow with the rung;
    where they do not quite (JPEG 2000, PNG), a rung beside it.
    """

    rungs: int
    at: Callable[[int], Coded]
    known: dict[int, Coded] = field(default_factory=dict)

    def get(self, rung: int) -> Coded:
        if rung not in self.known:
            self.known[rung] = self.at(rung)
        return self.known[rung]

    def highest(self, size: int) -> int | None:
        """The highest rung of at most ``size`` bytes, None where even the lowest needs more."""
        if len(self.get(0)[0]) > size:
            return None
        low, high = 0, self.rungs
        while high - low > 1:
            middle = (low + high) // 2
            if len(self.get(middle)[0]) <= size:
                low = middle
            else:
                high = middle
        return low

    def fits(self, size: int) -> Coded | None:
        """What `highest` gives."""
        rung = self.highest(size)
        return None if rung is None else self.get(rung)


def ours(image: np.ndarray, model: Model | None) -> Ladder:
    """`bounded:N` for N of `BOUNDS`, and `lossless` (0), of an image (rows, columns) uint8."""
    return Ladder(len(BOUNDS), lambda rung: coded_by_ours(image, model, BOUNDS[rung]))


def coded_by_ours(image: np.ndarray, model: Model | None, bound: int) -> Coded:
    """``bound`` 0: lossless."""
    profile = profile_of(bound)
    coded = bytes(encode(image[np.newaxis], WORDS, profile=profile, model=model))
    return coded, decode(coded, lambda _: _known(model))[0]


def profile_of(bound: int) -> Profile:
    return Profile("bounded", bound) if bound else Profile("lossless")


def _known(model: Model | None) -> Model:
    assert model is not None
    return model
