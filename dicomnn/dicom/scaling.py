"""A picture cut and scaled: each new pixel is the mean of what it covers, or lies between its neighbours."""

from __future__ import annotations

import numpy as np


def fitted(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the largest picture of this shape within ``height`` and ``width``."""
    scale = min(height / rows, width / columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def scaled(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(rows, columns[, 3]) of uint8 from a picture of uint8 of any size."""
    if picture.shape[:2] == (rows, columns):
        return picture
    down, across = _weights(picture.shape[0], rows), _weights(picture.shape[1], columns)
    if picture.ndim == 2:
        return _rounded(down @ picture.astype(np.float32) @ across.T)
    return np.stack([_rounded(down @ picture[..., channel].astype(np.float32) @ across.T)
                     for channel in range(picture.shape[2])], axis=-1)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _weights(old: int, new: int) -> np.ndarray:
    """(new, old): how much of each old line is in each new one; every row sums to 1."""
    step = old / new
    if step >= 1:
        edges = np.arange(new + 1) * step
        lines = np.arange(old)
        low, high = edges[:-1, None], edges[1:, None]
        weights = np.clip(np.minimum(high, lines + 1) - np.maximum(low, lines), 0, None)
    else:
        places = np.clip((np.arange(new) + 0.5) * step - 0.5, 0, old - 1)
        weights = np.clip(1 - np.abs(places[:, None] - np.arange(old)), 0, None)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)
