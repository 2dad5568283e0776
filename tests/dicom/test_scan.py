"""Scanning: where things lie in any encoding, and what is wrong said in a typed error or in `broken`."""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from pathlib import Path

import pytest

from dicomnn.dicom import walk
from dicomnn.dicom.scan import PIXEL_DATA, scan
from dicomnn.dicom.syntaxes import DEFLATED
from dicomnn.errors import DataSetMalformed, DicomnnError, NotDicom
from tests.dicom.made import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    NATIVE,
    UNDEFINED,
    Writer,
    header_elements,
    image,
    part10,
)


def covered(layout) -> bool:
    """Top-level elements follow each other without a gap from the data set's begin."""
    position = layout.dataset_start
    for element in layout.elements:
        if element.start != position or element.end < element.value_start:
            return False
        position = element.end
    return position == layout.trailing_start


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("bare", [False, True], ids=["part10", "bare"])
def test_pixel_data_is_found_at_its_place_in_every_native_encoding(syntax: str, bare: bool) -> None:
    raw = image(syntax, pixels=b"\x5a" * 48, bare=bare)
    layout = scan(raw)
    assert layout.pixel_data is not None and layout.pixel_data.tag == PIXEL_DATA
    assert raw[layout.pixel_data.value_start : layout.pixel_data.end] == b"\x5a" * 48
    assert (layout.transfer_syntax, layout.guessed) == (syntax, bare)
    assert (layout.explicit, layout.little_endian) == (syntax != IMPLICIT, syntax != BIG)
    assert layout.sop_instance_uid == "1.2.3.4" and covered(layout) and layout.broken is None
    assert (layout.has_preamble, layout.has_file_meta) == (not bare, not bare)


