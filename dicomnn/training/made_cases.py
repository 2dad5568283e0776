"""Crops changed on purpose, so that the network meets what archives hold beside fresh scanner images.

Noise is never invented: values are scaled by a floor, cut to fewer bits, masked, resampled or spread out, as
exports, workstations and scanners do. All draw from the generator they are given. What takes a `Pair` does
the same to the tile and to the plane before it; what takes and gives a tile (h, w) uint16 is for tiles that
stand alone.
"""

from __future__ import annotations

import numpy as np

from dicomnn.training.pair import Pair

CASES = {
    "plain": 0.70, "low-bit": 0.06, "few-levels": 0.06, "masked": 0.06, "interpolated": 0.06, "sparse": 0.06,
}  # fmt: skip
"""Which case, how often. The plain ones are further scaled and inverted, see `scaled`."""
ALONE = ("interpolated", "sparse")
"""Cases that would not fit a plane before: resampled noise and gaps between values are each plane's own."""
LEVELS = (8, 128)


def case_of(random: np.random.Generator, paired: bool) -> str:
    """The name of a case; ``paired``: of those that a tile with a plane before it can be."""
    shares = {name: share for name, share in CASES.items() if not (paired and name in ALONE)}
    total = sum(shares.values())
    return str(random.choice(list(shares), p=[share / total for share in shares.values()]))


def turned(pair: Pair, random: np.random.Generator) -> Pair:
    """One of the eight flips and rotations."""
    return pair.turned(*(bool(random.random() < 0.5) for _ in range(3)))


def scaled(pair: Pair, random: np.random.Generator) -> Pair:
    """Sometimes floor(x f), f in 1/4..1: fewer levels, the same shape of noise. Sometimes inverted."""
    if random.random() < 0.3:
        factor = random.uniform(0.25, 1.0)
        pair = pair.mapped(lambda x: np.floor(x * factor))
    if random.random() < 0.2:
        top = int(pair.tile.max())
        pair = pair.mapped(lambda x: top - x)
    return pair


def low_bit(pair: Pair, random: np.random.Generator) -> Pair:
    """8 bits or fewer: a window on the values, clipped at both ends, as an export for viewing has it."""
    lowest, highest = np.percentile(pair.tile, [random.uniform(0, 20), random.uniform(80, 100)])
    levels = int(random.choice([255, 255, 255, 127, 63]))
    width = max(float(highest - lowest), 1.0)
    levels = min(levels, max(int(width), 1))
    return pair.mapped(lambda x: np.clip(np.floor((x - lowest) * (levels / width)), 0, levels))


def few_levels(pair: Pair, random: np.random.Generator) -> Pair:
    """floor(x f) with 8 to 128 levels left, octaves alike: nothing is clipped, as in the low counts of MR."""
    levels = 2 ** random.uniform(*np.log2(LEVELS))
    lowest = int(pair.tile.min())
    factor = min(levels / (int(pair.tile.max()) - lowest + 1), 1.0)
    return pair.mapped(lambda x: np.floor((x - lowest) * factor))


def masked(pair: Pair, random: np.random.Generator) -> Pair:
    """Everything outside of an ellipse, or on one side of a line, becomes one value, often far below: the
    padding round a reconstruction circle, a removed table, a collimated edge.
    """
    h, w = pair.tile.shape
    middle = random.uniform(0.1, 0.9), random.uniform(0.1, 0.9)
    angle = random.uniform(0, 2 * np.pi)
    ellipse = random.random() < 0.6
    squeeze, radius = random.uniform(0.6, 1.6), random.uniform(0.25, 0.7)
    gap = int(random.choice([0, 0, 1, 24, 976])) if random.random() < 0.7 else int(random.integers(1, 2048))
    gap = min(gap, 65535 - int(pair.tile.max()))

    def mask(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        y, x = rows / h - middle[0], columns / w - middle[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        inside = along**2 + (across * squeeze) ** 2 < radius**2 if ellipse else along > 0
        return np.where(inside, values + gap, 0)

    return pair.placed(mask)


def interpolated(tile: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Resampled to ``size`` pixels a side (or the same share of it): linear, cubic, or zero-filled in
    frequency space as MR scanners do. The tile should be smaller than ``size``.
    """
    h, w = tile.shape
    factor = size / max(h, w)
    rows, columns = max(round(h * factor), 2), max(round(w * factor), 2)
    kind = str(random.choice(["linear", "cubic", "zero-filled"]))
    x = tile.astype(np.float64)
    if kind == "zero-filled" and rows >= h and columns >= w:
        y = _zero_filled(x, rows, columns)
    else:
        y = _weights(h, rows, kind == "cubic") @ x @ _weights(w, columns, kind == "cubic").T
    return np.clip(np.rint(y), 0, 65535).astype(np.uint16)


def sparse(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Values spread out: multiplied by a small whole number, or by a fraction above one and floored, so that
    some values never occur.
    """
    room = 65535 / max(int(tile.max()), 1)
    if random.random() < 0.5:
        factor = float(random.integers(2, 9))
    else:
        factor = float(random.uniform(1.2, 4.0))
    return np.floor(tile * min(factor, room)).astype(np.uint16)


def _zero_filled(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    spectrum = np.fft.fftshift(np.fft.fft2(x))
    h, w = x.shape
    wide = np.zeros((rows, columns), dtype=complex)
    top, left = rows // 2 - h // 2, columns // 2 - w // 2
    wide[top : top + h, left : left + w] = spectrum
    return np.abs(np.fft.ifft2(np.fft.ifftshift(wide))) * (rows * columns / (h * w))


def _weights(before: int, after: int, cubic: bool) -> np.ndarray:
    """(after, before) interpolation weights, centres aligned, edges repeated; rows sum to 1."""
    places = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(places).astype(int)
    t = places - first
    if cubic:  # Keys 1981, a = -0.5
        taps = [(-1, ((-0.5 * t + 1) * t - 0.5) * t), (0, (1.5 * t - 2.5) * t * t + 1),
                (1, ((-1.5 * t + 2) * t + 0.5) * t), (2, (0.5 * t - 0.5) * t * t)]  # fmt: skip
    else:
        taps = [(0, 1 - t), (1, t)]
    weights = np.zeros((after, before))
    for offset, weight in taps:
        np.add.at(weights, (np.arange(after), np.clip(first + offset, 0, before - 1)), weight)
    return weights
