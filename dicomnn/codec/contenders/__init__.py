"""The ways to code a tile. Each module has the same five names and knows nothing of the others.

``METHOD`` (number in the payload), ``NAME``, ``applies(tile, context)``, ``encode(tile, context)``,
``decode(data, shape, context)``. ``encode`` gives None where the method turns out not to work for this tile.
The kernels release the interpreter's lock, so tiles go side by side in threads.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from dicomnn.codec.parallel import in_order
from dicomnn.codec.tiles import METHODS, TileContext

NEURAL, JPEGLS, CONSTANT, RAW, NEIGHBOUR = range(len(METHODS))


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
    method: int, tiles: Sequence[np.ndarray], contexts: Sequence[TileContext], threads: int
) -> list[bytes | None]:
    """Each tile coded by one method, side by side; None where it does not apply or does not work."""
    module = contender(method)

    def work(number: int, _: int) -> bytes | None:
        tile, context = tiles[number], contexts[number]
        return module.encode(tile, context) if module.applies(tile, context) else None

    return list(in_order(len(tiles), work, tiles_each=1, threads=threads))


def decode_many(
    method: int,
    datas: Sequence[bytes],
    shapes: Sequence[tuple[int, int]],
    contexts: Sequence[TileContext],
    threads: int,
) -> list[np.ndarray]:
    """Tiles (uint16) of one method, side by side. Raises what the contender raises."""
    module = contender(method)

    def work(number: int, _: int) -> np.ndarray:
        return module.decode(datas[number], shapes[number], contexts[number])

    return list(in_order(len(datas), work, tiles_each=1, threads=threads))
