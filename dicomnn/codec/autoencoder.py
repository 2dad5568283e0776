"""The autoencoder of the tile code: what kind of scanner, noise and kernel a tile shows.

Encoder (only when coding): integer strided convolutions over maps of the tile's centre, pooled
moments, a dense layer: 16 symbols in -3..3. Decoder (always): two integer dense layers that give
scale and shift for both hidden layers of the causal network. The symbols are entropy coded with the
model's own static tables, a few bytes per tile; the zero code is one flag.
"""

from __future__ import annotations

import numpy as np

from .causal import WIDTH_1, WIDTH_2
from .intnet import HIDDEN_LIMIT, convolve
from .model import CODE_LENGTH, CODE_LIMIT, Model

SMALLEST_MAP = 32
"""Tiles with a shorter side send the zero code: too little to look at."""


def tile_code(model: Model, maps: np.ndarray) -> np.ndarray:
    """Symbols (B, 16) int64 in -3..3 for maps (B, 4, h, w) int8 with h, w >= SMALLEST_MAP."""
    a = model.arrays
    x = convolve(maps, a["encoder1"], a["encoder1_bias"], 8)
    x = convolve(x, a["encoder2"], a["encoder2_bias"], 9)
    x = convolve(x, a["encoder3"], a["encoder3_bias"], 9)
    wide = x.astype(np.int64)
    n = wide.shape[2] * wide.shape[3]
    mean = wide.sum((2, 3)) // n
    square = np.minimum((wide * wide).sum((2, 3)) // (256 * n), HIDDEN_LIMIT)
    total = np.concatenate([mean, square], 1) @ a["encoder_dense"].astype(np.int64) + a["encoder_dense_bias"]
    return np.clip((total + 8192) >> 14, -CODE_LIMIT, CODE_LIMIT)


def modulation(model: Model, code: np.ndarray) -> np.ndarray:
    """Gains and shifts of both hidden layers, (H1, H1, H2, H2) in a row, int64, from a code (16,)."""
    a = model.arrays
    c = np.asarray(code, dtype=np.int64).reshape(CODE_LENGTH)
    h = np.clip((c @ a["decoder1"].astype(np.int64) + a["decoder1_bias"]) >> 4, 0, HIDDEN_LIMIT)
    m = h @ a["decoder2"].astype(np.int64) + a["decoder2_bias"]
    gain1, shift1, gain2, shift2 = np.split(m, np.cumsum([WIDTH_1, WIDTH_1, WIDTH_2]))
    return np.concatenate(
        [np.clip(gain1 >> 8, -48, 48), (shift1 >> 9) << 8, np.clip(gain2 >> 8, -48, 48), (shift2 >> 9) << 9]
    )


def layers_for_self_test(model: Model) -> list[tuple[np.ndarray, np.ndarray, int, int, int]]:
    """The convolutions with their input ranges, for `intnet.self_test`."""
    a = model.arrays
    return [
        (a["encoder1"], a["encoder1_bias"], 8, -127, 127),
        (a["encoder2"], a["encoder2_bias"], 9, 0, 255),
        (a["encoder3"], a["encoder3_bias"], 9, 0, 255),
    ]
