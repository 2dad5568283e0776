"""A peer that lacks the received syntax gets every value in one that it takes."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
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
from dicomnn.errors import DataSetMalformed, FrameUndecodable, UsageError


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


# ------------------------------------------------------------------ traps of what was compressed
def encapsulated(path: Path, syntax: str, frames: list[bytes], **changes: Any) -> None:
    """The file's pixels replaced by these frames."""
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pydicom.encaps.encapsulate(frames)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.save_as(path, implicit_vr=False, little_endian=True)


def jpeg(path: Path, **changes: Any) -> np.ndarray:
    """The file as a colour image in lossy JPEG; (rows, columns, 3) of what was compressed."""
    y, x = np.mgrid[0:24, 0:32]
    image = np.stack([x * 7, y * 10, 255 - x * 4 - y * 4], axis=-1).astype(np.uint8)
    data = imagecodecs.jpeg_encode(image, level=95, colorspace="RGB", outcolorspace="YCBCR",
                                   subsampling="422")
    encapsulated(path, "1.2.840.10008.1.2.4.50", [data], Rows=24, Columns=32, BitsAllocated=8, BitsStored=8,
                 HighBit=7, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422",
                 PlanarConfiguration=0, LossyImageCompression="01", **changes)
    return image


@pytest.mark.parametrize("wanted", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_trap_lossy_stays_lossy_and_keeps_its_uid_when_decoded_for_a_peer(ct: Path, wanted: Any) -> None:
    image = jpeg(ct)
    before = pydicom.dcmread(ct)
    after = opened(sent(ct, wanted), wanted)
    assert (after.SOPInstanceUID, after.LossyImageCompression) == (before.SOPInstanceUID, "01")
    assert (after.PhotometricInterpretation, after.PlanarConfiguration) == ("RGB", 0)
    assert len(after.PixelData) == image.size
    assert np.abs(after.pixel_array.astype(int) - image).mean() < 4


def test_trap_offset_tables_go_with_the_encapsulation(ct: Path) -> None:
    jpeg(ct, ExtendedOffsetTable=b"\0" * 8, ExtendedOffsetTableLengths=b"\0" * 8)
    after = opened(sent(ct, ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert "ExtendedOffsetTable" not in after and "ExtendedOffsetTableLengths" not in after


def test_trap_an_icon_has_pixel_data_of_its_own_that_are_decoded_too(ct: Path) -> None:
    icon = pydicom.Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.BitsStored = 8, 8, 8, 8
    icon.HighBit, icon.PixelRepresentation = 7, 0
    small = np.arange(64, dtype=np.uint8).reshape(8, 8)
    icon.PixelData = pydicom.encaps.encapsulate([imagecodecs.ljpeg_encode(small)])
    icon["PixelData"].VR, icon["PixelData"].is_undefined_length = "OB", True
    words = pydicom.dcmread(ct).pixel_array
    encapsulated(ct, "1.2.840.10008.1.2.4.70", [imagecodecs.ljpeg_encode(words)], IconImageSequence=[icon])
    after = opened(sent(ct, ImplicitVRLittleEndian), ImplicitVRLittleEndian)
    assert np.array_equal(after.pixel_array, words)
    assert after.IconImageSequence[0].PixelData == small.tobytes()


def test_trap_native_422_of_two_thirds_the_size_is_not_touched(tmp_path: Path, kit: Any) -> None:
    words = np.arange(24 * 32 * 2, dtype=np.uint8).reshape(1, 24, 64)
    path = kit.make_file(tmp_path / "a.dcm", words, bits_stored=8, vr="OB", changes={
        "Columns": 32, "SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422",
        "PlanarConfiguration": 0})
    after = opened(sent(path, ImplicitVRLittleEndian), ImplicitVRLittleEndian)
    assert after.PixelData == words.tobytes() and after.PhotometricInterpretation == "YBR_FULL_422"


def test_trap_a_number_of_frames_that_lies_is_told_and_not_guessed(ct: Path) -> None:
    jpeg(ct, NumberOfFrames=7)
    with pytest.raises(FrameUndecodable, match="7 frames") as raised:
        sent(ct, ExplicitVRLittleEndian)
    assert str(ct) in str(raised.value) and "received" in raised.value.cure
