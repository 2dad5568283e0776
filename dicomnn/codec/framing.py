"""A window of the frame before, as the coding loop wants it."""

from __future__ import annotations

import numpy as np

MARGIN = 4
"""Pixels of margin around a tile in the padded buffers: the reach of the farthest neighbour."""


def framed(plane: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """(h + 8, w + 8) int32: a window of a plane with four pixels around it, edges of the plane replicated."""
    down = np.clip(np.arange(rows.start - MARGIN, rows.stop + MARGIN), 0, plane.shape[0] - 1)
    across = np.clip(np.arange(columns.start - MARGIN, columns.stop + MARGIN), 0, plane.shape[1] - 1)
    return plane[np.ix_(down, across)].astype(np.int32)
