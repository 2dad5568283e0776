"""Where the bands of a frame lie, and which of them a band reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .contexts import PAD

ROOM = 2 * PAD + 2
"""Rows and columns that a padded band has beyond its own: its children may ask for one more."""


class Band(NamedTuple):
    """Orientation 0: high along rows, 1: high along columns, 2: high along both."""

    level: int
    orientation: int
    rows: slice
    columns: slice


def bands(rows: int, columns: int, levels: int) -> list[Band]:
    """In the order of coding: the coarsest level first."""
    sizes = [(rows, columns)]
    for _ in range(levels):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    found = []
    for level in range(levels, 0, -1):
        (height, width), (h, w) = sizes[level - 1], sizes[level]
        found.append(Band(level, 0, slice(0, h), slice(w, width)))
        found.append(Band(level, 1, slice(h, height), slice(0, w)))
        found.append(Band(level, 2, slice(h, height), slice(w, width)))
    return found


def lowest(rows: int, columns: int, levels: int) -> tuple[slice, slice]:
    """Place of the lowest band."""
    for _ in range(levels):
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return slice(0, rows), slice(0, columns)


def room_of(rows: int, columns: int, levels: int, level: int) -> tuple[int, int]:
    """Rows and columns of the padded arrays of all bands of a level."""
    for _ in range(level):
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return rows + ROOM, columns + ROOM


class Known(NamedTuple):
    """What later bands read of a coded one, flat."""

    classes: np.ndarray
    activity: np.ndarray


def nothing(size: int) -> Known:
    """An absent band of `size` places."""
    return Known(np.zeros(size, np.uint8), np.zeros(size, np.uint16))
