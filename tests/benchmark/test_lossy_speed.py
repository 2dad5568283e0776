"""Speeds of the lossy tier: equal bytes, both sides checked, ratios that follow from the seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dicomnn.benchmark.lossy_speed import DIRECTIONS, Timing, measure, pair, together
from dicomnn.benchmark.lossy_speed_table import speed_tables
from dicomnn.cli import main
from dicomnn.shelf import default_lossy_shelf


def scene(side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(side).normal(0, 0.01, (side, side))
    return np.rint(4095 * np.clip(0.5 + 0.4 * np.sin(x / 9 + y / 17) + noise, 0, 1)).astype(np.uint16)


def test_both_sides_have_as_many_bytes() -> None:
    plane, model = scene(200), default_lossy_shelf().newest()
    for rate in (0.25, 1.0):
        found = pair(plane, rate, model)
        assert found is not None
        assert 0.9 * rate * plane.size / 8 < len(found.payload) <= rate * plane.size / 8
        assert len(found.stream) == pytest.approx(len(found.payload), rel=0.05)


def test_what_does_not_get_to_so_few_bytes_is_left_out() -> None:
    assert pair(scene(64), 0.02, default_lossy_shelf().newest()) is None


def test_every_direction_is_timed_for_each_group_and_for_all() -> None:
    planes = {"CT": [scene(96), scene(64)], "MR": [scene(64)]}
    told: list[str] = []
    found = measure(
        planes, default_lossy_shelf().newest(), threads=2, rounds=2, rates=(0.5,), told=told.append
    )
    wanted = {(group, direction) for group in ("CT", "MR", "all") for direction in DIRECTIONS}
    assert {(t.group, t.direction) for t in found} == wanted
    assert len(told) == 2 * len(DIRECTIONS)
    for timing in found:
        assert len(timing.wall_ours) == len(timing.wall_theirs) == 2
        assert min(*timing.wall_ours, *timing.wall_theirs) > 0
    assert {t.pixels for t in found if t.group == "all"} == {96 * 96 + 2 * 64 * 64}


def timing(group: str, ours: list[float], theirs: list[float]) -> Timing:
    return Timing(group, 0.5, "decode", 1, 500_000, 100, 101, ours, theirs, ours, theirs)


def test_a_ratio_is_taken_round_by_round_and_a_busy_machine_is_named() -> None:
    found = [timing("CT", [1.0, 2.0], [0.5, 4.0]), timing("MR", [1.0, 1.0], [1.0, 1.0])]
    assert found[0].shares.tolist() == [0.5, 2.0]
    assert found[0].speeds(found[0].wall_ours).tolist() == [1.0, 0.5]
    whole = together(found)
    assert whole[0].wall_ours == [2.0, 3.0] and whole[0].wall_theirs == [1.5, 5.0]
    assert together(found[:1]) == []
    (table,) = speed_tables(found + whole, 1)
    assert table.rows[0][:3] == ["decode", "all", "2 of 2"] and table.note == ""
    (table,) = speed_tables(found, 2)
    assert "busy" in table.note


def test_the_commands_write_curves_pictures_and_speeds(sample_data: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "mr").mkdir(parents=True)
    shutil.copyfile(sample_data / "mr_brain" / "t1_03.dcm", tmp_path / "tree" / "mr" / "a.dcm")
    out = tmp_path / "out" / "lossy.json"
    page = tmp_path / "page.md"
    page.write_text("<!-- made by `make bench-lossy`: begin -->\n<!-- made by `make bench-lossy`: end -->\n")
    order = ["bench", str(tmp_path / "tree"), "--lossy", "--json"]
    result = CliRunner().invoke(main, [*order, str(out), "--page", str(page)])
    assert result.exit_code == 0, result.output
    values = json.loads(out.read_text())
    (frame,) = values["frames"]
    assert set(frame["points"]) == {"dicomnn", "jpeg2000", "jxl", "jxl-srgb", "jpegls", "jpeg"}
    assert all(point["psnr"] is None for point in frame["points"]["jpeg"])
    rows = {(row["peer"], row["quality"]): row for row in values["bd_rates"]["whole folder"]}
    row = rows["jpeg2000", "psnr"]
    assert row["low"] <= row["mean"] <= row["high"]
    assert "2^BitsStored" in result.output and "no clinical window" in result.output.lower()
    for name in ("lossy-curves.png", "lossy-tile-MR.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000
    assert "![page-curves](page-curves.png)" in page.read_text()
    assert not (tmp_path / "page-tile-MR.png").exists() and "tile" not in page.read_text()

    result = CliRunner().invoke(main, [*order, str(out), "--speed", "--rounds", "1", "--jobs", "2"])
    assert result.exit_code == 0, result.output
    assert len(json.loads(out.read_text())["timings"]) == 4 * len(DIRECTIONS)
