"""Bjontegaard's mean difference in rate between two rate-distortion curves (ITU-T VCEG-M33, 2001).

The logarithm of the rate is interpolated over quality by a monotone cubic (Fritsch and Carlson 1980, what
later reports use in place of the one polynomial of 2001, which swings between points) and the difference is
averaged over the qualities that both curves reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dicomnn.errors import UsageError

Curve = Sequence[tuple[float, float]]
"""(rate in bits per pixel, quality) of each point, in any order."""


def bd_rate(ours: Curve, anchor: Curve, *, lowest: float, highest: float) -> float | None:
    """Mean of ours / anchor - 1 at equal quality: -0.1 is 10 % fewer bits.

    Over the qualities of `anchor` between the rates `lowest` and `highest` that `ours` reaches as well; None
    where that is nothing. Qualities may be any figure that grows with the rate.
    """
    if not 0 < lowest < highest:
        raise UsageError(f"Rates from {lowest} to {highest} bits per pixel are no range.")
    a, b = hull(ours), hull(anchor)
    if len(a) < 2 or len(b) < 2:
        return None
    rates_b = np.log([rate for rate, _ in b])
    qualities_b = np.array([quality for _, quality in b])
    ends = np.interp(np.log([lowest, highest]), rates_b, qualities_b)
    low, high = max(ends[0], a[0][1]), min(ends[1], a[-1][1])
    if high <= low:
        return None
    at = np.linspace(low, high, 201)
    difference = _log_rate(a, at) - _log_rate(b, at)
    mean = float(np.sum((difference[1:] + difference[:-1]) / 2) / (len(at) - 1))
    return math.expm1(mean)


def hull(curve: Curve) -> list[tuple[float, float]]:
    """The points that no other beats in both rate and quality, rates ascending; infinite ones left out."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(curve):
        if math.isfinite(quality) and rate > 0 and (not kept or quality > kept[-1][1]):
            kept.append((rate, quality))
    return kept


def _log_rate(points: list[tuple[float, float]], at: np.ndarray) -> np.ndarray:
    """Logarithm of the rate at the qualities `at`, by a monotone cubic through `points`."""
    x = np.array([quality for _, quality in points])
    y = np.log([rate for rate, _ in points])
    h, slope = np.diff(x), np.diff(y) / np.diff(x)
    tangent = np.empty(len(x))
    tangent[0], tangent[-1] = slope[0], slope[-1]
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    tangent[1:-1] = (w1 + w2) / (w1 / slope[:-1] + w2 / slope[1:])
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t, step = (at - x[k]) / h[k], h[k]
    return np.asarray(
        (1 + 2 * t) * (1 - t) ** 2 * y[k]
        + t * (1 - t) ** 2 * step * tangent[k]
        + t * t * (3 - 2 * t) * y[k + 1]
        + t * t * (t - 1) * step * tangent[k + 1]
    )
