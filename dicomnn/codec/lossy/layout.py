"""Where the bands of a frame lie, in the matrix of coefficients and among the planes of marks."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .inputs import BEFORE, LEFT


class Band(NamedTuple):
    """Orientation 0: high along rows, 1: high along columns, 2: high along both."""

    level: int
    orientation: int
    rows: slice
    columns: slice


def bands(rows: int, columns: int, levels: int) -> list[Band]:
    """In the order of coding: the coarsest level first."""
    sizes = _sizes(rows, columns, levels)
    found = []
    for level in range(levels, 0, -1):
        (height, width), (h, w) = sizes[level - 1], sizes[level]
        found.append(Band(level, 0, slice(0, h), slice(w, width)))
        found.append(Band(level, 1, slice(h, height), slice(0, w)))
        found.append(Band(level, 2, slice(h, height), slice(w, width)))
    return found


def lowest(rows: int, columns: int, levels: int) -> tuple[slice, slice]:
    """Place of the lowest band."""
    h, w = _sizes(rows, columns, levels)[-1]
    return slice(0, h), slice(0, w)


def _sizes(rows: int, columns: int, levels: int) -> list[tuple[int, int]]:
    sizes = [(rows, columns)]
    for _ in range(levels):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


class Plan(NamedTuple):
    """`bands` (bands + 3, 9) int64: level, orientation, rows, columns, first row and column in the matrix,
    then where in the marks the even places of row 0 begin, the odd ones, and all of them in their order.
    `strides` (levels + 2, 2) int64: between rows of the half planes and of the whole ones, by level.
    `room`: bytes of all planes, whole words of eight. The last three rows of `bands` are the absent parents
    of the highest level.
    """

    bands: np.ndarray
    strides: np.ndarray
    room: int


@lru_cache(maxsize=64)
def plan_of(rows: int, columns: int, levels: int) -> Plan:
    """The plan of a frame; all places of marks are multiples of eight."""
    sizes = _sizes(rows, columns, levels + 1)
    strides = np.zeros((levels + 2, 2), np.int64)
    found, at = [], 0
    absent = [Band(levels + 1, o, slice(0, 0), slice(0, 0)) for o in range(3)]
    for band in bands(rows, columns, levels) + absent:
        height, width = sizes[band.level]
        half, whole = (2 * LEFT + _eights(n) + 24 for n in ((width + 1) // 2, width + 8))
        strides[band.level] = half, whole
        starts = []
        for stride in (half, half, whole):
            starts.append(at + BEFORE * stride + LEFT)
            at += (height + 1 + 2 * BEFORE) * stride
        r, c = band.rows, band.columns
        size = (r.stop - r.start, c.stop - c.start)
        found.append((band.level, band.orientation, *size, r.start, c.start, *starts))
    return Plan(np.array(found, np.int64), strides, _eights(at + LEFT))


def _eights(n: int) -> int:
    return (n + 7) // 8 * 8
