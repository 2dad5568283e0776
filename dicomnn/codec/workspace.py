"""The arrays that one walk of the coding loop over a tile works on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .framing import MARGIN
from .online import STATE
from .predictors import (
    NEIGHBOURS,
    REFERENCE_NEIGHBOURS,
    ROWS,
    SAMPLE,
    columns_length,
    sums_length,
)


class Tile(NamedTuple):
    """What both sides know of a tile: values 0..peak, largest error, value and error assumed outside."""

    peak: int
    bound: int
    start: int
    start_error: int


class Work(NamedTuple):
    """Arrays that one walk over a tile needs; flat buffers have rows of width + 8 (see `workspace`)."""

    padded: np.ndarray
    errors: np.ndarray
    sizes: np.ndarray
    finals: np.ndarray
    misses: np.ndarray
    reference: np.ndarray
    samples: np.ndarray
    sums: np.ndarray
    columns: np.ndarray
    offsets: np.ndarray
    reference_offsets: np.ndarray
    online: np.ndarray


class Stream(NamedTuple):
    """Events out of the encoder (uint32, their number int64 (1,)), words into the decoder."""

    events: np.ndarray
    counter: np.ndarray
    words: np.ndarray
    cursor: np.ndarray


class Record(NamedTuple):
    """What EXTRACT writes: inputs (h * w, 64) int8; scales, targets (h * w,) int32; flat (h * w,) uint8."""

    inputs: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    flat: np.ndarray


def workspace(height: int, width: int, table: np.ndarray, reference: np.ndarray | None) -> Work:
    """Fresh work space; ``reference``: (height + 8, width + 8) int32, the plane before with its margins."""
    stride = width + 2 * MARGIN
    area = (height + MARGIN) * stride
    with_reference = reference is not None
    pixels = ROWS * width
    return Work(
        padded=np.zeros(area, dtype=np.int32),
        errors=np.zeros(area, dtype=np.int32),
        sizes=np.zeros(area, dtype=np.int32),
        finals=np.zeros(area, dtype=np.int32),
        misses=np.zeros(len(table) * area, dtype=np.int32),
        reference=np.zeros(0, dtype=np.int32) if reference is None else reference.astype(np.int32).ravel(),
        samples=np.zeros((1 + pixels * (2 if with_reference else 1)) * SAMPLE, dtype=np.int16),
        sums=np.zeros(sums_length(table), dtype=np.int32),
        columns=np.zeros(columns_length(table, width), dtype=np.int32),
        offsets=NEIGHBOURS[:, 0] * stride + NEIGHBOURS[:, 1],
        reference_offsets=REFERENCE_NEIGHBOURS[:, 0] * stride + REFERENCE_NEIGHBOURS[:, 1],
        online=np.zeros(STATE, dtype=np.int64),
    )