def test_bytes_memoryview_and_mmap_give_the_same_layout_and_leave_no_view_behind(tmp_path: Path) -> None:
    raw = image(EXPLICIT)
    (tmp_path / "a").write_bytes(raw)
    with open(tmp_path / "a", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert scan(raw) == scan(memoryview(raw)) == scan(mapped) == scan(bytearray(raw))


def test_the_syntax_that_was_negotiated_wins_over_a_guess_for_a_bare_data_set() -> None:
    raw = image(EXPLICIT, bare=True)
    layout = scan(raw, transfer_syntax="1.2.840.10008.1.2.4.90")
    assert (
        layout.transfer_syntax == "1.2.840.10008.1.2.4.90"
        and not layout.guessed
        and layout.dataset_start == 0
    )


def test_group_0002_inside_a_received_data_set_stays_part_of_it() -> None:
    raw = Writer().element(0x00020003, "UI", "9.9.9") + image(EXPLICIT, bare=True)
    layout = scan(raw, transfer_syntax=EXPLICIT)
    assert layout.dataset_start == 0 and not layout.has_file_meta and layout.sop_instance_uid == "1.2.3.4"


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
def test_pixel_data_inside_a_sequence_is_not_the_images(syntax: str, undefined: bool) -> None:
    writer = Writer.of(syntax)
    icon = writer.element(PIXEL_DATA, "OW", b"\1\2" * 8)
    nested = writer.sequence(0x00880200, [writer.item(icon, undefined=undefined)], undefined=undefined)
    raw = image(syntax, before=nested, pixels=b"\7" * 48)
    layout = scan(raw)
    assert layout.pixel_data is not None and raw[layout.pixel_data.value_start :][:48] == b"\7" * 48
    assert sum(element.tag == PIXEL_DATA for element in layout.elements) == 1 and covered(layout)


@pytest.mark.parametrize("inner", [IMPLICIT, EXPLICIT])
def test_un_of_undefined_length_is_followed_with_implicit_or_wrongly_explicit_content(inner: str) -> None:
    content = Writer.of(inner).element(0x00080100, "SH", "121320") + Writer.of(inner).element(
        0x00080104, "LO", "x "
    )
    little = Writer.of(inner)
    raw = Writer().element(
        0x00091010, "UN", little.item(content) + little.tag(0xFFFEE0DD) + b"\0" * 4, length=UNDEFINED
    )
    layout = scan(image(EXPLICIT, before=raw))
    assert layout.broken is None and layout.pixel_data is not None and covered(layout)


def test_un_of_undefined_length_in_big_endian_holds_implicit_little_endian() -> None:
    little = Writer.of(IMPLICIT)
    body = (
        little.item(little.element(0x00080100, "SH", "121320"), undefined=True)
        + little.tag(0xFFFEE0DD)
        + b"\0" * 4
    )
    layout = scan(image(BIG, before=Writer.of(BIG).element(0x00091010, "UN", body, length=UNDEFINED)))
    assert layout.broken is None and layout.pixel_data is not None and covered(layout)


@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@pytest.mark.parametrize("syntax", NATIVE)
def test_nesting_200_deep_is_a_typed_error_and_32_deep_is_none(syntax: str, undefined: bool) -> None:
    writer = Writer.of(syntax)

    def nested(depth: int) -> bytes:
        content = writer.element(0x00080100, "SH", "ab")
        for _ in range(depth):
            content = writer.sequence(
                0x00400260, [writer.item(content, undefined=undefined)], undefined=undefined
            )
        return image(syntax, before=content)

    assert scan(nested(32)).pixel_data is not None
    with pytest.raises(DataSetMalformed) as caught:
        scan(nested(200))
    assert caught.value.code == "nested-too-deep"


@pytest.mark.parametrize("nested", [False, True])
def test_more_elements_than_the_limit_are_a_typed_error(
    nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert walk.MAX_ELEMENTS == 1_000_000
    monkeypatch.setattr(walk, "MAX_ELEMENTS", 1000)
    writer = Writer(explicit=False)
    many = writer.element(0x00091010, "LO", b"") * 1001
    with pytest.raises(DataSetMalformed, match="more than"):
        scan(image(IMPLICIT, before=writer.sequence(0x00091011, [writer.item(many)]) if nested else many))


@pytest.mark.parametrize("tail", [b"\0" * 64, b"garbage that is no element", b"\xff" * 9, b"\1"])
def test_bytes_after_the_data_set_are_left_as_opaque_trailing(tail: bytes) -> None:
    whole = image(EXPLICIT)
    layout = scan(whole + tail)
    assert layout.trailing_start == len(whole) and layout.broken is not None and layout.pixel_data is not None


def test_trailing_padding_element_and_group_lengths_are_ordinary_elements() -> None:
    writer = Writer()
    raw = image(
        EXPLICIT,
        before=writer.element(0x60000000, "UL", 99),
        after=writer.element(0xFFFCFFFC, "OB", b"\0" * 10),
    )
    layout = scan(raw)
    assert [element.tag for element in layout.elements][-3:] == [0x60000000, PIXEL_DATA, 0xFFFCFFFC]
    assert covered(layout) and layout.broken is None


def test_a_file_cut_at_any_byte_scans_or_raises_a_typed_error_and_never_reads_beyond() -> None:
    writer = Writer()
    nested = writer.sequence(
        0x00400260, [writer.item(writer.element(0x00080100, "SH", "ab"), undefined=True)], undefined=True
    )
    for syntax in NATIVE:
        raw = image(syntax, before=nested if syntax == EXPLICIT else b"")
        for size in range(len(raw)):
            try:
                layout = scan(raw[:size])
            except DicomnnError:
                continue
            assert layout.trailing_start <= size and all(element.end <= size for element in layout.elements)
            if size < len(raw) and layout.pixel_data is not None and layout.pixel_data.truncated:
                assert layout.broken is not None and layout.pixel_data.end == size


def test_flipping_any_byte_of_a_header_gives_a_layout_or_a_typed_error() -> None:
    writer = Writer()
    nested = writer.sequence(
        0x00400260, [writer.item(writer.element(0x00080100, "SH", "ab"), undefined=True)], undefined=True
    )
    raw = bytearray(image(EXPLICIT, before=nested))
    for position in range(128, len(raw) - 48):
        for value in (0x00, 0xFF, raw[position] ^ 1):
            kept, raw[position] = raw[position], value
            try:
                layout = scan(raw)
                assert layout.trailing_start <= len(raw)
            except DicomnnError:
                pass
            raw[position] = kept


def test_what_is_wrong_inside_a_sequence_of_known_length_is_skipped_with_it() -> None:
    writer = Writer()
    bad = writer.element(0x00400260, "SQ", writer.item(b"\xff" * 30))
    layout = scan(image(EXPLICIT, before=bad))
    assert layout.broken is None and layout.pixel_data is not None and covered(layout)


def test_a_length_beyond_the_file_says_which_element_and_how_many_bytes_are_there() -> None:
    raw = image(EXPLICIT, before=Writer().element(0x00420011, "OB", b"1234", length=3 << 30))
    layout = scan(raw)
    assert layout.pixel_data is None and layout.broken is not None
    assert "(0042,0011) says 3221225472 bytes" in layout.broken.why


def test_an_element_without_vr_in_an_explicit_data_set_is_read_as_implicit() -> None:
    layout = scan(image(EXPLICIT, before=Writer(explicit=False).element(0x00291010, "LO", b"ab" * 40)))
    assert layout.broken is None and layout.pixel_data is not None and covered(layout)


def test_missing_preamble_missing_meta_and_four_letters_in_the_data_are_told_apart() -> None:
    full = image(EXPLICIT)
    assert scan(full[128:]).has_file_meta and scan(full[132:]).has_file_meta
    assert not scan(full[132:]).has_preamble
    writer = Writer()
    bare = writer.element(0x00080005, "CS", "A" * 112) + b""  # 8 + 112: the next value begins at 128
    bare += writer.element(0x00080008, "CS", "DICM") + image(EXPLICIT, bare=True)
    assert bare[128:132] == b"DICM"
    layout = scan(bare)
    assert not layout.has_preamble and layout.dataset_start == 0 and layout.pixel_data is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 200,
        b"%PDF-1.7 and so on, for a while",
        b"\x1f\x8b" + b"\0" * 300,
        b"\xff" * 500,
        b"<html>" * 40,
    ],
)
def test_what_is_no_dicom_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(NotDicom):
        scan(raw)


