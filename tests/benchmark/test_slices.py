"""Thin CT: at least four slices in a row, 2 mm apart or less, wherever the file says where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicomnn.benchmark.folder import look
from dicomnn.benchmark.slices import slices_of, thin_runs


def series(folder: Path, sample_data: Path, places: list[float], **changes: Any) -> Path:
    """Copies of one CT slice at `places` (mm along z)."""
    dataset = pydicom.dcmread(sample_data / "ct_head" / "ct_01.dcm")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "SpacingBetweenSlices"):
        if keyword in dataset:
            del dataset[keyword]
    for number, place in enumerate(places):
        if "SpacingBetweenSlices" not in changes:
            dataset.ImagePositionPatient = [0, 0, place]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.InstanceNumber = number + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def runs(folder: Path) -> list[list[int]]:
    (one,) = look(folder).series
    return [[int(Path(name).stem) for name, _ in run.slices] for run in one.runs]


def test_slices_are_ordered_by_place_and_a_gap_ends_a_run(tmp_path: Path, sample_data: Path) -> None:
    places = [6.0, 4.5, 3.0, 1.5, 20.0, 21.5, 23.0]
    assert runs(series(tmp_path, sample_data, places)) == [[3, 2, 1, 0]]


def test_two_millimetres_are_thin_and_more_is_not(tmp_path: Path, sample_data: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "more").mkdir()
    assert runs(series(tmp_path / "two", sample_data, [0, 2, 4, 6])) == [[0, 1, 2, 3]]
    assert runs(series(tmp_path / "more", sample_data, [0, 2.5, 5, 7.5])) == []


def test_a_place_that_was_taken_twice_is_one_slice(tmp_path: Path, sample_data: Path) -> None:
    assert runs(series(tmp_path, sample_data, [0, 0, 1, 1, 2, 2])) == []
    assert look(tmp_path).series[0].thin is False


def test_spacing_between_slices_serves_where_no_position_is_told(tmp_path: Path, sample_data: Path) -> None:
    (tmp_path / "thin").mkdir()
    (tmp_path / "thick").mkdir()
    thin = series(tmp_path / "thin", sample_data, [0] * 4, SpacingBetweenSlices="-1.0")
    assert runs(thin) == [[0, 1, 2, 3]]
    assert runs(series(tmp_path / "thick", sample_data, [0] * 4, SpacingBetweenSlices="5")) == []


def test_an_enhanced_object_tells_the_place_of_each_frame(sample_data: Path) -> None:
    path = sample_data / "mr_multiframe" / "mr_enhanced.dcm"
    frames = pydicom.dcmread(path, stop_before_pixels=True).PerFrameFunctionalGroupsSequence
    found = slices_of(path, "a", 0)
    assert len(found) == len(frames) > 3
    assert len({one.position for one in found}) == len(frames)
    assert [one.frame for one in found] == list(range(len(frames)))


@pytest.mark.parametrize("value", ["far", "1\\2"])
def test_a_position_that_is_none_is_no_error(value: str, tmp_path: Path, sample_data: Path) -> None:
    raw = (sample_data / "ct_thorax" / "ct_01.dcm").read_bytes()
    start = raw.index(b"\x20\x00\x32\x00DS") + 8
    length = int.from_bytes(raw[start - 2 : start], "little")
    path = tmp_path / "a.dcm"
    path.write_bytes(raw[:start] + value.encode().ljust(length) + raw[start + length :])
    assert "far" in value or len(slices_of(path, "a", 0)) == 1
    assert thin_runs(slices_of(path, "a", 0)) == []
