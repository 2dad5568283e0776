"""What is known of a tile before its network runs: predictions, errors and network inputs.

`extract` walks a known tile in raster order as the coder does and writes the network's inputs for
every pixel. The encoder uses it on the centre of a tile (for the tile code and the starting error),
training uses it on whole crops. The coding loop itself is in `contenders/neural.py`; both call the
same kernels, so what was learned is what is coded.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .causal import INPUTS, fill_inputs, local_scale
from .predictors import (
    MARGIN,
    NEIGHBOURS,
    VECTOR,
    enter_pixel,
    enter_row,
    gather,
    normalise,
    pairs_length,
    predict,
    predictor_table,
    solve,
)


@njit(cache=True, nogil=True)
def pad_row(padded, errors, row, width, start, start_error):
    """Margins of a row before it is coded: left from the row above, right of the row above itself."""
    r = row + 4
    if row == 0:
        padded[:r, :] = start
        padded[r, :4] = start
        errors[:r, :] = start_error
        errors[r, :4] = start_error
    else:
        for c in range(4):
            padded[r, c] = padded[r - 1, 4]
            errors[r, c] = errors[r - 1, 4]
            padded[r - 1, 4 + width + c] = padded[r - 1, 3 + width]
            errors[r - 1, 4 + width + c] = errors[r - 1, 3 + width]


@njit(cache=True, nogil=True)
def is_flat(values):
    """Whether the nearest ten known pixels are equal."""
    for k in range(1, 10):
        if values[k] != values[0]:
            return False
    return True


@njit(cache=True, nogil=True)
def predict_all(
    x, values, m4, activity, peak, table, boxes, left, since, coefficients, matrix, rhs, predictions
):
    """Predictions of all predictors, re-solved where due; returns their mean. All in 1/64."""
    total = np.int64(0)
    count = table.shape[0]
    for p in range(count):
        if since[p] >= table[p, 2]:
            solve(boxes[p], x, left[p], table[p, 0], matrix, rhs, coefficients[p])
            since[p] = 0
        predictions[p] = predict(values, table[p, 0], coefficients[p], m4, activity, peak)
        total += predictions[p]
    return total // count


@njit(cache=True, nogil=True)
def note_sample(x, values, most, target4, activity, samples, known):
    """Keep the sample vector of the pixel just known; an all-zero one teaches nothing and is marked so."""
    if activity == 0 and target4 == 0:
        known[x] = 0
        samples[x] = 0
    else:
        known[x] = 1
        normalise(values, most, target4, activity, samples[x])


@njit(cache=True, nogil=True)
def _extract(
    tile,
    peak,
    start,
    start_error,
    table,
    offsets,
    log_table,
    compand_table,
    padded,
    errors,
    history,
    any_known,
    samples,
    known,
    columns,
    boxes,
    left,
    scratch,
    features,
    scales,
    targets,
    flat,
):
    height, width = tile.shape
    most = 0
    for p in range(table.shape[0]):
        most = max(most, table[p, 0])
    count = max(most, 12)
    values = np.zeros(30, dtype=np.int64)
    coefficients = np.zeros((table.shape[0], 30), dtype=np.int64)
    matrix = np.zeros((32, 32), dtype=np.float64)
    rhs = np.zeros(30, dtype=np.float64)
    predictions = np.zeros(table.shape[0], dtype=np.int64)
    since = np.zeros(table.shape[0], dtype=np.int64)
    inputs = np.zeros(32, dtype=np.int64)
    rows = history.shape[0]
    lanes = samples.shape[1]
    for y in range(height):
        pad_row(padded, errors, y, width, start, start_error)
        enter_row(y, width, table, history, any_known, samples, columns, boxes, left, scratch, since)
        any_known[y % rows] = 0
        for x in range(width):
            enter_pixel(x, table, samples, known, left, lanes)
            for p in range(table.shape[0]):
                since[p] += 1
            m4, activity = gather(padded, y, x, offsets, count, values)
            pixel = np.int64(tile[y, x])
            if is_flat(values) and pixel == padded[y + 4, x + 3]:
                flat[y, x] = 2
                error = np.int64(0)
            else:
                flat[y, x] = 1 if is_flat(values) else 0
                blend = predict_all(
                    x,
                    values,
                    m4,
                    activity,
                    peak,
                    table,
                    boxes,
                    left,
                    since,
                    coefficients,
                    matrix,
                    rhs,
                    predictions,
                )
                scale = local_scale(errors, y, x)
                fill_inputs(
                    padded,
                    errors,
                    y,
                    x,
                    values,
                    activity,
                    predictions,
                    blend,
                    scale,
                    offsets,
                    log_table,
                    compand_table,
                    inputs,
                )
                for i in range(32):
                    features[y, x, i] = inputs[i]
                error = 64 * pixel - blend
                scales[y, x] = scale
                targets[y, x] = error
            padded[y + 4, x + 4] = pixel
            errors[y + 4, x + 4] = error
            target4 = 4 * pixel - m4
            note_sample(x, values, most, target4, activity, samples, known)
            any_known[y % rows] |= known[x]


def workspace(height: int, width: int, table: np.ndarray) -> dict[str, np.ndarray]:
    """Zeroed arrays that a walk over one tile needs."""
    rows = int(table[:, 1].max()) + 2
    reach = int(table[:, 1].max())
    pairs = pairs_length(int(table[:, 0].max()))
    count = len(table)
    return {
        "padded": np.zeros((height + MARGIN, width + 2 * MARGIN), dtype=np.int32),
        "errors": np.zeros((height + MARGIN, width + 2 * MARGIN), dtype=np.int32),
        "history": np.zeros((rows, VECTOR, width), dtype=np.int32),
        "any_known": np.zeros(rows, dtype=np.uint8),
        "samples": np.zeros((width, VECTOR), dtype=np.int32),
        "known": np.zeros(width, dtype=np.uint8),
        "columns": np.zeros((count, pairs, width + 2 * reach), dtype=np.int32),
        # Columns are read down the pairs: a row of a power of two would put them all in one cache set.
        "boxes": np.zeros((count, pairs, width + 17), dtype=np.int32),
        "left": np.zeros((count, VECTOR, VECTOR), dtype=np.int32),
        "scratch": np.zeros((2, width + 2 * reach), dtype=np.int32),
    }


def extract(
    tile: np.ndarray,
    *,
    peak: int,
    start: int,
    start_error: int,
    effort: str,
    log_table: np.ndarray,
    compand_table: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Network inputs of every pixel of a known tile.

    tile: (h, w) uint16. Returns features (h, w, 32) int8, scales (h, w) int32 in 1/64, targets
    (h, w) int32 = 64 * pixel - blended prediction, flat (h, w) uint8: 0 ordinary, 1 flat context
    but a new value, 2 predicted by the flat rule (no features).
    """
    table = predictor_table(effort)
    h, w = tile.shape
    features = np.zeros((h, w, INPUTS), dtype=np.int8)
    scales = np.zeros((h, w), dtype=np.int32)
    targets = np.zeros((h, w), dtype=np.int32)
    flat = np.zeros((h, w), dtype=np.uint8)
    work = workspace(h, w, table)
    _extract(
        np.ascontiguousarray(tile, dtype=np.uint16),
        peak,
        start,
        start_error,
        table,
        NEIGHBOURS,
        log_table,
        compand_table,
        work["padded"],
        work["errors"],
        work["history"],
        work["any_known"],
        work["samples"],
        work["known"],
        work["columns"],
        work["boxes"],
        work["left"],
        work["scratch"],
        features,
        scales,
        targets,
        flat,
    )
    return features, scales, targets, flat


START_ERROR = 64 * 4
"""Absolute error assumed outside the tile, in 1/64, when nothing better is known."""

MAP_CHANNELS = (21, 22, 3, 15)
"""Network inputs that the tile encoder sees as images: log scale, activity, left neighbour, left error."""


def maps(inputs: np.ndarray) -> np.ndarray:
    """(4, h, w) int8 images for the tile encoder from the inputs (h, w, 32) of `extract`."""
    return np.ascontiguousarray(inputs[..., list(MAP_CHANNELS)].transpose(2, 0, 1))
