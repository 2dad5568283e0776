"""Planes <-> tiles, and what a contender is told about the tile's plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dicomnn.codec.model import Model

TILE_ROWS = 256
TILE_COLUMNS = 256
METHODS = ("neural", "jpegls", "constant", "raw", "neighbour")


@dataclass(frozen=True)
class TileContext:
    """What encoder and decoder both know about a tile from its plane.

    ``peak``: the largest value of the whole plane (0..65535). ``bound``: 0 when the tile must come back
    exactly, else the largest allowed difference, in plane units. ``effort``: one of EFFORTS. ``model``:
    needed by the learned contenders only. ``reference``: int32 (h + 8, w + 8), the plane of the frame before
    around this tile (`features.framed`) in this plane's units, where the tile may refer to it.
    """

    peak: int
    bound: int
    effort: str
    model: Model | None
    reference: np.ndarray | None = None


@dataclass(frozen=True)
class Grid:
    """How a plane of ``rows`` x ``columns`` is cut: row by row from the top left, edge tiles smaller."""

    rows: int
    columns: int
    tile_rows: int = TILE_ROWS
    tile_columns: int = TILE_COLUMNS

    @property
    def across(self) -> int:
        return -(-self.columns // self.tile_columns)

    @property
    def down(self) -> int:
        return -(-self.rows // self.tile_rows)

    @property
    def count(self) -> int:
        return self.across * self.down

    def window(self, tile: int) -> tuple[slice, slice]:
        """Rows and columns of tile number ``tile``."""
        top = tile // self.across * self.tile_rows
        left = tile % self.across * self.tile_columns
        return (
            slice(top, min(top + self.tile_rows, self.rows)),
            slice(left, min(left + self.tile_columns, self.columns)),
        )

    def shape(self, tile: int) -> tuple[int, int]:
        rows, columns = self.window(tile)
        return rows.stop - rows.start, columns.stop - columns.start

    def pixel_counts(self) -> np.ndarray:
        """Pixels of each tile, int64 (count,)."""
        heights = np.minimum(self.rows - np.arange(self.down) * self.tile_rows, self.tile_rows)
        widths = np.minimum(self.columns - np.arange(self.across) * self.tile_columns, self.tile_columns)
        return np.multiply.outer(heights.astype(np.int64), widths.astype(np.int64)).ravel()

    def tiles_of(self, top: int, left: int, height: int, width: int) -> list[int]:
        """Numbers of the tiles that a region touches, ascending."""
        downs = range(top // self.tile_rows, (top + height - 1) // self.tile_rows + 1)
        acrosses = range(left // self.tile_columns, (left + width - 1) // self.tile_columns + 1)
        return [down * self.across + across for down in downs for across in acrosses]

    def cut(self, plane: np.ndarray) -> list[np.ndarray]:
        """All tiles of a (rows, columns) ``plane``, as contiguous copies."""
        return [np.ascontiguousarray(plane[self.window(tile)]) for tile in range(self.count)]
