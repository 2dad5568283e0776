"""A folder is cut into series and groups as promised, and what is left out is counted with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
import pytest

from dicomnn.benchmark.folder import group_of, look
from dicomnn.errors import UsageError


@pytest.fixture(scope="module")
def tree(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources; the second has a file without series, one that is cut off, and one that is no DICOM."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(sample_data / "mr_brain", root / "first" / "mr")
    shutil.copytree(sample_data / "mr_multiframe", root / "first" / "enhanced")
    shutil.copytree(sample_data / "ct_head", root / "second" / "ct")
    nameless = pydicom.dcmread(sample_data / "ct_head" / "ct_01.dcm")
    del nameless.SeriesInstanceUID
    (root / "second" / "nameless").mkdir()
    nameless.save_as(root / "second" / "nameless" / "a.dcm")
    whole = (sample_data / "ct_head" / "ct_02.dcm").read_bytes()
    (root / "second" / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (root / "second" / "read.me").write_text("no image")
    return root


def test_a_series_is_a_uid_within_a_source_or_a_folder_where_there_is_no_uid(tree: Path) -> None:
    series = {one.key: one for one in look(tree).series}
    assert len(series) == 5
    assert {one.source for one in series.values()} == {"first", "second"}
    assert [len(one.items) for one in series.values() if one.source == "first"].count(1) == 1
    nameless = series["second/second/nameless"]
    assert (nameless.group, len(nameless.items)) == ("CT", 1)


def test_files_that_are_not_measured_have_a_reason(tree: Path) -> None:
    folder = look(tree)
    skipped = {reason: [item.name for item in items] for reason, items in folder.skipped().items()}
    assert skipped == {"not-dicom": ["second/read.me"], "pixel-data-short": ["second/cut.dcm"]}
    assert len(folder.items) == 2 + sum(len(one.items) for one in folder.series)


def test_most_takes_frames_evenly_over_files_and_over_the_frames_of_one_file(tree: Path) -> None:
    series = look(tree, sources=["first"], most=2).series
    for one in series:
        assert sum(len(unit.frames) for unit in one.units) == 2
    enhanced = next(one for one in series if one.items[0].frames > 1)
    frames = enhanced.items[0].frames
    assert [unit.frames for unit in enhanced.units] == [(frames // 4, 3 * frames // 4)]
    assert not enhanced.units[0].whole
    for one in look(tree).series:
        assert sum(len(unit.frames) for unit in one.units) == sum(item.frames for item in one.items)
        assert all(unit.whole for unit in one.units)


def test_sources_are_taken_and_left_out_by_name_and_a_wrong_name_is_an_error(tree: Path) -> None:
    assert {one.source for one in look(tree, sources=["second"]).series} == {"second"}
    assert {one.source for one in look(tree, exclude=["second"]).series} == {"first"}
    with pytest.raises(UsageError, match="no source third"):
        look(tree, sources=["third"])
    with pytest.raises(UsageError, match="no file or folder"):
        look(tree / "nowhere")


def test_one_file_is_a_folder_of_one(sample_data: Path) -> None:
    (series,) = look(sample_data / "sc_chart" / "chart.dcm").series
    assert (series.group, series.source, series.units[0].name) == ("other", "", "chart.dcm")


@pytest.mark.parametrize(
    "modality, group",
    [("CT", "CT"), ("MR", "MR"), ("DX", "X-ray"), ("RTIMAGE", "X-ray"), ("US", "other"), ("", "other")],
)
def test_modalities_have_their_group(modality: str, group: str) -> None:
    assert group_of(modality) == group
