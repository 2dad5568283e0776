"""What the network reads of a known tile: the coding loop run without coding.

The encoder uses it on the centre of a tile (for the tile code and the starting error), training uses
it on whole crops. It is the coder's own kernel, so what was learned is what is coded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .causal import INPUTS
from .neural_kernel import EXTRACT, code_tile
from .predictors import predictor_table
from .workspace import Record, Stream, Tile, workspace

START_ERROR = 64 * 4
"""Absolute error assumed outside the tile, in 1/64, when nothing better is known."""

MAP_CHANNELS = (32, 33, 5, 21)
"""Network inputs that the tile encoder sees as images: log scale, activity, left neighbour, left error."""


class Features(NamedTuple):
    """Inputs (h, w, 64) int8, scales (h, w) int32 in 1/64, targets (h, w) int32 = 64 * pixel - blend.

    flat (h, w) uint8: 0 ordinary, 1 flat context but a new value, 2 predicted by the flat rule (no inputs).
    """

    inputs: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    flat: np.ndarray

    @property
    def maps(self) -> np.ndarray:
        """(4, h, w) int8 images for the tile encoder."""
        return np.ascontiguousarray(self.inputs[..., list(MAP_CHANNELS)].transpose(2, 0, 1))


NO_STREAM = Stream(
    np.zeros(1, np.uint32), np.zeros(1, np.int64), np.zeros(0, np.uint16), np.zeros(3, np.int64)
)
NO_STARTS, NO_SLOPES = np.zeros(256, dtype=np.uint16), np.zeros(256, dtype=np.int16)
NO_WEIGHTS = (
    np.zeros(1, np.int16),
    np.zeros(1, np.int32),
    np.zeros(1, np.int32),
    np.zeros(1, np.int16),
    np.zeros(1, np.int32),
    np.zeros(1, np.int32),
    np.zeros(1, np.int16),
    np.zeros(1, np.int32),
)


def extract(
    pixels: np.ndarray,
    *,
    peak: int,
    start: int,
    start_error: int,
    effort: str,
    log_table: np.ndarray,
    reference: np.ndarray | None = None,
) -> Features:
    """Network inputs of every pixel of a known tile (h, w) uint16; ``reference``: from `framing.framed`."""
    h, w = pixels.shape
    table = predictor_table(effort, w, reference is not None)
    record = Record(
        np.zeros((h * w, INPUTS), dtype=np.int8),
        np.zeros(h * w, dtype=np.int32),
        np.zeros(h * w, dtype=np.int32),
        np.zeros(h * w, dtype=np.uint8),
    )
    code_tile(
        EXTRACT,
        np.ascontiguousarray(pixels, dtype=np.uint16).copy(),
        Tile(peak, 0, start, start_error),
        table,
        log_table,
        NO_STARTS,
        NO_SLOPES,
        *NO_WEIGHTS,
        workspace(h, w, table, reference),
        NO_STREAM,
        record,
    )
    return Features(
        record.inputs.reshape(h, w, INPUTS),
        record.scales.reshape(h, w),
        record.targets.reshape(h, w),
        record.flat.reshape(h, w),
    )
