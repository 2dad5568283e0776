"""Images compressed for a peer: every word comes back, other bytes stay, what cannot is not compressed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicomnn.coded.transcode import NotCompressible, compress_as
from dicomnn.dicom.syntaxes import COMPRESSIONS

DECODERS = {"jpeg-ls": imagecodecs.jpegls_decode, "jpeg-2000": imagecodecs.jpeg2k_decode,
            "htj2k": imagecodecs.jpeg2k_decode}


def compressed(path: Path, name: str) -> bytes:
    stream = io.BytesIO()
    compress_as(path, stream, COMPRESSIONS[name])
    return stream.getvalue()


def dataset_of(raw: bytes, name: str) -> pydicom.Dataset:
    dataset = pydicom.filereader.read_dataset(io.BytesIO(raw), False, True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(COMPRESSIONS[name])
    return dataset


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
def test_every_word_comes_back(name: str, bits: int, signed: bool, frames: int, tmp_path: Path,
                               kit: Any) -> None:
    words = kit.smooth_image(frames, 21, 33, bits=bits)
    if signed:
        words = (words.astype(np.int32) - (1 << (bits - 1))).astype(np.int8 if bits == 8 else np.int16)
        words = words.view(np.uint8 if bits == 8 else np.uint16)
    elif bits == 8:
        words = words.astype(np.uint8)
    path = kit.make_file(tmp_path / "a.dcm", words, bits_stored=bits, signed=signed,
                         vr="OB" if bits == 8 else "OW")
    dataset = dataset_of(compressed(path, name), name)
    got = [np.asarray(DECODERS[name](frame))
           for frame in generate_frames(dataset.PixelData, number_of_frames=frames)]
    mask = (1 << bits) - 1
    assert np.array_equal(np.stack(got).astype(np.int32) & mask, words.astype(np.int32) & mask)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_byte_beside_the_pixels_stays(name: str, ct: Path) -> None:
    raw = ct.read_bytes()
    data = raw[raw.index(b"\x08\x00\x05\x00CS"):]
    place = data.index(b"\xe0\x7f\x10\x00OW")
    packed = compressed(ct, name)
    assert packed[:place] == data[:place]
    assert packed[place:place + 12] == b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    assert packed.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0") and len(packed) < len(data)


@pytest.mark.parametrize("source", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_become_explicit_little_endian_on_the_way(source: Any, tmp_path: Path,
                                                                  kit: Any) -> None:
    words = kit.smooth_image(2, 16, 16)
    path = kit.make_file(tmp_path / "a.dcm", words, syntax=source)
    dataset = dataset_of(compressed(path, "jpeg-ls"), "jpeg-ls")
    assert np.array_equal(dataset.pixel_array, words)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_bits_outside_of_the_stored_ones_are_not_lost_but_not_compressed(
        name: str, tmp_path: Path, kit: Any) -> None:
    words = kit.smooth_image() | np.uint16(0x4000)
    path = kit.make_file(tmp_path / "a.dcm", words)
    with pytest.raises(NotCompressible, match="come back"):
        compressed(path, name)


@pytest.mark.parametrize(("changes", "extra"), [
    ({"SamplesPerPixel": 3}, b""), ({"NumberOfFrames": 2}, b""), ({"Rows": 63}, b""), ({}, b"\0" * 100)])
def test_what_is_no_plain_image_is_not_compressed(changes: dict[str, Any], extra: bytes, tmp_path: Path,
                                                  kit: Any) -> None:
    path = kit.make_file(tmp_path / "a.dcm", kit.smooth_image(), changes=changes, extra=extra)
    with pytest.raises(NotCompressible):
        compressed(path, "jpeg-ls")


def test_an_object_without_pixels_is_not_compressed(tmp_path: Path, kit: Any) -> None:
    path = kit.make_file(tmp_path / "a.dcm", kit.smooth_image())
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(NotCompressible):
        compressed(path, "jpeg-2000")
