"""A peer that lacks the received syntax gets every value in one that it takes."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicomnn.coded.egress import inflate, offered, write_as
from dicomnn.errors import DataSetMalformed, UsageError


def sent(source: Path, syntax: Any) -> bytes:
    stream = io.BytesIO()
    write_as(source, stream, syntax)
    return stream.getvalue()


def opened(raw: bytes, syntax: Any) -> pydicom.Dataset:
    dataset = pydicom.filereader.read_dataset(io.BytesIO(raw), syntax.is_implicit_VR, syntax.is_little_endian)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def data_set_of(path: Path) -> bytes:
    raw = path.read_bytes()
    return raw[raw.index(b"\x08\x00\x05\x00CS") :]


def test_the_received_syntax_leaves_as_the_bytes_it_came_in(ct: Path) -> None:
    assert sent(ct, ExplicitVRLittleEndian) == data_set_of(ct)
    assert offered(ExplicitVRBigEndian) == (
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )
    assert offered("1.2.3.4") == ("1.2.3.4",)


@pytest.mark.parametrize(
    "source", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
@pytest.mark.parametrize("wanted", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("bits", [8, 12])
def test_every_value_and_pixel_survives_the_change_of_syntax(
    source: Any, wanted: Any, bits: int, tmp_path: Path, kit: Any
) -> None:
    words = kit.smooth_image(2, 21, 33, bits=bits)
    words = words.astype(np.uint8) if bits == 8 else words
    native = ExplicitVRLittleEndian if source == RLELossless else source
    path = kit.make_file(tmp_path / "a.dcm", words, syntax=native, bits_stored=bits)
    if source == RLELossless:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
    result, reference = opened(sent(path, wanted), wanted), pydicom.dcmread(path)
    assert np.array_equal(result.pixel_array, words)
    del result.PixelData, reference.PixelData
    assert [(e.tag, e.value) for e in result] == [(e.tag, e.value) for e in reference]


def test_deflated_objects_leave_inflated(tmp_path: Path, ct: Path, kit: Any) -> None:
    path = kit.make_file(tmp_path / "a.dcm", kit.smooth_image(), syntax=DeflatedExplicitVRLittleEndian)
    assert sent(path, ExplicitVRLittleEndian) == data_set_of(ct)


def test_a_syntax_that_we_cannot_write_is_refused(ct: Path) -> None:
    with pytest.raises(UsageError):
        sent(ct, RLELossless)


def test_a_deflate_bomb_is_refused() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    with pytest.raises(DataSetMalformed, match="more than"):
        inflate(bomb)
    with pytest.raises(DataSetMalformed, match="early"):
        inflate(bomb[:100])
