"""The learned contender with the neighbouring slice: the plane before it as further context.

The same network and coder as `neural`; the predictors and inputs also see the reference that the tile's
context holds. It competes tile by tile, so it is off where the neighbour does not pay.
"""

from __future__ import annotations

import numpy as np

from dicomnn.codec import tile_coder
from dicomnn.codec.tiles import TileContext
from dicomnn.errors import PayloadCorrupt

METHOD = 4
NAME = "neighbour"


def applies(tile: np.ndarray, context: TileContext) -> bool:
    """Any tile that is not constant, when a model and a reference are at hand."""
    there = context.model is not None and context.reference is not None
    return there and int(tile.min()) != int(tile.max())


def encode(tile: np.ndarray, context: TileContext) -> bytes:
    """Bytes of a tile (h, w) uint16. Raises UnknownModel, InexactArithmetic."""
    return tile_coder.encode(tile, context, context.reference)


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    """The tile (h, w) uint16. Raises PayloadCorrupt, UnknownModel."""
    if context.reference is None:
        raise PayloadCorrupt("A tile refers to the frame before it, and there is none.", where="tile")
    return tile_coder.decode(data, shape, context, context.reference)
