"""Compressed frames of every kind -> native pixels, and what is then true of them."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from dicomnn.dicom.attributes import read_image_pixel
from dicomnn.dicom.decompress import Native, native
from dicomnn.dicom.scan import scan
from dicomnn.errors import FrameUndecodable
from tests.dicom.made import encapsulated

JPEG = "1.2.840.10008.1.2.4."
RLE, DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"


def grey(rows: int = 20, columns: int = 30, top: int = 4095) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns]
    return (((x * 7 + y * 13) % 97) * (top // 97)).astype(np.uint8 if top < 256 else np.uint16)


def colour(rows: int = 20, columns: int = 30) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns]
    return np.stack([x * 8, y * 12, 255 - x * 4 - y * 4], axis=-1).astype(np.uint8)


def decoded(syntax: str, frames: list[bytes], image: np.ndarray, **changes: object) -> Native:
    """`image`: (rows, columns[, 3]) of what each frame should hold."""
    bits = image.dtype.itemsize * 8
    given = {"Rows": image.shape[0], "Columns": image.shape[1], "BitsAllocated": bits, "BitsStored": bits,
             "HighBit": bits - 1, **changes}
    if image.ndim == 3:
        given = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB", **given}
    if len(frames) > 1:
        given["NumberOfFrames"] = str(len(frames))
    raw = encapsulated(syntax, frames, **given)
    layout = scan(raw)
    pixel = read_image_pixel(raw, layout)
    assert pixel is not None
    return native(raw, layout, pixel)


@pytest.mark.parametrize(("syntax", "encode"), [
    (JPEG + "80", lambda a: imagecodecs.jpegls_encode(a)),
    (JPEG + "70", lambda a: imagecodecs.ljpeg_encode(a)),
    (JPEG + "90", lambda a: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k", reversible=True)),
    (JPEG + "201", lambda a: imagecodecs.htj2k_encode(a, reversible=True)),
    (JPEG + "110", lambda a: imagecodecs.jpegxl_encode(a, lossless=True)),
])
@pytest.mark.parametrize("top", [255, 65535])
def test_lossless_grey_frames_come_back_word_for_word(syntax: str, encode: object, top: int) -> None:
    image = grey(top=top)
    data = encode(image)  # type: ignore[operator]
    found = decoded(syntax, [data, data], image)
    assert found.value == image.tobytes() * 2 and found.vr == ("OB" if top == 255 else "OW")
    assert found.photometric_interpretation == "MONOCHROME2"


def test_lossless_colour_frames_are_not_converted() -> None:
    image = colour()
    found = decoded(JPEG + "80", [imagecodecs.jpegls_encode(image)], image)
    assert (found.value, found.photometric_interpretation, found.samples) == (image.tobytes(), "RGB", 3)


def test_trap_jpeg_2000_undoes_its_own_colour_transform_and_then_says_rgb() -> None:
    image = colour()
    data = imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True, mct=True)
    found = decoded(JPEG + "90", [data], image, PhotometricInterpretation="YBR_RCT")
    assert (found.value, found.photometric_interpretation) == (image.tobytes(), "RGB")


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_trap_lossy_jpeg_in_ybr_is_rgb_when_it_is_decoded(subsampling: str) -> None:
    image = colour()
    data = imagecodecs.jpeg_encode(image, level=95, colorspace="RGB", outcolorspace="YCBCR",
                                   subsampling=subsampling)
    found = decoded(JPEG + "50", [data], image, PhotometricInterpretation="YBR_FULL_422")
    there = np.frombuffer(found.value, np.uint8).reshape(image.shape)
    assert found.photometric_interpretation == "RGB"
    assert np.abs(there.astype(int) - image).max() < 40 and np.abs(there.astype(int) - image).mean() < 4


def test_trap_lossy_jpeg_that_holds_rgb_is_left_alone() -> None:
    image = colour()
    data = imagecodecs.jpeg_encode(image, level=98, colorspace="RGB", outcolorspace="RGB", subsampling="444")
    found = decoded(JPEG + "50", [data], image)
    there = np.frombuffer(found.value, np.uint8).reshape(image.shape)
    assert np.abs(there.astype(int) - image).mean() < 4


def packbits(data: bytes) -> bytes:
    """PackBits without runs."""
    return b"".join(bytes([len(part) - 1]) + part
                    for part in (data[at:at + 128] for at in range(0, len(data), 128)))


def rle(planes: list[bytes]) -> bytes:
    segments = [packbits(plane) for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def test_rle_of_colour_and_of_32_bits_is_put_together_from_its_bytes() -> None:
    image = colour()
    planes = [image[..., sample].tobytes() for sample in range(3)]
    assert decoded(RLE, [rle(planes)], image).value == image.tobytes()
    wide = (np.arange(600, dtype=np.uint32) * 7919003).reshape(20, 30)
    planes = [((wide >> shift) & 255).astype(np.uint8).tobytes() for shift in (24, 16, 8, 0)]
    assert decoded(RLE, [rle(planes)], wide).value == wide.tobytes()


@pytest.mark.parametrize("syntax", [RLE, DEFLATED_FRAMES])
def test_one_bit_frames_are_joined_bit_by_bit(syntax: str) -> None:
    """7 x 5 pixels: no frame ends at a byte."""
    bits = [np.random.default_rng(seed).integers(0, 2, 35).astype(np.uint8) for seed in (1, 2)]
    packed = [np.packbits(frame, bitorder="little").tobytes() for frame in bits]
    frames = [rle([frame]) if syntax == RLE else deflated(frame) for frame in packed]
    found = decoded(syntax, frames, np.zeros((7, 5), np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0)
    joined = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    assert found.value[:len(joined)] == joined


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_deflated_frames_come_back_and_a_bomb_does_not() -> None:
    image = grey(top=255)
    assert decoded(DEFLATED_FRAMES, [deflated(image.tobytes())], image).value == image.tobytes()
    with pytest.raises(FrameUndecodable, match="bytes"):
        decoded(DEFLATED_FRAMES, [deflated(bytes(10_000_000))], image)


def test_trap_frames_of_lossy_streams_that_span_fragments_are_found_by_their_start_markers() -> None:
    image = grey(top=255)
    data = imagecodecs.jpeg_encode(image, level=90)
    data += b"\0" * (len(data) % 2)
    half = len(data) // 4 * 2
    raw = encapsulated(JPEG + "50", [data[:half], data[half:], data[:half], data[half:]], Rows=20, Columns=30,
                       BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames="2")
    layout = scan(raw)
    pixel = read_image_pixel(raw, layout)
    assert pixel is not None and len(native(raw, layout, pixel).value) == 2 * 600


@pytest.mark.parametrize(("syntax", "data", "why"), [
    (JPEG + "50", b"\xff\xd8\xff\xdb", "frame 0"), (JPEG + "90", b"no codestream", "JPEG 2000"),
    (JPEG + "100", b"", "no decoder"), (RLE, b"short", "RLE"), ("1.2.3.4", b"x", "no decoder")])
def test_what_cannot_be_decoded_says_why(syntax: str, data: bytes, why: str) -> None:
    with pytest.raises(FrameUndecodable, match=why):
        decoded(syntax, [data], grey(top=255))


def test_a_stream_of_another_size_than_the_data_set_says_is_refused_before_it_is_decoded() -> None:
    huge = bytearray(imagecodecs.jpeg_encode(grey(top=255), level=90))
    at = bytes(huge).index(b"\xff\xc0")
    huge[at + 5:at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(FrameUndecodable, match="65535 x 65535"):
        decoded(JPEG + "50", [bytes(huge)], grey(top=255))


def test_more_pixels_than_the_limit_are_refused_before_anything_is_decoded() -> None:
    with pytest.raises(FrameUndecodable, match="more than"):
        decoded(JPEG + "50", [b"\xff\xd8"], grey(top=255), Rows=65535, Columns=65535)
