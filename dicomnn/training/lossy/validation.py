"""What a model is worth on frames that did not train: real streams, compared at equal error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicomnn.codec.lossy.frame import PRICE
from dicomnn.codec.lossy.model import LossyModel

from .fitting import Check
from .frames import Drawn, quantised

BITS, EQUAL, ALL = "bits", "equal", "all"


def coded(drawn: Sequence[Drawn], model: LossyModel, check: Check = lambda: None) -> np.ndarray:
    """(frames, 2) float64: bits of the stream, squared error in steps, summed up."""
    found = []
    for one in drawn:
        check()
        frame = quantised(one, model)
        found.append((frame.bits, frame.error))
    return np.array(found)


def figures(drawn: Sequence[Drawn], ours: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """By group and of 'all' frames: '<group> bits', mean bits per pixel of real streams, and '<group> equal',
    bits at equal error by those of the reference, geometric mean over frames.

    Both code with the same steps, and the encoder gives an error of PRICE for a bit; so what one has less of
    the error counts as 1 / PRICE bits.
    """
    bits = np.maximum(ours[:, 0] + (ours[:, 1] - reference[:, 1]) / PRICE, 1.0) / reference[:, 0]
    found: dict[str, float] = {}
    for group in [*sorted({one.group for one in drawn}), ALL]:
        some = np.array([group in (one.group, ALL) for one in drawn])
        pixels = np.array([one.plane.size for one in drawn])[some]
        found[f"{group} {BITS}"] = float(np.mean(ours[some, 0] / pixels))
        found[f"{group} {EQUAL}"] = float(np.exp(np.mean(np.log(bits[some]))))
    return found


def score(figures: dict[str, float]) -> float:
    """What is made small."""
    return figures[f"{ALL} {EQUAL}"]
