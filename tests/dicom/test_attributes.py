"""Reading the indexed values: tolerant of what is wrong, exact about what is right."""

from __future__ import annotations

import pytest

from dicomnn.dicom.attributes import UNREADABLE, read_attributes, read_image_pixel
from dicomnn.dicom.scan import scan
from tests.dicom.made import BIG, EXPLICIT, NATIVE, Writer, image


def attributes(raw: bytes):  # noqa: ANN201
    return read_attributes(raw, scan(raw))


def image_pixel(raw: bytes):  # noqa: ANN201
    found = read_image_pixel(raw, scan(raw))
    assert found is not None
    return found


@pytest.mark.parametrize("syntax", NATIVE)
def test_values_read_the_same_in_every_encoding(syntax: str) -> None:
    found = attributes(image(syntax))
    assert (found.sop_instance_uid, found.patient_name, found.instance_number) == ("1.2.3.4", "Made^One", 7)
    assert (found.rows, found.columns, found.modality, found.study_date) == (4, 6, "CT", None)
    pixel = image_pixel(image(syntax))
    assert (pixel.rows, pixel.columns, pixel.bits_allocated, pixel.bits_stored, pixel.high_bit) == (
        4,
        6,
        16,
        12,
        11,
    )
    assert pixel.number_of_frames is None and pixel.photometric_interpretation == "MONOCHROME2"


@pytest.mark.parametrize(
    "charset, raw, text",
    [
        ("ISO_IR 100", "Jérôme".encode("latin-1"), "Jérôme"),
        ("ISO_IR 192", "山田".encode(), "山田"),
        ("\\ISO 2022 IR 87", b"A=\x1b$B;3ED\x1b(B", "A=山田"),
        ("ISO_IR 192", b"\xff\xfeX", "\ufffd\ufffdX"),
        ("NO SUCH SET", b"plain", "plain"),
    ],
)
def test_names_are_decoded_and_wrong_bytes_become_replacement_characters(
    charset: str, raw: bytes, text: str
) -> None:
    writer = Writer()
    data = writer.element(0x00080005, "CS", charset) + writer.element(0x00080016, "UI", "1.2")
    data += writer.element(0x00100010, "PN", raw + b" " * (len(raw) % 2))
    assert attributes(data).patient_name == text


@pytest.mark.parametrize(
    "raw, number",
    [
        ("7", 7),
        (" 7 ", 7),
        ("7.0 ", 7),
        ("1\\2", 1),
        ("x", None),
        ("", None),
        ("1e400 ", None),
        ("nan ", None),
    ],
)
def test_a_number_that_cannot_be_read_is_none(raw: str, number: int | None) -> None:
    made = image(EXPLICIT, before=Writer().element(0x00200011, "IS", raw))
    assert attributes(made).series_number == number


@pytest.mark.parametrize(
    "raw, frames", [("3", 3), ("", None), (None, None), ("0", 0), ("x", UNREADABLE), ("2.5", UNREADABLE)]
)
def test_number_of_frames_tells_absent_from_unreadable(raw: str | None, frames: int | None) -> None:
    assert image_pixel(image(EXPLICIT, NumberOfFrames=raw)).number_of_frames == frames


@pytest.mark.parametrize("syntax", NATIVE)
def test_pixel_padding_value_is_signed_as_the_pixels_are(syntax: str) -> None:
    padding = Writer.of(syntax).element(0x00280120, "US", 63536)
    assert image_pixel(image(syntax, before=padding, PixelRepresentation=1)).pixel_padding_value == -2000
    assert image_pixel(image(syntax, before=padding, PixelRepresentation=0)).pixel_padding_value == 63536


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
def test_rescale_and_window_that_all_frames_share_are_found(syntax: str, undefined: bool) -> None:
    writer = Writer.of(syntax)

    def macro(tag: int, content: bytes) -> bytes:
        return writer.sequence(tag, [writer.item(content, undefined=undefined)], undefined=undefined)

    groups = macro(
        0x00289132, writer.element(0x00281050, "DS", "40") + writer.element(0x00281051, "DS", "400 ")
    )
    groups += macro(
        0x00289145,
        writer.element(0x00281052, "DS", "-1024")
        + writer.element(0x00281053, "DS", "2 ")
        + writer.element(0x00281054, "LO", "HU"),
    )
    found = image_pixel(image(syntax, before=macro(0x52009229, groups)))
    assert (found.rescale_intercept, found.rescale_slope, found.rescale_type) == (-1024.0, 2.0, "HU")
    assert (found.window_center, found.window_width) == (40.0, 400.0)


def test_rescale_that_differs_per_frame_is_none() -> None:
    writer = Writer()
    inner = writer.element(0x00289145, "SQ", writer.item(writer.element(0x00281053, "DS", "2 ")))
    found = image_pixel(image(EXPLICIT, before=writer.element(0x52009230, "SQ", writer.item(inner))))
    assert found.rescale_slope is None


def test_rows_of_another_vr_are_not_believed() -> None:
    raw = image(EXPLICIT, Rows=None, before=Writer().element(0x00280010, "UL", 4))
    assert image_pixel(raw).rows is None


def test_a_huge_value_is_read_only_as_far_as_its_cap() -> None:
    found = attributes(image(EXPLICIT, before=Writer().element(0x00081030, "UT", b"x" * 100_000)))
    assert found.study_description == "x" * 1024


def test_an_object_without_image_attributes_has_no_image_pixel() -> None:
    raw = image(EXPLICIT, Rows=None, Columns=None, BitsAllocated=None)
    assert read_image_pixel(raw, scan(raw)) is None


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("undefined", [False, True])
def test_items_of_a_sequence_are_read_in_the_character_set_around_them(syntax: str, undefined: bool) -> None:
    writer = Writer.of(syntax)

    def code(value: str, meaning: bytes = b"") -> bytes:
        inner = writer.element(0x00080100, "SH", value)
        inner += writer.element(0x00080104, "LO", meaning) if meaning else b""
        return writer.item(inner, undefined=undefined)

    data = writer.element(0x00080005, "CS", "ISO_IR 100") + writer.element(0x00080016, "UI", "1.2")
    items = [code("A", "Schädel ".encode("latin-1")), writer.item(b""), code("B")]
    data += writer.sequence(0x00081032, items, undefined=undefined)
    found = attributes(data + writer.element(0x00100020, "LO", "P1"))
    codes = [{"code_value": "A", "code_meaning": "Schädel"}, {"code_value": "B"}]
    assert found.procedure_code_sequence == tuple(codes)
    assert found.known()["procedure_code_sequence"] == codes
    assert "study_date" not in found.known() and "concept_name_code_sequence" not in found.known()


def test_every_attribute_that_a_query_may_name_is_read() -> None:
    from dataclasses import fields

    from dicomnn.dicom.attributes import Attributes
    from dicomnn.dicom.query_keys import KEYS

    computed = {"modalities_in_study", "sop_classes_in_study"}
    wanted = {key.attribute for key in KEYS.values() if not key.returned_only} - computed
    assert wanted <= {field.name for field in fields(Attributes)}
