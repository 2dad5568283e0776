"""The ways to code a tile. Each module has the same five names and knows nothing of the others.

``METHOD`` (number in the payload), ``NAME``, ``applies(tile, context)``, ``encode(tile, context)``,
``decode(data, shape, context)``. ``encode`` gives None where the method turns out not to work for this tile.
A contender that is faster on many tiles at once may add ``encode_many(tiles, context, threads)`` and
``decode_many(datas, shapes, context, threads)``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from dicomnn.codec.tiles import METHODS, TileContext
from dicomnn.errors import CodecError

NEURAL, JPEGLS, CONSTANT, RAW = range(len(METHODS))


class Contender(Protocol):
    """A module of this folder."""

    METHOD: int
    NAME: str

    def applies(self, tile: np.ndarray, context: TileContext) -> bool: ...

    def encode(self, tile: np.ndarray, context: TileContext) -> bytes | None: ...

    def decode(self, data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray: ...


def contender(method: int) -> Contender:
    """The module of method number ``method``, imported when first asked for: the neural one is heavy."""
    return cast(Contender, importlib.import_module(f"{__name__}.{METHODS[method]}"))


def is_available(method: int) -> bool:
    """Whether this installation has the method."""
    return importlib.util.find_spec(f"{__name__}.{METHODS[method]}") is not None


def encode_many(
    method: int, tiles: Sequence[np.ndarray], context: TileContext, threads: int
) -> list[bytes | None]:
    """Each tile coded by one method; None where it does not apply or does not work."""
    module = contender(method)
    together = getattr(module, "encode_many", None)
    if together is None:
        return [module.encode(tile, context) if module.applies(tile, context) else None for tile in tiles]
    coded: list[bytes | None] = [None] * len(tiles)
    chosen = [number for number, tile in enumerate(tiles) if module.applies(tile, context)]
    if chosen:
        results = together([tiles[number] for number in chosen], context, threads)
        for number, data in zip(chosen, results, strict=True):
            coded[number] = data
    return coded


def decode_many(
    method: int, datas: Sequence[bytes], shapes: Sequence[tuple[int, int]], context: TileContext, threads: int
) -> list[np.ndarray]:
    """Tiles (uint16) of one method. Raises what the contender raises; which tile it was, it need not know."""
    module = contender(method)
    together = getattr(module, "decode_many", None)
    if together is None:
        return [module.decode(data, shape, context) for data, shape in zip(datas, shapes, strict=True)]
    tiles: list[np.ndarray] = together(datas, shapes, context, threads)
    if len(tiles) != len(datas):
        raise CodecError(f"The contender {module.NAME} returned {len(tiles)} tiles for {len(datas)}.")
    return tiles
