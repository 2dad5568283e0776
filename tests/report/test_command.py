"""dicomnn report, from files and from an archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result

from dicomnn.cli import main
from dicomnn.codec.profile import Profile
from dicomnn.coded.seal import seal
from dicomnn.dicom.scan import scan
from dicomnn.errors import UnknownModel
from dicomnn.flow.ingest import Command, Ingest, Policy
from dicomnn.flow.opening import Place, open_archive
from dicomnn.flow.rows import decoded_sample, file_row
from dicomnn.report.figures import Choice

CODED = (
    "ct_thorax/ct_04.dcm",
    "mr_flow_bigendian/velocity.dcm",
    "sc_chart/chart.dcm",
    "mr_multiframe/mr_enhanced.dcm",
)


def no_models(model_id: str) -> Any:
    raise UnknownModel(f"no model {model_id}")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    """Four made files, coded without a model (JPEG-LS and constant tiles)."""
    folder = tmp_path_factory.mktemp("coded")
    for name in CODED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sealed = seal(sample_data / name, target, profile=Profile("lossless"), model=None, models=no_models)
        assert sealed.kind == "coded"
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)], catch_exceptions=False)


def test_a_coded_file_gives_a_page_and_json(coded: Path, sample_data: Path, tmp_path: Path) -> None:
    result = run(coded / CODED[0], "--out", tmp_path / "out")
    assert result.exit_code == 0 and "1 image coded without loss" in result.output
    data = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert data["totals"]["bytes_before"] == (sample_data / CODED[0]).stat().st_size
    assert data["totals"]["bytes_after"] == (coded / CODED[0]).stat().st_size
    instance = data["series"][0]["instances"][0]
    assert instance["quality"]["unit"] == "HU" and instance["quality"]["basis"] == "digest"
    assert instance["tiles"] == {"jpegls": 1} and instance["exact"] == "data-set"
    assert [figure["role"] for figure in data["figures"]] == ["only"] and "Phantom, Thora" in page
    assert data["completeness"]["source"] == "files"


def test_a_folder_gives_a_report_per_study_and_lists_what_failed(coded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(coded, folder)
    (folder / "notes.txt").write_text("no DICOM")
    whole = (coded / CODED[2]).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-300])
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "cut.dcm" in result.stderr and "What to do" in result.stderr and "notes.txt" in result.output
    folders = sorted((tmp_path / "out").iterdir())
    assert len(folders) == 4 and all((folder / "report.html").is_file() for folder in folders)


def test_ordinary_files_are_reported_as_kept_with_the_reason(sample_data: Path) -> None:
    data = json.loads(run(sample_data / "sc_chart" / "chart.dcm", "--json").output)
    assert data["totals"]["kept"] == {"not-coded": 1} and data["totals"]["ratio"] == 1.0
    assert data["figures"] == []


@pytest.mark.parametrize("name", CODED)
def test_pictures_show_the_values_that_the_original_has(name: str, coded: Path, sample_data: Path) -> None:
    original = pydicom.dcmread(sample_data / name)
    values = (
        np.atleast_3d(original.pixel_array) if original.pixel_array.ndim == 3 else original.pixel_array[None]
    )
    found = file_row(coded / name)
    number = len(values)
    shown = decoded_sample(coded / name, found, Choice("", "", number, "only"), no_models)
    assert np.array_equal(shown.values, values[number - 1])
    if "WindowWidth" in original:
        slope = float(getattr(original, "RescaleSlope", 1))
        assert shown.window.width == pytest.approx((original.WindowWidth - 1) / slope)


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        result = run(path)
        assert result.exit_code == 2 and "What to do" in result.stderr


def test_a_study_of_an_archive_is_reported_before_it_is_coded(sample_data: Path, tmp_path: Path) -> None:
    raw = (sample_data / CODED[2]).read_bytes()
    layout = scan(raw)
    archive = open_archive(Place(str(tmp_path / "archive")))
    ingest = Ingest(archive, Policy())
    arrival = ingest.open(Command(layout.sop_class_uid, layout.sop_instance_uid, layout.transfer_syntax))
    arrival.write(raw[layout.dataset_start :])
    study = ingest.finish(arrival).study_instance_uid
    archive.close()
    data = json.loads(run(study, "--archive", tmp_path / "archive", "--json").output)
    assert data["totals"]["states"] == {"received": 1} and "not coded yet" in data["statement"]
    assert (
        "complete" in data["completeness"]["sentence"] or "Still growing" in data["completeness"]["sentence"]
    )
    result = run(study, "--archive", tmp_path / "archive")
    assert result.exit_code == 0 and list((tmp_path / "archive").rglob("report.html"))
    unknown = run("1.2.3", "--archive", tmp_path / "archive")
    assert unknown.exit_code == 1 and "1.2.3" in unknown.stderr
    assert run("1.2.3", "--archive", tmp_path / "none").exit_code == 2
