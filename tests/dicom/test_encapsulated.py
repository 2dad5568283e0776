"""Losslessly compressed frames come back as the raw words of native Pixel Data, or are refused."""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest

from dicomnn.dicom.attributes import read_image_pixel
from dicomnn.dicom.encapsulated import decode_frames, frame_spans
from dicomnn.dicom.scan import scan
from dicomnn.errors import FrameUndecodable
from tests.dicom.made import EXPLICIT, Writer, encapsulated, image

JPEG = "1.2.840.10008.1.2.4."
ROWS, COLUMNS = 33, 48


def noise(bits: int, *, signed: bool = False, seed: int = 0) -> np.ndarray:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    values = np.random.default_rng(seed).integers(low, high, (ROWS, COLUMNS))
    return values.astype(("i" if signed else "u") + ("1" if bits <= 8 else "2"))


def words(values: np.ndarray, bits_allocated: int) -> np.ndarray:
    return values.astype(np.int32).astype(np.uint8 if bits_allocated == 8 else np.uint16)


def rle(raw: np.ndarray) -> bytes:
    """RLE with literal runs only, one segment per byte."""
    planes = raw.reshape(-1).view(np.uint8).reshape(-1, raw.itemsize)[:, ::-1]
    segments = []
    for number in range(raw.itemsize):
        plane = planes[:, number].tobytes()
        packed = b"".join(
            bytes([len(plane[i : i + 128]) - 1]) + plane[i : i + 128] for i in range(0, len(plane), 128)
        )
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets, position = [], 64
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def decoded(syntax: str, fragments: list[bytes], **changes: Any) -> list[np.ndarray]:
    table = changes.pop("table", b"")
    before = changes.pop("before", b"")
    usual: dict[str, Any] = {
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
    }
    raw = encapsulated(syntax, fragments, table=table, before=before, **(usual | changes))
    layout = scan(raw)
    image_pixel = read_image_pixel(raw, layout)
    assert image_pixel is not None
    return list(decode_frames(raw, layout, image_pixel))


