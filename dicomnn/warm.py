"""`python -m dicomnn.warm`: compile every kernel of the coding loop into numba's cache.

A tile is coded and decoded once with the newest model, so that workers and tests that start later load
machine code instead of compiling it, each for itself, for half a minute.
"""

from __future__ import annotations

import numpy as np

from dicomnn.codec.contenders import neural
from dicomnn.codec.model import Model
from dicomnn.codec.tiles import TileContext
from dicomnn.shelf import Shelf, default_shelf


def warm(model: Model) -> None:
    """Code and decode a small made tile. Raises InexactArithmetic when this machine computes otherwise."""
    tile = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 2654435761 >> 20).astype(np.uint16)
    context = TileContext(int(tile.max()), 0, "fast", model)
    if not np.array_equal(neural.decode(neural.encode(tile, context), tile.shape, context), tile):
        raise AssertionError("a made tile did not come back")


def warm_lossy(shelf: Shelf) -> None:
    """The same for the lossy tier; nothing happens where there is no model of it."""
    from dicomnn.codec.lossy_encode import Aim, encode_promised
    from dicomnn.codec.lossy_image import decode_frame
    from dicomnn.codec.profile import Profile
    from dicomnn.codec.sample import SampleFormat
    from dicomnn.errors import UnknownModel

    try:
        model = shelf.lossy.newest()
    except UnknownModel:
        return
    words = (np.arange(64 * 64, dtype=np.uint32).reshape(1, 64, 64) * 2654435761 >> 20).astype(np.uint16)
    words[0, :8] = 0                    # padding has a kernel of its own
    aim = Aim(Profile.parse("lossy:psnr=60"), SampleFormat(16, 12, 11, False), 1)
    decode_frame(memoryview(bytes(encode_promised(words, aim, model).payload)), shelf.get, 0)


if __name__ == "__main__":
    warm(default_shelf().newest())
    warm_lossy(default_shelf())
