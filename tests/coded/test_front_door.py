"""``import dicomnn``: read, encode, decode, and nothing heavy before they are called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

import dicomnn
from dicomnn.errors import NotDicom, PayloadError, PromiseNotKept, SamplesInvalid


def test_read_gives_an_ordinary_dataset_of_either_form(ct: Path, coded: Path) -> None:
    ours, theirs = dicomnn.read(str(coded)), dicomnn.read(ct)
    assert type(ours) is type(theirs) is pydicom.dataset.FileDataset
    assert ours == theirs == pydicom.dcmread(ct)
    assert np.array_equal(ours.pixel_array, theirs.pixel_array)


def test_read_names_what_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words, words, words")
    with pytest.raises(NotDicom, match="a.txt"):
        dicomnn.read(tmp_path / "a.txt")


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2"])
@pytest.mark.parametrize("shape", [(20, 30), (3, 9, 11)])
def test_an_array_comes_back_as_it_went_in(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) * 7 % 101 - (50 if "i" in dtype else 0)).astype(dtype)
    back = dicomnn.decode(dicomnn.encode(array))
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(back.reshape(shape), array)


def test_wrong_arrays_and_payloads_are_typed_errors() -> None:
    with pytest.raises(SamplesInvalid):
        dicomnn.encode(np.zeros((4, 4), np.float32))
    with pytest.raises(SamplesInvalid):
        dicomnn.encode(np.zeros(4, np.uint8))
    with pytest.raises(PromiseNotKept):
        dicomnn.encode(np.arange(16, dtype=np.uint8).reshape(4, 4), profile="lossy:ratio=5")
    with pytest.raises(PayloadError):
        dicomnn.decode(b"no payload")


def test_importing_starts_nothing_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, threading, dicomnn\n"
        "print(sorted({'torch', 'numba', 'numpy', 'pydicom', 'sqlalchemy'} & set(sys.modules)), "
        "threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1"
