"""Thin slices as stacks: which are stacked, what they take, and what the run tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from dicomnn.benchmark.folder import look
from dicomnn.benchmark.slices import Run
from dicomnn.benchmark.stacks import GROUP, key_of, measure_stacks, stacks_of
from dicomnn.cli import main
from dicomnn.codec.decode import read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.shelf import default_shelf

ALONE, BEFORE = key_of("fast", 0), key_of("fast", 4)


def slices(count: int, seed: int, size: int = 64) -> np.ndarray:
    """Slices (count, size, size) of uint16: a ball with a texture that only the slice before can tell."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    ball = 2000 * np.exp(-9 * (x * x + y * y)) + random.normal(0, 30, (size, size))
    return (1000 + ball + random.normal(0, 4, (count, size, size))).astype("<u2")


def written(folder: Path, sample_data: Path, pixels: np.ndarray, places: list[float]) -> Path:
    """A CT series of its own: a file for each of `pixels` at `places` (mm)."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = pydicom.dcmread(sample_data / "ct_head" / "ct_01.dcm")
    dataset.SeriesInstanceUID = f"1.2.3.{len(folder.name)}.{sum(map(ord, folder.name))}"
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for number, (plane, place) in enumerate(zip(pixels, places, strict=True), 1):
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelData = plane.tobytes()
        dataset.ImagePositionPatient = [0, 0, place]
        dataset.InstanceNumber = number
        uid = f"{dataset.SeriesInstanceUID}.{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.save_as(folder / f"{number}.dcm")
    return folder


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return slices(6, 1)


@pytest.fixture(scope="module")
def bench(sample_data: Path, tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> dict[str, Any]:
    """One run over a thin series (its files not in the order of its slices), one of random numbers, one whose
    slices do not fit together, and a thick one.
    """
    root = tmp_path_factory.mktemp("stacks")
    tree, out = root / "tree", root / "out" / "a.json"
    written(tree / "thin", sample_data, pixels[::-1], [3.75, 3.0, 2.25, 1.5, 0.75, 0.0])
    random = np.random.default_rng(2).integers(0, 1 << 16, (4, 64, 64)).astype("<u2")
    written(tree / "random", sample_data, random, [0, 1, 2, 3])
    written(tree / "uneven", sample_data, slices(4, 3), [0, 1, 2, 3])
    one = pydicom.dcmread(tree / "uneven" / "3.dcm")
    one.BitsStored, one.HighBit = 12, 11
    one.save_as(tree / "uneven" / "3.dcm")
    written(tree / "thick", sample_data, slices(4, 4), [0, 3, 6, 9])
    result = CliRunner().invoke(
        main,
        ["bench", str(tree), "--json", str(out), "--efforts", "fast", "--peers", "none", "--most", "1",
         "--neighbours", "--group", "4", "--jobs", "1", "--no-plots"],
    )  # fmt: skip
    return {"tree": tree, "out": out, "result": result, "json": json.loads(out.read_text())}


def test_the_sizes_are_those_of_one_payload_alone_and_in_groups_beside_jpeg_xl(
    bench: dict[str, Any], pixels: np.ndarray
) -> None:
    one = next(one for one in bench["json"]["neighbours"]["series"] if one["source"] == "thin")
    assert (one["slices"], one["runs"], one["spacing"], one["noise"]) == (6, [6], [0.75], False)
    model = default_shelf().newest()
    for key, group in ((ALONE, 0), (BEFORE, 4)):
        payload = bytes(
            encode(pixels.astype(np.uint16), SampleFormat(16, 16, 15, False), profile=Profile("lossless"),
                   model=model, effort="fast", group=group)
        )  # fmt: skip
        assert one["codecs"][key]["bytes"] == len(payload)
        assert sum(one["codecs"][key]["tiles"].values()) == read_header(payload).tile_methods.size
    streams = [
        imagecodecs.jpegxl_encode(plane, effort=7, lossless=True, bitspersample=int(plane.max()).bit_length())
        for plane in (slice_ - slice_.min() for slice_ in pixels.astype(np.uint16))
    ]
    total = sum(map(len, streams))
    assert one["codecs"]["jxl-e7"]["bytes"] == total
    assert one["ratios"] == {
        key: pytest.approx(one["codecs"][key]["bytes"] / total, abs=1e-5) for key in (ALONE, BEFORE)
    }


def test_slices_that_resemble_each_other_are_smaller_with_the_slice_before(bench: dict[str, Any]) -> None:
    one = next(one for one in bench["json"]["neighbours"]["series"] if one["source"] == "thin")
    assert one["ratios"][BEFORE] < 0.9 * one["ratios"][ALONE]
    assert one["codecs"][BEFORE]["tiles"]["neighbour"] == 4, "slices 0 and 4 begin a group"
    assert "neighbour" not in one["codecs"][ALONE]["tiles"]


def test_the_mean_counts_series_and_leaves_random_numbers_out(bench: dict[str, Any]) -> None:
    found = bench["json"]["neighbours"]
    assert {one["source"]: one["noise"] for one in found["series"]} == {"random": True, "thin": False}
    one = next(one for one in found["series"] if one["source"] == "thin")
    means = {part["ours"]: part for part in found["summary"]["whole folder"]["ratios"]}
    assert set(means) == {ALONE, BEFORE} == set(found["codecs"]) - {"jxl-e7"}
    for key, part in means.items():
        assert (part["count"], part["peer"]) == (1, "jxl-e7")
        assert part["mean"] == pytest.approx(one["ratios"][key], abs=1e-5)
        assert part["low"] == part["mean"] == part["high"]


def test_slices_of_different_formats_are_no_stack_and_the_reason_is_told(bench: dict[str, Any]) -> None:
    (left_out,) = bench["json"]["neighbours"]["left_out"]
    assert left_out["stack"].startswith("uneven/")
    assert "'uneven/3.dcm' has another size or sample format" in left_out["reason"]
    assert "not stacked: uneven/" in bench["result"].stdout and bench["result"].exit_code == 0


def test_the_table_and_its_conventions_are_shown_and_written(bench: dict[str, Any]) -> None:
    shown, text = bench["result"].stdout, bench["out"].with_suffix(".md").read_text()
    title = "Thin-slice CT, neighbouring slice, whole folder"
    assert title in shown and f"## {title}" in text
    assert "mean of 1 series" in shown and "Random numbers, not counted: random/" in text
    convention = next(line for line in bench["json"]["conventions"] if line.startswith("Neighbouring slice"))
    assert "decoding up to 4, 2.5 on average" in convention and convention in text


def test_the_runs_of_a_series_are_stacks_of_their_own_and_count_together(
    sample_data: Path, tmp_path: Path
) -> None:
    folder = written(tmp_path / "two", sample_data, slices(8, 5), [0, 1, 2, 3, 50, 50.5, 51, 51.5])
    (series,) = look(folder).series
    stacks = stacks_of(series)
    assert [(stack.name[-7:], len(stack.run), stack.run.spacing) for stack in stacks] == [
        (", run 1", 4, 1.0),
        (", run 2", 4, 0.5),
    ]
    seen: list[int] = []
    found = measure_stacks([series], efforts=("fast",), group=4, jobs=4, pixels=seen.append)
    (row,) = found.rows
    assert (row.slices, row.sizes[BEFORE].units) == (8, frozenset(stack.name for stack in stacks))
    assert row.sizes[BEFORE].pixels == 8 * 64 * 64 == sum(seen) and min(seen) >= 0 and len(seen) > 8


def test_frames_of_one_object_are_a_stack_too(sample_data: Path) -> None:
    (series,) = look(sample_data / "mr_multiframe").series
    frames = [(series.items[0].name, frame) for frame in range(4)]
    series.runs = [Run(tuple(frames), 1.0)]
    ((unit,),) = [stack.units for stack in stacks_of(series)]
    assert unit.frames == (0, 1, 2, 3) and unit.pixels == 4 * series.items[0].rows * series.items[0].columns


def test_a_slice_that_is_gone_leaves_its_stack_out_and_a_codec_that_fails_is_a_problem(
    sample_data: Path, tmp_path: Path
) -> None:
    gone = written(tmp_path / "gone", sample_data, slices(4, 6), [0, 1, 2, 3])
    series = look(tmp_path).series
    (gone / "2.dcm").unlink()
    found = measure_stacks(series, efforts=("fast",), group=4)
    assert found.rows == [] and found.problems == []
    assert "FileNotFoundError" in found.left_out[0][1]

    written(gone, sample_data, slices(4, 6), [0, 1, 2, 3])
    told: list[str] = []
    found = measure_stacks(series, efforts=("fast",), group=4, model="0" * 32, problem=told.append)
    ((name, codec, detail),) = found.problems
    assert (name, codec, found.rows) == (series[0].key, ALONE, []) and "is no model" in detail
    assert told == [f"{name}: {codec}: {detail}"]


def test_an_interrupt_leaves_the_series_that_were_done(sample_data: Path, tmp_path: Path) -> None:
    written(tmp_path / "first", sample_data, slices(5, 7), [0, 1, 2, 3, 4])
    written(tmp_path / "second", sample_data, slices(4, 8), [0, 1, 2, 3])
    done = [0]

    def pixels(more: int) -> None:
        done[0] += more
        if done[0] > 5 * 64 * 64:
            raise KeyboardInterrupt

    found = measure_stacks(look(tmp_path).series, efforts=("fast",), group=4, pixels=pixels)
    assert found.interrupted and [row.series.source for row in found.rows] == ["first"]


def test_a_folder_without_thin_slices_says_so_and_a_group_needs_neighbours(
    bench: dict[str, Any], tmp_path: Path
) -> None:
    run = ["bench", str(bench["tree"]), "--sources", "thick", "--peers", "jpegls", "--most", "1"]
    result = CliRunner().invoke(main, [*run, "--efforts", "fast", "--neighbours"])
    assert result.exit_code == 0 and "no CT series here has thin slices in a row" in result.stdout
    assert f"in groups of {GROUP}" in " ".join(result.stdout.split())
    for wrong in (["--group", "4"], ["--neighbours", "--group", "1"], ["--neighbours", "--group", "256"]):
        assert CliRunner().invoke(main, [*run, *wrong]).exit_code == 2
    shown = CliRunner().invoke(main, ["bench", "--help"]).stdout
    assert f"by default {GROUP}" in " ".join(shown.split())
