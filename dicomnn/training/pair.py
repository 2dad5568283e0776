"""A piece of a plane, and the same place in the plane before it: what is done to one is done to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.framing import MARGIN, framed


@dataclass(frozen=True)
class Pair:
    """``tile`` (h, w) uint16; ``reference`` int32 (h + 8, w + 8): the plane before with four pixels around
    it, in the tile's units, so it may be negative; None where the tile stands alone.
    """

    tile: np.ndarray
    reference: np.ndarray | None = None

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> Pair:
        """Both with every value changed. ``change`` gets int64 of any shape and gives whole numbers, for the
        tile's values within 0..65535.
        """
        tile = change(self.tile.astype(np.int64)).astype(np.uint16)
        if self.reference is None:
            return Pair(tile)
        return Pair(tile, change(self.reference.astype(np.int64)).astype(np.int32))

    def placed(self, change: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Pair:
        """As `mapped`, but ``change`` also gets the rows and columns of the values, from the tile's first."""
        h, w = self.tile.shape
        tile = change(self.tile.astype(np.int64), *np.mgrid[0:h, 0:w]).astype(np.uint16)
        if self.reference is None:
            return Pair(tile)
        around = np.mgrid[-MARGIN : h + MARGIN, -MARGIN : w + MARGIN]
        return Pair(tile, change(self.reference.astype(np.int64), *around).astype(np.int32))

    def turned(self, down: bool, across: bool, swapped: bool) -> Pair:
        """Flipped in either direction, then rows and columns swapped."""

        def turn(x: np.ndarray) -> np.ndarray:
            x = x[::-1] if down else x
            x = x[:, ::-1] if across else x
            return x.T if swapped else x

        return Pair(turn(self.tile), None if self.reference is None else turn(self.reference))

    def from_zero(self) -> Pair:
        """Both less the tile's smallest value."""
        lowest = int(self.tile.min())
        return self.mapped(lambda x: x - lowest)

    def contiguous(self) -> Pair:
        """As the codec's kernels want it."""
        reference = None if self.reference is None else np.ascontiguousarray(self.reference)
        return Pair(np.ascontiguousarray(self.tile), reference)


def cut(
    plane: np.ndarray, before: tuple[np.ndarray, int] | None, top: int, left: int, height: int, width: int
) -> Pair:
    """A window of a plane (rows, columns) uint16, smaller at the plane's edges, and of the plane before,
    which comes with what to add to it (`PlaneCache.before`).
    """
    rows = slice(top, min(top + height, plane.shape[0]))
    columns = slice(left, min(left + width, plane.shape[1]))
    tile = plane[rows, columns]
    if before is None:
        return Pair(tile)
    values, offset = before
    return Pair(tile, framed(values, rows, columns) + np.int32(offset))
