"""The word LOSSY in a corner of a picture: whoever looks at it must see that it is not the original."""

from __future__ import annotations

import numpy as np

_LETTERS = {
    "L": "10000 10000 10000 10000 10000 10000 11111", "O": "01110 10001 10001 10001 10001 10001 01110",
    "S": "01111 10000 10000 01110 00001 00001 11110", "Y": "10001 10001 01010 00100 00100 00100 00100",
}
SMALLEST = 48       # pixels of the shorter side that still has room for it


def marked(picture: np.ndarray) -> np.ndarray:
    """The picture of uint8 with the word at its lower right, white in a black box; as it was if too small."""
    rows, columns = picture.shape[:2]
    if min(rows, columns) < SMALLEST:
        return picture
    scale = max(1, min(rows, columns) // 256)
    box = np.kron(_box(), np.ones((scale, scale), np.uint8)) * np.uint8(255)
    result = picture.copy()
    height, width = box.shape
    result[rows - height:, columns - width:] = box if picture.ndim == 2 else box[..., None]
    return result


def _box() -> np.ndarray:
    """(11, 33) of 0 and 1."""
    gap = np.zeros((7, 1), np.uint8)
    parts = [gap, gap]
    for letter in "LOSSY":
        parts += [np.array([list(map(int, row)) for row in _LETTERS[letter].split()], np.uint8), gap]
    return np.pad(np.concatenate([*parts, gap], axis=1), ((2, 2), (0, 0)))
