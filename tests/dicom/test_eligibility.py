"""One table of reasons; each made file gets the verdict that the table promises."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import REASONS, Verdict, judge, reason_of
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import DEFLATED, RLE
from dicomnn.errors import DataSetMalformed, DicomnnError, FrameUndecodable, NotDicom, StoreFull
from tests.dicom.made import BIG, EXPLICIT, IMPLICIT, NATIVE, Writer, encapsulated, image, part10
from tests.dicom.test_splice import stored

JPEG = "1.2.840.10008.1.2.4."


def verdict(raw: bytes, profile_kind: str = "lossless") -> Verdict:
    layout = scan(raw)
    return judge(
        layout, read_image_pixel(raw, layout), read_attributes(raw, layout), profile_kind=profile_kind
    )


def without_pixels(extra: bytes = b"") -> bytes:
    raw = image(EXPLICIT)
    pixel_data = scan(raw).pixel_data
    assert pixel_data is not None
    return raw[: pixel_data.start] + extra


def deflated() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return part10(DEFLATED, squeeze.compress(image(EXPLICIT, bare=True)) + squeeze.flush())


def native_in(syntax: str) -> bytes:
    return part10(syntax, image(EXPLICIT, bare=True))


KEPT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a coded object": ("already-coded", lambda: stored(image(EXPLICIT))),
    "a report without pixels": ("no-pixel-data", without_pixels),
    "a data set cut off before its pixels": (
        "malformed",
        lambda: without_pixels(b"\x42\0\x11\0OB\0\0\xff\0\0\0ab"),
    ),
    "float pixels": ("float-pixels", lambda: without_pixels(Writer().element(0x7FE00008, "OF", b"\0" * 96))),
    "double float pixels": (
        "float-pixels",
        lambda: without_pixels(Writer().element(0x7FE00009, "OD", b"\0" * 192)),
    ),
    "a deflated data set": ("deflated-dataset", deflated),
    "an unknown transfer syntax": ("unknown-syntax", lambda: native_in("1.2.3.4.5")),
    "JPEG baseline": ("already-lossy", lambda: encapsulated(JPEG + "50", [b"\xff\xd8"])),
    "JPEG-LS near-lossless": ("already-lossy", lambda: encapsulated(JPEG + "81", [b"\xff\xd8"])),
    "JPEG 2000 that may be lossy": ("already-lossy", lambda: encapsulated(JPEG + "91", [b"\xff\x4f"])),
    "HTJ2K that may be lossy": ("already-lossy", lambda: encapsulated(JPEG + "203", [b"\xff\x4f"])),
    "H.264": ("already-lossy", lambda: encapsulated(JPEG + "102", [b"\0\0\0\1"])),
    "lossless without a decoder": ("undecodable", lambda: encapsulated(JPEG + "58", [b"\xff\xd8"])),
    "native pixels in an encapsulated syntax": ("syntax-mismatch", lambda: native_in(RLE)),
    "fragments in a native syntax": ("syntax-mismatch", lambda: encapsulated(EXPLICIT, [b"\0" * 48])),
    "implicit bytes named explicit": (
        "syntax-mismatch",
        lambda: part10(EXPLICIT, image(IMPLICIT, bare=True)),
    ),
    "colour": (
        "colour",
        lambda: image(
            EXPLICIT,
            SamplesPerPixel=3,
            PhotometricInterpretation="RGB",
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            pixels=b"\0" * 72,
        ),
    ),
    "RGB that does not count its samples": (
        "colour",
        lambda: image(EXPLICIT, SamplesPerPixel=None, PhotometricInterpretation="RGB"),
    ),
    "one bit": ("one-bit", lambda: image(EXPLICIT, BitsAllocated=1, BitsStored=1, HighBit=0)),
    "32 bits": ("bits-32", lambda: image(EXPLICIT, BitsAllocated=32, BitsStored=32, HighBit=31)),
    "packed 12 bits": ("packed-12", lambda: image(EXPLICIT, BitsAllocated=12, BitsStored=12)),
    "bits nobody uses": ("geometry-invalid", lambda: image(EXPLICIT, BitsAllocated=10)),
    "no rows": ("geometry-invalid", lambda: image(EXPLICIT, Rows=0)),
    "rows missing": ("geometry-invalid", lambda: image(EXPLICIT, Rows=None)),
    "rows with two values": ("geometry-invalid", lambda: image(EXPLICIT, Rows=b"\4\0\5\0")),
    "rows twice with different values": (
        "geometry-invalid",
        lambda: image(EXPLICIT, before=Writer().element(0x00280010, "US", 9)),
    ),
    "frames zero": ("frames-inconsistent", lambda: image(EXPLICIT, NumberOfFrames="0")),
    "frames in letters": ("frames-inconsistent", lambda: image(EXPLICIT, NumberOfFrames="two")),
    "more frames than counted": ("frames-inconsistent", lambda: image(EXPLICIT, pixels=b"\0" * 96)),
    "fewer frames than counted": ("pixel-data-short", lambda: image(EXPLICIT, NumberOfFrames="7")),
    "no bytes": ("pixel-data-empty", lambda: image(EXPLICIT, pixels=b"")),
    "half of the bytes": ("pixel-data-short", lambda: image(EXPLICIT, pixels=b"\0" * 24)),
    "a file cut in its pixels": ("pixel-data-short", lambda: image(EXPLICIT)[:-1]),
    "a size that cannot be": ("pixel-data-short", lambda: image(EXPLICIT, Rows=65535, Columns=65535)),
    "no private group left": (
        "no-private-group",
        lambda: image(
            EXPLICIT, after=b"".join(Writer().element(g << 16 | 0x10, "LO", "X ") for g in (0x7FE1, 0xFFFB))
        ),
    ),
    "compressed and 4 GiB large": (
        "too-large",
        lambda: encapsulated(RLE, [b"\0" * 64], NumberOfFrames="60", Rows=65535, Columns=65535),
    ),
    "fragments without an end": ("malformed", lambda: encapsulated(RLE, [b"\0" * 64])[:-12]),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_may_not_be_coded_is_kept_with_its_reason_and_a_sentence(name: str) -> None:
    reason, make = KEPT[name]
    found = verdict(make())
    assert (found.eligible, found.reason) == (False, reason)
    assert found.sentence.startswith(REASONS[reason]) and found.sentence.endswith((".", ")"))


CODED: dict[str, tuple[int, int, int, Callable[[], bytes]]] = {
    "8 bits": (
        24,
        1,
        0,
        lambda: image(EXPLICIT, BitsAllocated=8, BitsStored=8, HighBit=7, pixels=b"\0" * 24),
    ),
    "8 bits of odd size with its padding": (
        15,
        1,
        1,
        lambda: image(
            EXPLICIT, BitsAllocated=8, BitsStored=8, HighBit=7, Rows=3, Columns=5, pixels=b"\0" * 16, vr="OB"
        ),
    ),
    "frames absent": (48, 1, 0, lambda: image(EXPLICIT)),
    "three frames": (48, 3, 0, lambda: image(EXPLICIT, NumberOfFrames="3", pixels=b"\0" * 144)),
    "bytes too many": (48, 1, 20, lambda: image(EXPLICIT, pixels=b"\0" * 68)),
    "high bit 15 of 12": (48, 1, 0, lambda: image(EXPLICIT, HighBit=15)),
    "bits stored missing": (48, 1, 0, lambda: image(EXPLICIT, BitsStored=None, HighBit=None)),
    "palette indices": (48, 1, 0, lambda: image(EXPLICIT, PhotometricInterpretation="PALETTE COLOR")),
    "samples not counted": (48, 1, 0, lambda: image(EXPLICIT, SamplesPerPixel=None)),
    "big endian": (48, 1, 0, lambda: image(BIG)),
    "lossy once, native now": (48, 1, 0, lambda: image(EXPLICIT, LossyImageCompression="01")),
    "RLE": (48, 1, 0, lambda: encapsulated(RLE, [b"\0" * 64])),
    "own groups 7FE1 and 7FE3": (
        48,
        1,
        0,
        lambda: image(
            EXPLICIT, after=b"".join(Writer().element(g << 16 | 0x10, "LO", "X ") for g in (0x7FE1, 0x7FE3))
        ),
    ),
}


@pytest.mark.parametrize("name", CODED)
def test_every_single_sample_image_of_8_or_16_bits_may_be_coded(name: str) -> None:
    frame_bytes, frames, trailing, make = CODED[name]
    found = verdict(make())
    assert found.eligible and found.reason is None and found.profile_kind == "lossless"
    assert (found.frame_bytes, found.frames, found.trailing_bytes) == (frame_bytes, frames, trailing)


@pytest.mark.parametrize("syntax", NATIVE)
def test_profile_keep_keeps_everything(syntax: str) -> None:
    assert verdict(image(syntax), "keep").reason == "profile-keep"


@pytest.mark.parametrize(
    "changes",
    [
        {"Modality": "MG"},
        {"Modality": "PT"},
        {"Modality": "NM"},
        {"Modality": "SEG"},
        {"Modality": "RTDOSE"},
        {"Modality": None},
        {"SOPClassUID": None},
        {"SOPInstanceUID": None},
        {"LossyImageCompression": "01"},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        *(
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1." + end, "Modality": "OT"}
            for end in (
                "1.2",
                "1.2.1",
                "13.1.3",
                "128",
                "130",
                "481.2",
                "30",
                "66.4",
                "66.7",
                "11.1",
                "88.33",
            )
        ),
    ],
    ids=str,
)
def test_bounded_falls_to_lossless_where_loss_is_not_allowed(changes: dict[str, object]) -> None:
    found = verdict(image(EXPLICIT, **changes), "bounded")
    assert found.eligible and found.profile_kind == "lossless" and found.note == "bounded-forbidden"
    assert REASONS["bounded-forbidden"] in found.sentence and found.detail


@pytest.mark.parametrize("modality", ["CT", "MR", "DX"])
def test_bounded_is_allowed_for_ordinary_images(modality: str) -> None:
    found = verdict(image(EXPLICIT, Modality=modality), "bounded")
    assert (found.profile_kind, found.note, found.sentence) == ("bounded", None, "")


@pytest.mark.parametrize(
    "error, code",
    [
        (NotDicom("x"), "not-dicom"),
        (DataSetMalformed("x"), "malformed"),
        (FrameUndecodable("x"), "undecodable"),
        (StoreFull("x"), "failed"),
    ],
)
def test_an_error_has_a_reason_of_the_table(error: DicomnnError, code: str) -> None:
    assert reason_of(error) == code and code in REASONS


def test_every_reason_is_one_sentence_for_an_operator() -> None:
    for code, sentence in REASONS.items():
        assert sentence.endswith(".") and len(sentence) < 110 and code == code.lower()
