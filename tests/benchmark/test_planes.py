"""Peers get unsigned planes; ours gets a native file in which every byte but the pixels is the original's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from dicomnn.benchmark.folder import Unit
from dicomnn.benchmark.planes import opened_unit, unsigned, write_native
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import seal


def unit(path: Path, frames: tuple[int, ...] = (0,), *, whole: bool = True) -> Unit:
    return Unit(path.name, path, frames, whole, 0)


def test_a_plane_is_the_stored_value_less_the_smallest_in_the_smaller_container() -> None:
    signed = SampleFormat(16, 12, 11, True)
    words = np.array([[0xFFFF, 0x0003], [0xF800, 0x07FF]], np.uint16)  # -1, 3, -2048, 2047
    assert np.array_equal(unsigned(words, signed), np.array([[2047, 2051], [0, 4095]], np.uint16))
    garbage = words ^ np.uint16(0x5000)
    assert np.array_equal(unsigned(garbage, signed), unsigned(words, signed))
    narrow = unsigned(np.array([[1000, 1255]], np.uint16), SampleFormat(16, 16, 15, False))
    assert (narrow.dtype, narrow.tolist()) == (np.uint8, [[0, 255]])


def test_of_an_encapsulated_object_the_native_file_is_what_restoring_gives(
    sample_data: Path, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(sample_data / "mr_multiframe" / "mr_enhanced.dcm")
    dataset.compress(RLELossless, generate_instance_uid=False)
    source = tmp_path / "rle.dcm"
    dataset.save_as(source, enforce_file_format=True)
    with opened_unit(unit(source, tuple(range(6))), tmp_path) as opened:
        assert not opened.native
        write_native(opened, tmp_path / "native.dcm")
    no_models = {}.__getitem__
    seal(source, tmp_path / "coded.dcm", profile=Profile("lossless"), model=None, models=no_models)
    restore(tmp_path / "coded.dcm", tmp_path / "back.dcm", no_models)
    assert (tmp_path / "native.dcm").read_bytes() == (tmp_path / "back.dcm").read_bytes()


@pytest.mark.parametrize("name", ["mr_multiframe/mr_enhanced.dcm", "mr_flow_bigendian/velocity.dcm"])
def test_some_frames_make_a_file_of_those_frames_and_everything_else(
    name: str, sample_data: Path, tmp_path: Path
) -> None:
    original = pydicom.dcmread(sample_data / name)
    pixels = original.pixel_array
    if pixels.ndim == 2:
        pixels = np.stack([np.roll(pixels, 3 * number, 1) for number in range(12)])
        original.NumberOfFrames, original.PixelData = 12, pixels.astype(">i2").tobytes()
    original.DataSetTrailingPadding = b"an element behind the pixels"
    source = tmp_path / "a.dcm"
    original.save_as(source, enforce_file_format=True)
    with opened_unit(unit(source, (1, 4), whole=False), tmp_path) as opened:
        write_native(opened, tmp_path / "some.dcm")
    some = pydicom.dcmread(tmp_path / "some.dcm")
    assert some.NumberOfFrames == 2
    assert np.array_equal(some.pixel_array, pixels[[1, 4]])
    assert some.file_meta == pydicom.dcmread(source).file_meta
    for dataset in (some, original):
        del dataset.PixelData, dataset.NumberOfFrames
    assert some == original