def test_a_part_10_header_without_a_data_set_is_malformed() -> None:
    with pytest.raises(DataSetMalformed):
        scan(part10(EXPLICIT, b""))


def test_a_deflated_data_set_shows_its_uids_and_no_place_for_pixel_data() -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = squeeze.compress(image(EXPLICIT, bare=True)) + squeeze.flush()
    layout = scan(part10(DEFLATED, packed))
    assert layout.sop_instance_uid == "1.2.3.4" and layout.pixel_data is None and layout.inflated is not None


def test_a_deflate_bomb_is_inflated_to_64_mib_at_most() -> None:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = squeeze.compress(Writer().element(0x00080016, "UI", "1.2"))
    packed += squeeze.compress(struct.pack("<HH2s2xL", 0x0042, 0x0011, b"OB", 80 << 20))
    for _ in range(80):
        packed += squeeze.compress(b"\0" * (1 << 20))
    layout = scan(part10(DEFLATED, packed + squeeze.flush()))
    assert layout.inflated is not None and len(layout.inflated) == 64 << 20 and layout.sop_class_uid == "1.2"


def test_ten_thousand_items_scan_in_seconds_not_minutes() -> None:
    writer = Writer()
    item = writer.item(
        writer.element(0x00200032, "DS", "1\\2\\3 ") + writer.element(0x00280030, "DS", "1\\1 ")
    )
    raw = image(EXPLICIT, before=writer.sequence(0x52009230, [item] * 10_000, undefined=True))
    started = time.monotonic()
    assert scan(raw).pixel_data is not None
    assert time.monotonic() - started < 5.0


def test_header_elements_of_the_made_image_are_all_there() -> None:
    layout = scan(image(EXPLICIT))
    assert [element.tag for element in layout.elements] == [*header_elements(Writer()), PIXEL_DATA]
