"""Bjontegaard's difference against curves whose answer is known."""

from __future__ import annotations

import math

import pytest

from dicomnn.benchmark.bdrate import bd_rate, hull
from dicomnn.errors import UsageError

RATES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def curve(factor: float = 1.0, slope: float = 6.0) -> list[tuple[float, float]]:
    """Qualities that grow by `slope` dB an octave, reached with `factor` times the rate."""
    return [(factor * rate, 40 + slope * math.log2(rate)) for rate in RATES]


def test_a_curve_against_itself_gains_nothing() -> None:
    assert bd_rate(curve(), curve(), lowest=0.1, highest=1.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("factor", [0.8, 0.92, 1.25])
def test_a_constant_share_of_the_rate_is_found_exactly(factor: float) -> None:
    assert bd_rate(curve(factor), curve(), lowest=0.1, highest=1.0) == pytest.approx(factor - 1)


def test_a_difference_is_averaged_over_the_range_of_the_anchor() -> None:
    """Half the bits below 0.4 and equal above: an octave less over two octaves of three."""
    ours = [(rate / 2 if rate < 0.4 else rate, quality) for rate, quality in curve()]
    whole = bd_rate(ours, curve(), lowest=0.1, highest=0.8)
    upper = bd_rate(ours, curve(), lowest=0.4, highest=0.8)
    assert whole is not None and upper is not None
    assert -0.5 < whole < -0.2
    assert upper == pytest.approx(0.0, abs=0.05)


def test_points_that_another_beats_and_infinite_ones_do_not_count() -> None:
    points = [*curve(), (0.3, 20.0), (2.0, math.inf)]
    assert hull(points) == hull(curve())


def test_curves_that_share_no_quality_have_no_difference() -> None:
    high = [(rate, quality + 100) for rate, quality in curve()]
    assert bd_rate(high, curve(), lowest=0.1, highest=1.0) is None
    assert bd_rate(curve()[:1], curve(), lowest=0.1, highest=1.0) is None


def test_an_empty_range_of_rates_is_refused() -> None:
    with pytest.raises(UsageError):
        bd_rate(curve(), curve(), lowest=1.0, highest=0.1)
