"""The made studies: reproducible, valid, small, and covering what the README says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "sample_data"
FILES = sorted(FOLDER.glob("*/*.dcm"))
DCIODVFY = shutil.which("dciodvfy")


def name(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def test_making_the_studies_again_gives_the_committed_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(FOLDER / "make_samples.py"), str(tmp_path)], check=True)
    made = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.glob("*/*.dcm")}
    assert sorted(made) == [name(path) for path in FILES]
    assert [key for key in made if made[key] != (FOLDER / key).read_bytes()] == []


@pytest.mark.skipif(DCIODVFY is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("path", FILES, ids=name)
def test_dciodvfy_finds_no_error(path: Path) -> None:
    result = subprocess.run([str(DCIODVFY), str(path)], capture_output=True, text=True)
    findings = (result.stdout + result.stderr).splitlines()
    assert [line for line in findings if line.startswith(("Error", "Warning - Unrecognized"))] == []
    assert len(findings) >= 1, "dciodvfy names the IOD that it recognised"


def test_the_files_together_stay_under_six_mebibytes() -> None:
    assert 3 << 20 < sum(path.stat().st_size for path in FILES) <= 6 << 20


def test_sop_instance_uids_are_unique_and_agree_with_file_meta() -> None:
    sets = [pydicom.dcmread(path, stop_before_pixels=True) for path in FILES]
    assert len({data.SOPInstanceUID for data in sets}) == len(sets) == 21
    assert all(data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID for data in sets)
    assert len({data.StudyInstanceUID for data in sets}) == 7
    assert all(str(data.PatientName).startswith("Phantom^") for data in sets)


def test_the_pixel_formats_of_the_readme_are_all_there() -> None:
    formats = set()
    for path in FILES:
        data = pydicom.dcmread(path)
        assert len(data.PixelData) % 2 == 0
        padding = len(data.PixelData) - data.pixel_array.size * data.BitsAllocated // 8
        assert padding in (0, 1)
        formats.add((data.Modality, data.BitsAllocated, data.BitsStored, data.PixelRepresentation,
                     data.PhotometricInterpretation, data.file_meta.TransferSyntaxUID.name))
    assert formats == {
        ("CT", 16, 16, 1, "MONOCHROME2", "Explicit VR Little Endian"),
        ("CT", 16, 12, 0, "MONOCHROME2", "Implicit VR Little Endian"),
        ("MR", 16, 12, 0, "MONOCHROME2", "Explicit VR Little Endian"),
        ("MR", 16, 16, 0, "MONOCHROME2", "Explicit VR Little Endian"),
        ("MR", 16, 12, 1, "MONOCHROME2", "Explicit VR Big Endian"),
        ("DX", 16, 14, 0, "MONOCHROME1", "Explicit VR Little Endian"),
        ("OT", 8, 8, 0, "MONOCHROME2", "Explicit VR Little Endian"),
    }


def test_the_chest_ct_is_in_hounsfield_units_with_padding_outside_of_its_circle() -> None:
    data = pydicom.dcmread(FOLDER / "ct_thorax" / "ct_04.dcm")
    values = data.pixel_array.astype(int)
    assert data.PixelPaddingValue == -2000 == values[0, 0] == values[-1, -1]
    assert np.count_nonzero(values == -2000) == pytest.approx((1 - np.pi / 4) * values.size, rel=0.02)
    hounsfield = (values * data.RescaleSlope + data.RescaleIntercept)[values != -2000]
    assert hounsfield.min() >= -1024
    for tissue in (-870, 42):
        assert np.count_nonzero(abs(hounsfield - tissue) < 40) > 4000, f"{tissue} HU"


def test_the_interpolated_mr_has_no_signal_beyond_its_acquired_matrix() -> None:
    def share_outside(file: str) -> float:
        pixels = pydicom.dcmread(FOLDER / file).pixel_array.astype(float)
        spectrum = np.abs(np.fft.fftshift(np.fft.fft2(pixels)))
        edge = spectrum.shape[0] // 12
        inner = spectrum[edge:-edge, edge:-edge]
        return float((np.sum(spectrum**2) - np.sum(inner**2)) / np.sum(spectrum**2))

    assert share_outside("mr_brain/t1_02.dcm") < 0.02 * share_outside("mr_brain/t2_02.dcm")
