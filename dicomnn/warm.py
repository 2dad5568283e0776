"""`python -m dicomnn.warm`: compile every kernel of the coding loops into numba's cache.

A tile is coded and decoded once with the newest model, a frame with the newest lossy one, so that workers and
tests that start later load machine code instead of compiling it, each for itself, for half a minute.
"""

from __future__ import annotations

import numpy as np

from dicomnn.codec.contenders import neural
from dicomnn.codec.lossy.frame import decode_frame, encode_frame
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.codec.model import Model
from dicomnn.codec.tiles import TileContext
from dicomnn.shelf import default_lossy_shelf, default_shelf


def warm(model: Model) -> None:
    """Code and decode a small made tile. Raises InexactArithmetic when this machine computes otherwise."""
    tile = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 2654435761 >> 20).astype(np.uint16)
    context = TileContext(int(tile.max()), 0, "fast", model)
    if not np.array_equal(neural.decode(neural.encode(tile, context), tile.shape, context), tile):
        raise AssertionError("a made tile did not come back")


def warm_lossy(model: LossyModel) -> None:
    """Code and decode a small made frame, padding in it."""
    frame = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 2654435761 >> 20).astype(np.uint16) + 1000
    frame[:, :20] = 0
    stream = encode_frame(frame, 300, model)
    payload = build([stream], [decode_frame(stream, frame.shape, model)], model)
    if not np.array_equal(decode(payload, lambda _: model)[0] == 0, frame == 0):
        raise AssertionError("the padding of a made frame did not come back")


if __name__ == "__main__":
    warm(default_shelf().newest())
    warm_lossy(default_lossy_shelf().newest())
