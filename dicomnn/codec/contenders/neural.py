"""The learned contender: predictors, causal network, tile code, online stage (see `codec.tile_coder`)."""

from __future__ import annotations

import numpy as np

from dicomnn.codec import tile_coder
from dicomnn.codec.tiles import TileContext

METHOD = 0
NAME = "neural"


def applies(tile: np.ndarray, context: TileContext) -> bool:
    """Any tile that is not constant, when a model is at hand."""
    return context.model is not None and int(tile.min()) != int(tile.max())


def encode(tile: np.ndarray, context: TileContext) -> bytes:
    """Bytes of a tile (h, w) uint16. Raises UnknownModel, InexactArithmetic."""
    return tile_coder.encode(tile, context, None)


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    """The tile (h, w) uint16. Raises PayloadCorrupt, UnknownModel."""
    return tile_coder.decode(data, shape, context, None)
