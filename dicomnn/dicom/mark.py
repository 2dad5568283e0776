"""LOSSY 8:1 in a corner of a picture: whoever looks at it must see that it is not the original.

Pictures for a screen alone are marked, never frames or bulk data.
"""

from __future__ import annotations

import math

import numpy as np

from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.syntaxes import syntax

_GLYPHS = {
    "L": "10000 10000 10000 10000 10000 10000 11111", "O": "01110 10001 10001 10001 10001 10001 01110",
    "S": "01111 10000 10000 01110 00001 00001 11110", "Y": "10001 10001 01010 00100 00100 00100 00100",
    "0": "01110 10001 10011 10101 11001 10001 01110", "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00010 00100 01000 11111", "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010", "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110", "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110", "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "0 0 1 0 1 0 0", ".": "0 0 0 0 0 0 1", ",": "00 00 00 00 00 01 10", " ": "00 00 00 00 00 00 00",
}
PLAIN, BADGE = "LOSSY", "L"
SMALLEST = 16       # pixels of the shorter side that still has room for the badge
_SHARE = 3          # the words take this part of a picture's height at most
_MOST_RATIOS = 3


def loss_words(image: ImagePixel, transfer_syntax: str = "") -> str:
    """'lossy 8:1' of an image that was compressed with loss, '' of another one.

    So say Lossy Image Compression, Lossy Image Compression Ratio (one value for each time; PS3.3
    C.7.6.1.1.5), and transfer syntaxes that cannot be without loss, whatever the data set says.
    """
    marked_so = (image.lossy_image_compression or "").split("\\")[0].strip() == "01"
    if not marked_so and syntax(transfer_syntax).lossless is not False:
        return ""
    values = (image.lossy_image_compression_ratio or "").split("\\") if marked_so else []
    return lossy_words([ratio for ratio in map(_number, values) if ratio])


def lossy_words(ratios: list[float]) -> str:
    """'lossy 8:1' or 'lossy 12:1, 10:1', the last ones; 'lossy' where no ratio is known."""
    told = [f"{ratio:.1f}".removesuffix(".0") if ratio < 99.95 else f"{ratio:.0f}" for ratio in ratios]
    return f"lossy {', '.join(f'{ratio}:1' for ratio in told[-_MOST_RATIOS:])}" if told else "lossy"


def _number(text: str) -> float:
    """0 for what is no ratio."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def marked(picture: np.ndarray, words: str = PLAIN) -> np.ndarray:
    """The picture of uint8 with `words` at its lower right, white in a black box.

    What is too narrow for them has LOSSY, then L; below `SMALLEST` it stays as it was.
    """
    rows, columns = picture.shape[:2]
    if min(rows, columns) < SMALLEST:
        return picture
    box = _fitting(words.upper(), rows, columns) * np.uint8(255)
    result = picture.copy()
    height, width = box.shape
    result[rows - height:, columns - width:] = box if picture.ndim == 2 else box[..., None]
    return result


def _fitting(words: str, rows: int, columns: int) -> np.ndarray:
    scale = max(1, min(rows, columns) // 256)
    for text in (words, PLAIN):
        box = lettered(text)
        for times in range(scale, 0, -1):
            if box.shape[1] * times <= columns and box.shape[0] * times * _SHARE <= rows:
                return np.kron(box, np.ones((times, times), np.uint8))
    return lettered(BADGE)


def lettered(words: str) -> np.ndarray:
    """(11, width) of 0 and 1; 33 wide for LOSSY."""
    gap = np.zeros((7, 1), np.uint8)
    parts = [gap, gap]
    for letter in words:
        rows = _GLYPHS.get(letter, _GLYPHS[" "]).split()
        parts += [np.array([list(map(int, row)) for row in rows], np.uint8), gap]
    return np.pad(np.concatenate([*parts, gap], axis=1), ((2, 2), (0, 0)))
