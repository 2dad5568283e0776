"""Another encoding of the same data set: headers anew, every value as it was, traps of PS3.5 included."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import pydicom
import pytest
from pydicom.filereader import read_dataset

from dicomnn.dicom.reencode import reencoded
from dicomnn.dicom.scan import scan
from dicomnn.errors import DataSetMalformed
from tests.dicom.made import BIG, EXPLICIT, IMPLICIT, NATIVE, Writer, image

TARGETS = (EXPLICIT, IMPLICIT)


def converted(dataset: bytes, source: str, target: str = EXPLICIT) -> bytes:
    return reencoded(dataset, scan(dataset, transfer_syntax=source), explicit=target == EXPLICIT)


def read(raw: bytes, syntax: str) -> pydicom.Dataset:
    return read_dataset(io.BytesIO(raw), syntax == IMPLICIT, syntax != BIG)


def values(dataset: pydicom.Dataset) -> Iterator[object]:
    for element in dataset:
        if element.VR == "SQ":
            yield (element.tag, [list(values(item)) for item in element.value])
        else:
            yield (element.tag, element.value)


def rich(syntax: str) -> bytes:
    """A data set with every kind of element that an encoding treats in its own way."""
    w = Writer.of(syntax)
    order = w.order
    inner = w.element(0x00080100, "SH", "CODE") + w.element(0x00080104, "LO", "meaning")
    return b"".join([
        w.element(0x00080005, "CS", "ISO_IR 100"), w.element(0x00080016, "UI", "1.2"),
        w.sequence(0x00081032, [w.item(inner), w.item(inner, undefined=True)]),
        w.sequence(0x00082218, [w.item(inner, undefined=True)], undefined=True),
        w.element(0x00100010, "PN", "Müller^Jörg ".encode("latin-1")),
        w.element(0x00200032, "DS", "1.5\\2\\-3"), w.element(0x00280002, "US", 1),
        w.element(0x00280009, "AT", struct.pack(order + "HH", 0x0018, 0x1063)),
        w.element(0x00280010, "US", 2), w.element(0x00280011, "US", 3),
        w.element(0x00280100, "US", 16), w.element(0x00280103, "US", 1),
        w.element(0x00280106, "SS", struct.pack(order + "h", -5)),
        w.element(0x00189087, "FD", struct.pack(order + "d", 0.25)),
        w.element(0x00700022, "FL", struct.pack(order + "2f", 1.5, -3.0)),
        w.element(0x7FE00010, "OW", struct.pack(order + "6H", *range(1, 7)))])


@pytest.mark.parametrize("source", NATIVE)
@pytest.mark.parametrize("target", TARGETS)
def test_every_value_is_what_it_was(source: str, target: str) -> None:
    before, after = read(rich(source), source), read(converted(rich(source), source, target), target)
    a, b = dict(values(before)), dict(values(after))
    del a[0x7FE00010]
    assert b.pop(0x7FE00010) == struct.pack("<6H", *range(1, 7))
    assert a == b


def test_the_same_encoding_gives_the_same_bytes_but_for_group_lengths() -> None:
    assert converted(rich(EXPLICIT), EXPLICIT, EXPLICIT) == rich(EXPLICIT)
    assert converted(rich(IMPLICIT), IMPLICIT, IMPLICIT) == rich(IMPLICIT)
    w = Writer()
    lying = w.element(0x00080000, "UL", 4711) + rich(EXPLICIT)
    assert converted(lying, EXPLICIT, EXPLICIT) == rich(EXPLICIT)


def test_there_and_back_is_the_same_where_the_dictionary_knows_every_element() -> None:
    there = converted(rich(IMPLICIT), IMPLICIT, EXPLICIT)
    assert converted(there, EXPLICIT, IMPLICIT) == rich(IMPLICIT)


# ------------------------------------------------------------------ traps
def test_trap_a_value_too_long_for_a_short_vr_becomes_un() -> None:
    w = Writer.of(IMPLICIT)
    data = w.element(0x00080016, "UI", "1.2") + w.element(0x00104000, "LT", b"x" * 70000)
    out = converted(data, IMPLICIT, EXPLICIT)
    assert b"\x10\x00\x00\x40UN\0\0" + struct.pack("<L", 70000) in out and out.endswith(b"x" * 70000)


def test_trap_us_or_ss_follows_the_pixel_representation_of_the_data_set_around_it() -> None:
    w = Writer.of(IMPLICIT)
    icon = w.element(0x00280103, "US", 0) + w.element(0x00280106, "US", 0xFFF0)
    inherits = w.element(0x00280106, "US", 0xFFF0)
    data = (w.element(0x00080016, "UI", "1.2") + w.element(0x00280103, "US", 1)
            + w.element(0x00280106, "US", 0xFFF0) + w.sequence(0x00283000, [w.item(inherits)])
            + w.sequence(0x00880200, [w.item(icon)]))
    found = read(converted(data, IMPLICIT, EXPLICIT), EXPLICIT)
    assert found["SmallestImagePixelValue"].VR == "SS" and found.SmallestImagePixelValue == -16
    assert found.IconImageSequence[0]["SmallestImagePixelValue"].VR == "US"
    assert found.IconImageSequence[0].SmallestImagePixelValue == 0xFFF0
    assert found.ModalityLUTSequence[0]["SmallestImagePixelValue"].VR == "SS"


def test_trap_private_elements_of_implicit_vr_become_un_and_their_creators_stay_text() -> None:
    w = Writer.of(IMPLICIT)
    data = (w.element(0x00080016, "UI", "1.2") + w.element(0x00090010, "LO", "MAKER ")
            + w.element(0x00091001, "LO", b"ABC "))
    found = read(converted(data, IMPLICIT, EXPLICIT), EXPLICIT)
    assert (found[0x00090010].VR, found[0x00090010].value) == ("LO", "MAKER")
    assert b"\x09\x00\x01\x10UN\0\0\4\0\0\0ABC " in converted(data, IMPLICIT, EXPLICIT)


def test_trap_un_of_undefined_length_is_implicit_inside_and_stays_as_it_is() -> None:
    inside, w = Writer.of(IMPLICIT), Writer()
    items = inside.item(inside.element(0x00080100, "SH", "CODE"), undefined=True)
    body = items + inside.tag(0xFFFEE0DD) + b"\0" * 4
    data = (w.element(0x00080016, "UI", "1.2") + w.element(0x00091001, "UN", body, length=0xFFFFFFFF)
            + w.element(0x00100020, "LO", "P1"))
    for target in TARGETS:
        out = converted(data, EXPLICIT, target)
        assert body in out and read(out, target).PatientID == "P1"


def test_trap_explicit_vr_inside_of_un_is_written_as_implicit_where_no_vr_could_tell() -> None:
    w = Writer()
    body = w.item(w.element(0x00080100, "SH", "CODE"), undefined=True) + w.tag(0xFFFEE0DD) + b"\0" * 4
    data = w.element(0x00080016, "UI", "1.2") + w.element(0x00091001, "UN", body, length=0xFFFFFFFF)
    plain = Writer.of(IMPLICIT)
    assert plain.element(0x00080100, "SH", "CODE") in converted(data, EXPLICIT, IMPLICIT)
    assert body in converted(data, EXPLICIT, EXPLICIT)


def test_trap_big_endian_swaps_words_also_of_8_bit_pixels_in_ow() -> None:
    data = image(BIG, pixels=bytes([1, 0, 3, 2]), bare=True, BitsAllocated=8, BitsStored=8, HighBit=7)
    assert read(converted(data, BIG, EXPLICIT), EXPLICIT).PixelData == bytes([0, 1, 2, 3])
    plain = image(BIG, pixels=bytes([1, 0, 3, 2]), vr="OB", bare=True, BitsAllocated=8, BitsStored=8,
                  HighBit=7)
    assert read(converted(plain, BIG, EXPLICIT), EXPLICIT).PixelData == bytes([1, 0, 3, 2])


def test_trap_odd_lengths_get_their_pad_byte_of_the_right_kind() -> None:
    w = Writer()
    data = (w.element(0x00080016, "UI", b"1.2") + w.element(0x00100020, "LO", b"odd")
            + w.element(0x7FE00010, "OB", b"\1\2\3"))
    out = converted(data, EXPLICIT, IMPLICIT)
    assert b"\4\0\0\0odd " in out and b"\4\0\0\x001.2\0" in out and out.endswith(b"\4\0\0\0\1\2\3\0")


def test_trap_trailing_padding_stays_and_zeros_behind_the_data_set_go() -> None:
    w = Writer()
    padding = w.element(0xFFFCFFFC, "OB", b"\0" * 6)
    data = image(EXPLICIT, bare=True, after=padding)
    assert read(converted(data + b"\0" * 512, EXPLICIT, IMPLICIT), IMPLICIT)[0xFFFCFFFC].value == b"\0" * 6


def test_trap_pixel_data_too_long_stay_too_long_and_cut_off_ones_come_as_far_as_they_are_there() -> None:
    long = image(EXPLICIT, pixels=bytes(range(48)) + b"extra!", bare=True)
    assert read(converted(long, EXPLICIT, IMPLICIT), IMPLICIT).PixelData.endswith(b"extra!")
    cut = image(EXPLICIT, bare=True)[:-7]
    assert read(converted(cut, EXPLICIT, IMPLICIT), IMPLICIT).PixelData == bytes(range(41)) + b"\0"


def test_trap_float_pixels_are_values_like_others() -> None:
    w = Writer.of(BIG)
    data = w.element(0x00080016, "UI", "1.2") + w.element(0x7FE00008, "OF", struct.pack(">2f", 1.5, -2.0))
    assert read(converted(data, BIG, IMPLICIT), IMPLICIT).FloatPixelData == struct.pack("<2f", 1.5, -2.0)


def test_trap_a_vr_that_nobody_knows_and_a_sequence_tag_without_items_do_not_break_the_rest() -> None:
    w = Writer()
    data = (w.element(0x00080016, "UI", "1.2") + b"\x10\x00\x20\x00ZZ\0\0\4\0\0\0P1  "
            + w.element(0x00100040, "CS", "F "))
    assert read(converted(data, EXPLICIT, EXPLICIT), EXPLICIT).PatientSex == "F"
    i = Writer.of(IMPLICIT)
    data = i.element(0x00081032, "SQ", b"no items at all!") + i.element(0x00100040, "CS", "F ")
    found = converted(i.element(0x00080016, "UI", "1.2") + data, IMPLICIT, EXPLICIT)
    assert b"\x08\x00\x32\x10UN" in found and read(found, EXPLICIT).PatientSex == "F"


def test_what_cannot_be_read_to_its_end_is_refused_and_not_cut_silently() -> None:
    w = Writer()
    data = (w.element(0x00080016, "UI", "1.2") + w.element(0x00100020, "LO", "P1", length=40000)
            + w.element(0x7FE00010, "OW", bytes(48)))
    with pytest.raises(DataSetMalformed, match="to its end"):
        converted(data, EXPLICIT, IMPLICIT)


def test_encapsulated_pixels_are_refused_unless_somebody_decodes_them() -> None:
    w = Writer()
    fragments = [w.item(b""), w.item(b"\xff\xd8ab")]
    data = w.element(0x00080016, "UI", "1.2") + w.sequence(0x7FE00010, fragments, undefined=True, vr="OB")
    layout = scan(data, transfer_syntax=EXPLICIT)
    with pytest.raises(DataSetMalformed, match="encapsulated"):
        reencoded(data, layout, explicit=True)
    out = reencoded(data, layout, explicit=True, decode=lambda _buffer, _layout: {
        0x7FE00010: ("OW", b"\1\0"), 0x00280004: ("CS", b"RGB"), 0x00080016: None})
    found = read(out, EXPLICIT)
    assert (found.PixelData, found.PhotometricInterpretation) == (b"\1\0", "RGB")
    assert "SOPClassUID" not in found and [e.tag for e in found] == sorted(e.tag for e in found)
