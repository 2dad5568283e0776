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
    planes = picture.reshape(*picture.shape[:2], -1).astype(np.float32)
    found = _along(_along(planes, rows).swapaxes(0, 1), columns).swapaxes(0, 1)
    found = np.clip(found + 0.5, 0, 255).astype(np.uint8)
    return found if picture.ndim == 3 else found[..., 0]


def _along(planes: np.ndarray, new: int) -> np.ndarray:
    """The first axis with ``new`` lines; memory grows with the picture alone."""
    old = planes.shape[0]
    step = old / new
    if step >= 1:
        # The mean of what lies between two edges, by the difference of running sums at both.
        sums = np.concatenate((np.zeros_like(planes[:1], np.float64), planes.cumsum(0, np.float64)))
        edges = np.minimum(np.arange(new + 1) * step, old)
        lower = np.minimum(edges.astype(np.int64), old - 1)
        part = (edges - lower)[:, None, None]
        at_edges = sums[lower] * (1 - part) + sums[lower + 1] * part
        return np.asarray(np.diff(at_edges, axis=0) / step, np.float32)
    places = np.clip((np.arange(new) + 0.5) * step - 0.5, 0, old - 1)
    lower = np.minimum(places.astype(np.int64), max(0, old - 2))
    part = (places - lower)[:, None, None].astype(np.float32)
    return planes[lower] * (1 - part) + planes[np.minimum(lower + 1, old - 1)] * part
