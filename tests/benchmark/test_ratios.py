"""Means, intervals and groups over series whose sizes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicomnn.benchmark.folder import Series
from dicomnn.benchmark.ratios import Row, Size, by_group, interval, is_noise, mean
from dicomnn.benchmark.record import pairs
from dicomnn.benchmark.savings import Saving, yearly
from dicomnn.benchmark.slices import Run
from dicomnn.benchmark.speeds import Speed
from dicomnn.benchmark.tables import speed_table

OURS, PEER = "dicomnn:default:lossless", "jxl-e7"


def row(name: str, ours: int, peer: int, *, group: str = "CT", noise: bool = False, payload: int = 0) -> Row:
    units = frozenset({name})
    series = Series(name, "", name, group, group, "", [])
    return Row(
        series,
        {OURS: Size(800, ours, payload or ours, units, 0), PEER: Size(800, peer, peer, units, 0)},
        noise,
    )


def test_the_mean_counts_every_series_once_and_names_the_worst() -> None:
    found = mean([row("a", 80, 100), row("b", 9000, 10_000), row("c", 130, 100)], OURS, PEER)
    assert found is not None
    assert (found.count, found.under_one, found.worst_series) == (3, 2, "c")
    assert found.mean == pytest.approx(1.0) and found.median == pytest.approx(0.9)
    assert found.low < found.mean < found.high


def test_the_mean_of_payloads_leaves_out_what_surrounds_them() -> None:
    found = mean([row("a", 100, 100, payload=80), row("b", 100, 100, payload=90)], OURS, PEER)
    assert found is not None and (found.mean, found.payload) == (1.0, pytest.approx(0.85))


def test_noise_and_series_with_other_files_do_not_count() -> None:
    other = row("d", 50, 100)
    other.sizes[PEER] = Size(800, 100, 100, frozenset({"another"}), 0)
    rows = [row("a", 80, 100), row("b", 200, 100, noise=True), other]
    found = mean(rows, OURS, PEER)
    assert found is not None and (found.count, found.mean) == (1, pytest.approx(0.8))
    assert mean(rows[1:], OURS, PEER) is None


def test_random_numbers_are_told_by_what_they_cost_in_jpeg_xl() -> None:
    eight_bits = Size(1000, 1000, 1000, frozenset(), 0)
    assert is_noise(eight_bits, 8.0) and is_noise(eight_bits, 8.4)
    assert not is_noise(eight_bits, 8.5) and not is_noise(None, 8.0) and not is_noise(eight_bits, 0.0)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    samples = random.gamma(9.0, 0.1, (200, 40))
    inside = [low <= 0.9 <= high for low, high in map(interval, samples)]
    assert 0.88 <= np.mean(inside) <= 0.99
    assert interval(samples[0]) == interval(samples[0])
    assert interval(np.array([0.9])) == (0.9, 0.9)


def test_thin_ct_is_a_part_of_ct_and_all_is_everything() -> None:
    rows = [row("a", 1, 1), row("b", 1, 1), row("c", 1, 1, group="MR"), row("d", 1, 1, group="other")]
    rows[1].series.runs = [Run((("x", 0), ("y", 0), ("z", 0), ("w", 0)), 1.0)]
    names = {group: [one.series.key for one in part] for group, part in by_group(rows).items()}
    assert names == {
        "CT": ["a", "b"],
        "thin CT": ["b"],
        "MR": ["c"],
        "CT + MR": ["a", "b", "c"],
        "other": ["d"],
        "all": ["a", "b", "c", "d"],
    }


def test_lossless_is_compared_with_lossless_and_a_bound_with_the_same_bound() -> None:
    one = row("a", 1, 1)
    for codec in ("dicomnn:max:bounded:2", "jpegls-near:2", "jpegls-near:4", "jxl-e7-threads:2"):
        one.sizes[codec] = one.sizes[OURS]
    assert pairs([one]) == [(OURS, PEER), ("dicomnn:max:bounded:2", "jpegls-near:2")]


def test_a_yearly_volume_has_the_folders_mix() -> None:
    parts = [
        Saving("CT", "2023", 1, 1, 0, 100, 100, 50),
        Saving("CT", "2024", 1, 1, 0, 200, 200, 100),
        Saving("US", "2024", 1, 0, 0, 100, 0, 100),
    ]
    found = yearly(parts, 8.0)
    assert [(one.modality, one.now, one.after) for one in found] == [("CT", 6.0, 3.0), ("US", 2.0, 2.0)]


def test_speeds_are_told_as_shares_both_ways_and_a_busy_machine_is_named() -> None:
    quiet = [Speed("jxl-e7", 2, 100, 8.0, 50.0, 4.0, 25.0, 1, 1.0),
             Speed(OURS, 2, 100, 4.0, 5.0, 2.0, 2.5, 1, 1.0)]  # fmt: skip
    table = speed_table(quiet)
    assert table.rows[1][6:8] == ["0.5 (0.5)", ""]
    assert "busy" not in table.note
    busy = replace(quiet[1], encode=1.0)
    table = speed_table([quiet[0], busy])
    assert table.rows[1][6] == "0.125 (0.5)" and "busy in 1 of 2 stages" in table.note
