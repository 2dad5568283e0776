"""The lossy measurements: real streams, figures that can be checked by hand, BD-rates of the right sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnn.benchmark.lossy import HIGHEST, LOWEST, OURS, Curves, alike, means, ours, theirs
from dicomnn.benchmark.lossy_peers import LOSSY_PEERS, lossy_peer
from dicomnn.benchmark.lossy_plots import draw_curves, draw_tile, worst_tile
from dicomnn.benchmark.lossy_points import Point, point, window_of
from dicomnn.benchmark.lossy_tables import lossy_tables
from dicomnn.codec.distortion import noise_power
from dicomnn.shelf import default_lossy_shelf


def scene(peak: int) -> np.ndarray:
    y, x = np.mgrid[:96, :80]
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 80))
    return np.rint(peak * np.clip(0.5 + 0.4 * np.sin(x / 9 + y / 17) + noise, 0, 1)).astype(np.uint16)


def test_the_window_leaves_out_the_least_value_and_the_tails() -> None:
    plane = np.concatenate([np.zeros(500), np.arange(1000, 2001)]).astype(np.uint16).reshape(19, 79)
    assert window_of(plane) == (1010.0, 1990.0)
    assert window_of(np.zeros((4, 4), np.uint16)) == (0.0, 1.0)


def test_smoothing_shows_as_lost_noise_power() -> None:
    plane = np.random.default_rng(1).integers(500, 600, (40, 40)).astype(np.uint16)
    smooth = np.full_like(plane, 550)
    where = np.ones(plane.shape, bool)
    assert noise_power(plane, where) > 100 and noise_power(smooth, where) == 0.0
    assert point(plane, smooth, 100, 1.0, (0.0, 0.0)).noise == 0.0
    assert point(plane, plane, 100, 1.0, (0.0, 0.0)).noise == 1.0


def curve(factor: float) -> list[Point]:
    rates = (LOWEST / 2, LOWEST, 0.3, HIGHEST, 2 * HIGHEST)
    return [
        Point(factor * r, 1.0, 50 + 10 * r, 45 + 10 * r, 1 - 0.1 / (1 + 9 * r), 9, 0.5, 0.1, 0.1)
        for r in rates
    ]


def test_bd_rates_are_averaged_by_group_and_over_all() -> None:
    found = [
        Curves("a", "CT", "a.dcm", points={OURS: curve(0.8), "jpeg2000": curve(1.0)}),
        Curves("b", "MR", "b.dcm", points={OURS: curve(0.6), "jpeg2000": curve(1.0)}),
        Curves("c", "MR", "c.dcm", problem="broken"),
    ]
    by_name = {(row.group, row.quality): row for row in means(found)}
    assert by_name["CT", "psnr"].mean == pytest.approx(-0.2)
    assert by_name["MR", "windowed_ssim"].mean == pytest.approx(-0.4)
    assert by_name["all", "psnr"].mean == pytest.approx(-0.3) and by_name["all", "psnr"].count == 2


def test_curves_and_tiles_are_drawn(tmp_path: Path) -> None:
    found = [
        Curves("a", "CT", "a.dcm", points={OURS: curve(0.8), "jpeg2000": curve(1.0)}),
        Curves("b", "MR", "b.dcm", points={OURS: curve(0.6)}),
    ]
    draw_curves(found, tmp_path / "curves.png")
    draw_curves(found[1:], tmp_path / "alone.png")
    plane = scene(4095)
    draw_tile(plane, {OURS: (plane + 3, 0.5), "jpeg2000": (plane, 0.5)}, tmp_path / "tile.png")
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("curves.png", "alone.png", "tile.png"))


def test_the_curves_reach_over_all_compared_rates_and_every_anchor_has_one() -> None:
    plane, model = scene(1000), default_lossy_shelf().newest()
    curves = Curves("a", "CT", "a.dcm", "a", (96, 80), 1000, points={OURS: ours(plane, model)})
    for key in LOSSY_PEERS:
        curves.points[key] = theirs(plane, key)
    rates = [p.rate for p in curves.points[OURS]]
    assert rates == sorted(rates) and rates[-1] > HIGHEST
    assert all(len(points) > 3 for points in curves.points.values())
    for key in ("jpeg2000", "jxl", "jxl-srgb"):
        assert curves.bd_rate(key, "psnr") is not None and curves.bd_rate(key, "windowed_ssim") is not None
    assert curves.bd_rate("jpeg", "psnr") is None
    assert curves.bd_rate("jpeg", "windowed_psnr") is not None
    pictures = alike(curves, plane, model, ("jpeg2000", "jxl"))
    assert list(pictures) == [OURS, "jpeg2000", "jxl"]
    assert all(values.shape == plane.shape for values, _ in pictures.values())


def test_a_header_without_a_picture_is_no_point() -> None:
    plane = np.rint(np.random.default_rng(1).normal(2000, 400, (64, 64))).astype(np.uint16)
    peer = lossy_peer("jpeg2000")
    decoded = peer.decode(peer.encode(plane, peer.settings[0]), plane)
    assert decoded.min() == decoded.max()
    points = theirs(plane, "jpeg2000")
    assert points[0].noise > 0 and points[0].setting > peer.settings[0]


def test_a_figure_is_not_made_up_at_a_rate_that_a_codec_does_not_reach() -> None:
    curves = Curves("a", "CT", "a.dcm", points={OURS: curve(1.0)})
    inside, below = curves.at(OURS, "psnr", np.array([0.3, 0.01]))
    assert inside == pytest.approx(53.0) and np.isnan(below)
    assert np.isnan(curves.at("jpeg", "psnr", np.array([0.3]))).all()


def test_a_mean_over_other_images_is_not_put_beside_the_others() -> None:
    short = [p for p in curve(1.0) if p.rate > 0.2]
    found = [
        Curves("a", "CT", "a.dcm", points={OURS: curve(0.8), "jpeg2000": curve(1.0), "jpegls": curve(1.0)}),
        Curves("b", "CT", "b.dcm", points={OURS: curve(0.8), "jpeg2000": curve(1.0), "jpegls": short}),
    ]
    bd, at_rates = lossy_tables("x", found)
    cells = {(row[0], row[1], row[3]): row for row in at_rates.rows}
    assert cells["CT", "0.1", "JPEG-LS NEAR"][4] == "1 of 2"
    assert cells["CT", "0.5", "JPEG-LS NEAR"][4] == "55.97"  # linear over the logarithm of the rate
    first = next(row for row in bd.rows if row[0] == "all" and row[1] == "JPEG 2000 9/7")
    assert first[3] == "2 of 2" and first[4:7] == ["-20.0 %"] * 3


def test_the_worst_tile_is_where_the_error_is() -> None:
    plane = np.zeros((300, 200), np.uint16)
    decoded = plane.copy()
    decoded[250, 30] = 900
    rows, columns = worst_tile(plane, decoded)
    assert rows.start <= 250 < rows.stop and columns.start <= 30 < columns.stop
    assert rows.stop - rows.start == columns.stop - columns.start == 96
