"""The lossy measurements: real streams, figures that can be checked by hand, BD-rates of the right sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomnn.benchmark.lossy import HIGHEST, LOWEST, OURS, Curves, Point, means, noise_power, point, window_of
from dicomnn.benchmark.lossy_peers import lossy_peer
from dicomnn.benchmark.lossy_plots import draw_curves, draw_tile
from dicomnn.errors import UsageError


def scene(peak: int) -> np.ndarray:
    y, x = np.mgrid[:96, :80]
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 80))
    return np.rint(peak * np.clip(0.5 + 0.4 * np.sin(x / 9 + y / 17) + noise, 0, 1)).astype(np.uint16)


@pytest.mark.parametrize("key", ["jpeg2000", "jxl", "jxl-srgb", "jpegls"])
@pytest.mark.parametrize("peak", [200, 4095, 65535])
def test_a_finer_setting_of_a_peer_costs_more_and_is_closer(key: str, peak: int) -> None:
    peer, plane = lossy_peer(key), scene(peak)
    sizes, errors = [], []
    for setting in (peer.settings[len(peer.settings) // 3], peer.settings[-1]):
        stream = peer.encode(plane, setting)
        decoded = peer.decode(stream, int(plane.max()))
        assert decoded.shape == plane.shape and decoded.dtype == np.uint16
        sizes.append(len(stream))
        errors.append(float(np.square(decoded.astype(float) - plane).mean()))
    assert sizes[0] < sizes[1]
    assert errors[1] < errors[0] and errors[1] <= max(1.0, (peak / 400) ** 2)


def test_what_is_no_lossy_peer_is_refused() -> None:
    with pytest.raises(UsageError):
        lossy_peer("gif")


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
