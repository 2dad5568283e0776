"""Proof before release: pieces of images come back from their streams as the encoder meant them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dicomnn.codec.lossy.frame import HEAD, PRICE, Head, _encoded, decode_frame, padding, step_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.wavelet import levels_of, synthesise
from dicomnn.errors import TrainingError

from .fitting import Check
from .frames import Drawn

MOST = 16
ROUNDED = 1
"""The decoder may round a value the other way: it multiplies by the step before it adds up."""


def verify(model: LossyModel, drawn: Sequence[Drawn], check: Check = lambda: None) -> dict[str, Any]:
    """Figures for the manifest. Raises TrainingError when a piece does not come back."""
    pixels = size = 0
    for one in drawn[:MOST]:
        check()
        stream, made = _encoded(one.plane, one.quality, model, PRICE)
        decoded = decode_frame(stream, one.plane.shape, model)
        if (
            np.abs(
                decoded.astype(np.int64) - _meant(one, Head(*HEAD.unpack_from(stream)), made.restored)
            ).max()
            > ROUNDED
        ):
            raise TrainingError(
                "A piece of a validation image does not come back from its stream as it was coded.",
                subject=f"model {model.id}",
                cure="Report this: encoder and decoder of the lossy tier contradict each other.",
            )
        pixels, size = pixels + one.plane.size, size + len(stream)
    return {"frames": len(drawn[:MOST]), "pixels": pixels, "bytes": size}


def _meant(one: Drawn, head: Head, restored: np.ndarray) -> np.ndarray:
    step = step_of(one.quality)
    plane = synthesise(restored * step, levels_of(*restored.shape)) + np.float32(head.base + 0.5)
    values = np.clip(np.floor(plane), head.low, head.high).astype(np.int64)
    mask = padding(one.plane, float(step))
    return values if mask is None else np.where(mask, 0, values)
