"""Proof before release: pieces of images come back from their streams as the encoder meant them, and a
decoder that shares no code with the codec reads the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dicomnn.codec import reference_lossy
from dicomnn.codec.lossy.frame import HEAD, PRICE, Head, decode_frame, encode_quantised, padding, step_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build
from dicomnn.codec.lossy.wavelet import levels_of
from dicomnn.errors import TrainingError

from .fitting import Check
from .frames import Drawn

MOST, READ_TWICE, SIDE = 16, 4, 64
"""Pieces; those of which a corner of so many rows and columns is read by the other decoder too."""
ROUNDED = 1
"""The decoder may round a value the other way: it multiplies by the step before it adds up."""


def verify(
    model: LossyModel, file: bytes, drawn: Sequence[Drawn], check: Check = lambda: None
) -> dict[str, Any]:
    """Figures for the manifest; ``file``: the model's. Raises TrainingError where one does not come back."""
    pixels = size = twice = 0
    for number, one in enumerate(drawn[:MOST]):
        check()
        stream, made = encode_quantised(one.plane, one.quality, model, PRICE)
        decoded = decode_frame(stream, one.plane.shape, model)
        meant = _meant(one, Head(*HEAD.unpack_from(stream)), made.restored)
        same = np.abs(decoded.astype(np.int64) - meant).max() <= ROUNDED
        if number < READ_TWICE:
            same = same and _read_alike(
                np.ascontiguousarray(one.plane[:SIDE, :SIDE]), one.quality, model, file
            )
            twice += 1
        if not same:
            raise TrainingError(
                "A piece of a validation image does not come back from its stream as it was coded.",
                subject=f"model {model.id}",
                cure="Report this: encoder and decoders of the lossy tier contradict each other.",
            )
        pixels, size = pixels + one.plane.size, size + len(stream)
    return {"frames": len(drawn[:MOST]), "pixels": pixels, "bytes": size, "reference_decoder": twice}


def _meant(one: Drawn, head: Head, restored: np.ndarray) -> np.ndarray:
    step = step_of(one.quality)
    rows, columns = restored.shape
    plane = reference_lossy.synthesis(restored * step, levels_of(rows, columns))
    values = np.clip(np.floor(plane + np.float32(head.base + 0.5)), head.low, head.high).astype(np.int64)
    mask = padding(one.plane, float(step))
    return values if mask is None else np.where(mask, 0, values)


def _read_alike(plane: np.ndarray, quality: int, model: LossyModel, file: bytes) -> bool:
    stream = encode_quantised(plane, quality, model, PRICE)[0]
    decoded = decode_frame(stream, plane.shape, model)
    payload = build([stream], [decoded], model)
    return bool(np.array_equal(reference_lossy.decode(payload, lambda _: file)[0], decoded))
