"""Surroundings of a pixel and the least-squares predictors, in plain Python and NumPy. Part of the
reference decoder.

docs/format-neural.md, sections 'Surroundings of a pixel' and 'Least-squares predictors'. Windows are summed
anew for each solution instead of sliding. Everything in float32 is elementwise, so that each operation
rounds on its own; sums of floats are never left to NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MARGIN = 4
NEIGHBOURS = [
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1)),
    *((-2, -2), (-2, 2), (0, -3), (-3, 0), (-1, -3), (-1, 3), (-3, -1), (-3, 1), (-2, -3), (-2, 3)),
    *((-3, -2), (-3, 2), (0, -4), (-4, 0), (-1, -4), (-1, 4), (-4, -1), (-4, 1), (-3, -3), (-3, 3)),
]
REFERENCE_PLACES = [
    *((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 2), (2, 0), (0, -2)),
]
PREDICTORS = {  # neighbours, radius, pixels between solutions
    "fast": ((10, 10, 8),),
    "default": ((30, 12, 16), (18, 9, 8), (10, 12, 16), (10, 4, 4)),
    "max": ((30, 12, 2), (18, 9, 1), (10, 12, 2), (10, 4, 1)),
}
WITH_REFERENCE = {"fast": (12, 16), "default": (12, 8), "max": (12, 2)}  # radius, pixels between solutions
# A sample is the target, V[0..29] and, with a reference, W[0..11].
REFERENCE_COLUMNS = (*range(19), *range(31, 43))
F32 = np.float32


def clip(value: int, lowest: int, highest: int) -> int:
    return min(max(value, lowest), highest)


@dataclass(frozen=True)
class Surroundings:
    """What is around a pixel, in the letters of the document; w, u and here only with a reference."""

    p: list[int]
    v: list[int]
    m4: int
    activity: int  # A
    w: list[int]
    u: list[int]
    here: int  # Q(0,0)


def surroundings(pixels: np.ndarray, reference: np.ndarray | None, r: int, c: int) -> Surroundings:
    """Both arrays begin four rows above and four columns left of the tile."""
    p = [int(pixels[r + dy, c + dx]) for dy, dx in NEIGHBOURS]
    m4 = sum(p[:4])
    v = [4 * pixel - m4 for pixel in p]
    w: list[int] = []
    u: list[int] = []
    here = 0
    if reference is not None:
        q = [int(reference[r + dy, c + dx]) for dy, dx in NEIGHBOURS[:10]]
        r4 = sum(q[:4])
        u = [4 * pixel - r4 for pixel in q]
        w = [4 * int(reference[r + dy, c + dx]) - r4 for dy, dx in REFERENCE_PLACES]
        here = int(reference[r, c])
    return Surroundings(p, v, m4, sum(abs(value) for value in v[:10]), w, u, here)


class Predictor:
    """One of a tile's predictors: which columns of the samples it uses, its window and last solution."""

    def __init__(self, columns: tuple[int, ...], radius: int, step: int) -> None:
        self.columns, self.radius, self.step = columns, radius, step
        self.coefficients: list[int] = []
        self.solved_at: int | None = None  # the column, in this row

    def predict(self, samples: np.ndarray, y: int, x: int, around: Surroundings, peak: int) -> int:
        """Prediction in 1/64."""
        if self.solved_at is None or x - self.solved_at >= self.step:
            self.coefficients = solve(self._window(samples, y, x))
            self.solved_at = x
        values = [0, *around.v, *around.w]
        weighted = zip(self.coefficients, self.columns[1:], strict=True)
        middle = 16 * around.m4
        reach = 4 * (around.activity * 8 // 5 + 32)
        prediction = middle + (sum(w * values[column] for w, column in weighted) >> 12)
        return clip(clip(prediction, middle - reach, middle + reach), 0, 64 * peak)

    def _window(self, samples: np.ndarray, y: int, x: int) -> np.ndarray:
        """S, in integers."""
        left, right = max(x - self.radius, 0), x + self.radius + 1
        above = samples[max(y - self.radius, 0) : y, left:right].reshape(-1, samples.shape[2])
        window = np.concatenate([above, samples[y, left:x]])[:, self.columns]
        sums: np.ndarray = window.T @ window
        return sums


def solve(sums: np.ndarray) -> list[int]:
    """Coefficients in 1/65536 from S, in float32. Row and column 0 are the target's; what is right of the
    diagonal is computed along with the rest and not used."""
    size = len(sums)
    m = sums.astype(F32)
    trace = m[1, 1]
    for k in range(2, size):
        trace = trace + m[k, k]
    r = trace * F32(0.0001 / (size - 1)) + F32(65.0)
    inverse = np.zeros(size, F32)
    solution = np.zeros(size, F32)
    m[np.arange(1, size), np.arange(1, size)] += r
    m[1:3, 0] += r * F32(0.4)
    for k in range(size - 1, 0, -1):
        inverse[k] = F32(1.0) / max(m[k, k], r * F32(0.5))
        factors = m[k, 1:k] * inverse[k]
        m[1:k, :k] -= factors[:, None] * m[k, :k]  # products first, then differences: each is rounded
    for k in range(1, size):
        solution[k] = m[k, 0] * inverse[k]
        m[k + 1 :, 0] -= m[k + 1 :, k] * solution[k]
    coefficients = np.clip(np.floor(solution[1:] * F32(65536.0) + F32(0.5)), F32(-262144), F32(262144))
    return [int(coefficient) for coefficient in coefficients]


class Predictors:
    """All predictors of a tile, the samples they learn from, and their misses."""

    def __init__(self, effort: str, height: int, width: int, peak: int, with_reference: bool) -> None:
        self.effort, self.peak = effort, peak
        self.each = [Predictor(tuple(range(n + 1)), radius, step) for n, radius, step in PREDICTORS[effort]]
        if with_reference:
            self.each.append(Predictor(REFERENCE_COLUMNS, *WITH_REFERENCE[effort]))
        self.samples = np.zeros((height, width, 43 if with_reference else 31), np.int64)
        self.misses = np.zeros((height + MARGIN, width + 2 * MARGIN, len(self.each)), np.int64)

    def new_row(self) -> None:
        for predictor in self.each:
            predictor.solved_at = None

    def predict(self, y: int, x: int, around: Surroundings) -> list[int]:
        return [predictor.predict(self.samples, y, x, around, self.peak) for predictor in self.each]

    def recent(self, y: int, x: int) -> list[int]:
        """The recent miss of each predictor."""
        near = [self.misses[y + MARGIN + dy, x + MARGIN + dx] for dy, dx in NEIGHBOURS[:6]]
        total: np.ndarray = 2 * (near[0] + near[1]) + near[2] + near[3] + near[4] + near[5]
        return [int(miss) for miss in total]

    def learn(self, y: int, x: int, around: Surroundings, pixel: int) -> None:
        """Section 'Sample'."""
        values = np.array([4 * pixel - around.m4, *around.v, *around.w]).astype(F32)
        scaled = values * (F32(2560) / F32(around.activity + 20))
        self.samples[y, x] = np.trunc(np.clip(scaled, F32(-2047), F32(2047))).astype(np.int64)


def blend(predictions: list[int], recent: list[int]) -> int:
    """B: the mean of the predictions, weighted by how little each has missed of late."""
    least = min(recent)
    weights = [((least + 128) * 1024 // (miss + 128)) ** 2 for miss in recent]
    return sum(h * p for h, p in zip(weights, predictions, strict=True)) // sum(weights)