def eight() -> dict[str, int]:
    return {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


ENCODERS = {
    "RLE": ("1.2.840.10008.1.2.5", lambda a, bits: rle(a)),
    "JPEG lossless": (
        JPEG + "57",
        lambda a, bits: imagecodecs.jpeg_encode(a, lossless=True, predictor=6, bitspersample=bits),
    ),
    "JPEG lossless SV1": (
        JPEG + "70",
        lambda a, bits: imagecodecs.jpeg_encode(a, lossless=True, predictor=1, bitspersample=bits),
    ),
    "JPEG-LS": (JPEG + "80", lambda a, bits: imagecodecs.jpegls_encode(a)),
    "JPEG 2000": (
        JPEG + "90",
        lambda a, bits: imagecodecs.jpeg2k_encode(
            a, level=0, reversible=True, codecformat="j2k", bitspersample=bits
        ),
    ),
    "HTJ2K": (JPEG + "201", lambda a, bits: imagecodecs.htj2k_encode(a, reversible=True)),
    "HTJ2K RPCL": (JPEG + "202", lambda a, bits: imagecodecs.htj2k_encode(a, reversible=True)),
    "JPEG XL": (JPEG + "110", lambda a, bits: imagecodecs.jpegxl_encode(a, lossless=True)),
    "JPEG XL in a container": (
        JPEG + "110",
        lambda a, bits: imagecodecs.jpegxl_encode(a, lossless=True, usecontainer=True),
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_unsigned_pixels_of_every_lossless_syntax_come_back_exact(name: str, bits: int) -> None:
    syntax, encode = ENCODERS[name]
    values = noise(bits)
    changes = eight() if bits == 8 else {"BitsStored": bits, "HighBit": bits - 1}
    (frame,) = decoded(syntax, [bytes(encode(values, bits))], **changes)
    assert frame.dtype == values.dtype and np.array_equal(frame, values)


@pytest.mark.parametrize("name", ["RLE", "JPEG 2000", "HTJ2K"])
def test_signed_pixels_are_sign_extended_words(name: str) -> None:
    syntax, encode = ENCODERS[name]
    values = noise(12, signed=True)
    data = encode(words(values, 16) if name == "RLE" else values, 16)
    (frame,) = decoded(syntax, [bytes(data)], PixelRepresentation=1)
    assert frame.dtype == np.uint16 and np.array_equal(frame, words(values, 16))


@pytest.mark.parametrize("name", ["JPEG lossless SV1", "JPEG 2000"])
def test_a_stream_that_calls_signed_pixels_unsigned_is_read_by_the_data_set(name: str) -> None:
    syntax, encode = ENCODERS[name]
    values = noise(12, signed=True)
    (frame,) = decoded(syntax, [bytes(encode((values & 0xFFF).astype(np.uint16), 12))], PixelRepresentation=1)
    assert np.array_equal(frame, words(values, 16))


def test_a_stream_that_calls_unsigned_pixels_signed_is_read_by_the_data_set() -> None:
    values = noise(8, signed=True)
    data = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k")
    (frame,) = decoded(JPEG + "90", [bytes(data)], **eight())
    assert np.array_equal(frame, values.view(np.uint8))


def test_a_12_bit_stream_that_calls_unsigned_pixels_signed_gives_12_bit_words() -> None:
    values = noise(12)
    as_signed = bytearray(
        imagecodecs.jpeg2k_encode(
            (values.astype(np.int16) - 2048), level=0, reversible=True, codecformat="j2k", bitspersample=12
        )
    )
    assert as_signed[42] == 0x8B, "SIZ says 12 bits, signed"
    (frame,) = decoded(JPEG + "90", [bytes(as_signed)])
    assert np.array_equal(frame, (values.astype(np.int32) - 2048) & 0xFFF)


def test_eight_bit_streams_in_16_bit_words_are_widened() -> None:
    values = noise(8)
    (frame,) = decoded(JPEG + "80", [bytes(imagecodecs.jpegls_encode(values))], BitsStored=8, HighBit=7)
    assert frame.dtype == np.uint16 and np.array_equal(frame, values)


def test_bits_outside_bits_stored_survive() -> None:
    values = noise(16)
    (frame,) = decoded(JPEG + "80", [bytes(imagecodecs.jpegls_encode(values))], BitsStored=12, HighBit=11)
    assert np.array_equal(frame, values)


@pytest.mark.parametrize(
    "how", ["one to one", "basic table", "extended table", "start markers", "false table", "false begin"]
)
def test_fragments_are_mapped_to_frames(how: str) -> None:
    frames = [noise(12, seed=seed) for seed in range(3)]
    coded = [bytes(imagecodecs.jpegls_encode(frame)) for frame in frames]
    coded = [part + b"\0" * (len(part) % 2) for part in coded]
    pieces = (
        coded
        if how in ("one to one", "false table", "false begin")
        else [piece for part in coded for piece in (part[:200], part[200:400], part[400:])]
    )
    starts = [sum(len(p) + 8 for p in pieces[: n * len(pieces) // 3]) for n in range(3)]
    changes: dict[str, Any] = {"NumberOfFrames": "3"}
    if how == "basic table":
        changes["table"] = struct.pack("<3L", *starts)
    if how == "false table":
        changes["table"] = struct.pack("<3L", 0, 10, 20)
    if how == "false begin":
        changes["table"] = struct.pack("<3L", 6, *starts[1:])
    if how == "extended table":
        changes["before"] = Writer().element(0x7FE00001, "OV", struct.pack("<3Q", *starts))
        changes["before"] += Writer().element(0x7FE00002, "OV", struct.pack("<3Q", *[len(p) for p in coded]))
    for frame, wanted in zip(decoded(JPEG + "80", pieces, **changes), frames, strict=True):
        assert np.array_equal(frame, wanted)


def test_one_frame_may_span_any_number_of_fragments() -> None:
    values = noise(12)
    data = bytes(imagecodecs.jpegls_encode(values))
    (frame,) = decoded(JPEG + "80", [data[:100], data[100:102], data[102:]])
    assert np.array_equal(frame, values)


def test_fragments_that_do_not_fit_the_number_of_frames_are_refused() -> None:
    data = bytes(imagecodecs.jpegls_encode(noise(12)))
    with pytest.raises(FrameUndecodable, match="2 fragments cannot be mapped to 3 frames"):
        decoded(JPEG + "80", [data, data], NumberOfFrames="3")
    raw = image(EXPLICIT)
    with pytest.raises(FrameUndecodable, match="not encapsulated"):
        frame_spans(raw, scan(raw), 1)


REFUSED = {
    "another size": (JPEG + "80", lambda: imagecodecs.jpegls_encode(noise(12)[:30]), {}, "the data set says"),
    "more bits than allocated": (
        JPEG + "80",
        lambda: imagecodecs.jpegls_encode(noise(12)),
        eight(),
        "allocates 8",
    ),
    "near-lossless": (
        JPEG + "80",
        lambda: imagecodecs.jpegls_encode(noise(12), level=2),
        {},
        "near-lossless",
    ),
    "irreversible": (
        JPEG + "90",
        lambda: imagecodecs.jpeg2k_encode(noise(12), level=40, reversible=False, codecformat="j2k"),
        {},
        "irreversible",
    ),
    "lossy JPEG": (JPEG + "70", lambda: imagecodecs.jpeg_encode(noise(8), level=90), eight(), "FFC0"),
    "colour": (
        JPEG + "80",
        lambda: imagecodecs.jpegls_encode(np.zeros((ROWS, COLUMNS, 3), np.uint8)),
        eight(),
        "3 components",
    ),
    "colour XL": (
        JPEG + "110",
        lambda: imagecodecs.jpegxl_encode(np.zeros((ROWS, COLUMNS, 3), np.uint8), lossless=True),
        eight(),
        "array of",
    ),
    "cut off": (JPEG + "80", lambda: imagecodecs.jpegls_encode(noise(12))[:300], {}, "CharLS"),
    "cut off in the header": (JPEG + "90", lambda: b"\xff\x4f\xff\x51\0\x29", {}, "no JPEG 2000 codestream"),
    "garbage": (JPEG + "70", lambda: b"\x13\x37" * 50, {}, "does not begin with a JPEG marker"),
    "garbage XL": (JPEG + "110", lambda: b"\xff\x0a" + b"\xff" * 60, {}, "the data set says"),
    "RLE with a missing segment": ("1.2.840.10008.1.2.5", lambda: rle(noise(8)), {}, "names 1 segments"),
    "RLE cut off": ("1.2.840.10008.1.2.5", lambda: rle(noise(12))[:1000], {}, "offsets do not fit"),
    "RLE that ends early": ("1.2.840.10008.1.2.5", lambda: rle(noise(8))[:900], eight(), "gives"),
    "RLE header cut off": ("1.2.840.10008.1.2.5", lambda: b"\2\0\0\0", {}, "header is cut off"),
    "signed without its bits": (
        JPEG + "80",
        lambda: imagecodecs.jpegls_encode(noise(8)),
        {"PixelRepresentation": 1},
        "cannot be told",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_lossy_or_doubtful_frames_are_refused_with_the_frame_named(name: str) -> None:
    syntax, make, changes, message = REFUSED[name]
    with pytest.raises(FrameUndecodable, match=message) as caught:
        decoded(syntax, [bytes(make())], **changes)
    assert str(caught.value).startswith("frame 0: ")


@pytest.mark.parametrize("name", ["JPEG lossless SV1", "JPEG-LS", "JPEG 2000", "JPEG XL", "RLE"])
def test_a_flipped_byte_gives_pixels_or_a_typed_error_and_never_another_exception(name: str) -> None:
    syntax, encode = ENCODERS[name]
    data = bytearray(encode(noise(12), 12))
    for position in range(0, min(len(data), 400), 3):
        damaged = bytes(data[:position]) + bytes([data[position] ^ 0x5A]) + bytes(data[position + 1 :])
        try:
            (frame,) = decoded(syntax, [damaged])
            assert frame.shape == (ROWS, COLUMNS) and frame.dtype == np.uint16
        except FrameUndecodable:
            pass
