"""The few attributes that are indexed or needed, read without touching pixel data.

Values are found by ``scan`` and decoded one by one, each with a cap on its size: a wrong character set gives
replacement characters, a wrong number gives None, never an error. The stored bytes stay what they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dicomnn.dicom.character_sets import decoded_text, python_encodings
from dicomnn.dicom.query_keys import KEYS, Key
from dicomnn.dicom.scan import Buffer, Layout, value_of
from dicomnn.dicom.walk import ITEM_END, UNDEFINED, Budget, Element, Encoding, walk
from dicomnn.errors import DicomError

VERSION = 3  # of what `read_attributes` reads: raised with each attribute that is added
TEXT_LIMIT = 1024  # bytes of one value; the longest indexed VR (LO, 64 characters) needs far less
NUMBER_LIMIT = 64
CHARACTER_SET = 0x00080005
SHARED_GROUPS, PIXEL_VALUE_TRANSFORMATION, FRAME_VOI_LUT = 0x52009229, 0x00289145, 0x00289132
NESTED_LIMIT = 1 << 20
ITEMS_LIMIT = 32  # items of one sequence
UNREADABLE = -1  # NumberOfFrames that is there but no number

Items = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Attributes:
    """Decoded values without padding; None when absent or empty. Several values keep their backslashes.

    Dates and times are as written (PS3.5 6.2). Numbers are the first value, None when unreadable. Sequences
    hold their items' attributes that `query_keys` names.
    """

    specific_character_set: str | None = None
    image_type: str | None = None
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_date: str | None = None
    series_date: str | None = None
    acquisition_date: str | None = None
    content_date: str | None = None
    study_time: str | None = None
    series_time: str | None = None
    acquisition_time: str | None = None
    content_time: str | None = None
    accession_number: str | None = None
    modality: str | None = None
    manufacturer: str | None = None
    institution_name: str | None = None
    referring_physician_name: str | None = None
    timezone_offset_from_utc: str | None = None
    station_name: str | None = None
    study_description: str | None = None
    series_description: str | None = None
    manufacturer_model_name: str | None = None
    patient_name: str | None = None
    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    body_part_examined: str | None = None
    slice_thickness: str | None = None
    convolution_kernel: str | None = None
    protocol_name: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_id: str | None = None
    series_number: int | None = None
    acquisition_number: int | None = None
    instance_number: int | None = None
    number_of_frames: int | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    patient_birth_time: str | None = None
    other_patient_ids: str | None = None
    other_patient_names: str | None = None
    ethnic_group: str | None = None
    patient_comments: str | None = None
    name_of_physicians_reading_study: str | None = None
    admitting_diagnoses_description: str | None = None
    patient_age: str | None = None
    patient_size: str | None = None
    patient_weight: str | None = None
    occupation: str | None = None
    additional_patient_history: str | None = None
    laterality: str | None = None
    performing_physician_name: str | None = None
    operators_name: str | None = None
    institutional_department_name: str | None = None
    performed_procedure_step_start_date: str | None = None
    performed_procedure_step_start_time: str | None = None
    performed_procedure_step_id: str | None = None
    performed_procedure_step_description: str | None = None
    image_comments: str | None = None
    content_label: str | None = None
    content_description: str | None = None
    completion_flag: str | None = None
    verification_flag: str | None = None
    procedure_code_sequence: Items = ()
    request_attributes_sequence: Items = ()
    concept_name_code_sequence: Items = ()

    def known(self) -> dict[str, Any]:
        """What there is, by name; what is absent or empty is left out. Plain data."""
        there = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(map(dict, value)) if isinstance(value, tuple) else value
                for name, value in there.items() if value not in (None, ())}


@dataclass(frozen=True)
class ImagePixel:
    """The Image Pixel module and what tells what a stored value means (PS3.3 C.7.6.3, C.11.1, C.11.2).

    A number is None when it is absent, has another number of values than one or another VR than US, or
    stands twice in the data set with different values. `number_of_frames` is None when absent or empty and
    ``UNREADABLE`` (-1) when it is no whole number. Rescale and window are the first ones of the top level,
    else those that all frames share (enhanced multi-frame; None when they differ per frame).
    `pixel_padding_value` is signed as `pixel_representation` says.
    """

    rows: int | None
    columns: int | None
    number_of_frames: int | None
    samples_per_pixel: int | None
    photometric_interpretation: str | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    pixel_representation: int | None
    planar_configuration: int | None
    lossy_image_compression: str | None
    rescale_slope: float | None
    rescale_intercept: float | None
    rescale_type: str | None
    window_center: float | None
    window_width: float | None
    pixel_padding_value: int | None
    pixel_padding_range_limit: int | None = None
    lossy_image_compression_ratio: str | None = None


_TEXT = {
    "specific_character_set": 0x00080005, "image_type": 0x00080008, "sop_class_uid": 0x00080016,
    "sop_instance_uid": 0x00080018, "study_date": 0x00080020, "series_date": 0x00080021,
    "acquisition_date": 0x00080022, "content_date": 0x00080023, "study_time": 0x00080030,
    "series_time": 0x00080031, "acquisition_time": 0x00080032, "content_time": 0x00080033,
    "modality": 0x00080060, "slice_thickness": 0x00180050,
    "timezone_offset_from_utc": 0x00080201, "patient_birth_date": 0x00100030, "patient_sex": 0x00100040,
    "body_part_examined": 0x00180015, "study_instance_uid": 0x0020000D, "series_instance_uid": 0x0020000E,
    "patient_birth_time": 0x00100032, "patient_age": 0x00101010, "patient_size": 0x00101020,
    "patient_weight": 0x00101030, "laterality": 0x00200060, "content_label": 0x00700080,
    "completion_flag": 0x0040A491, "verification_flag": 0x0040A493,
    "performed_procedure_step_start_date": 0x00400244, "performed_procedure_step_start_time": 0x00400245,
}
_LOCAL_TEXT = {  # depends on Specific Character Set (PS3.5 6.1.2.2)
    "manufacturer": 0x00080070, "institution_name": 0x00080080, "referring_physician_name": 0x00080090,
    "station_name": 0x00081010, "study_description": 0x00081030, "series_description": 0x0008103E,
    "manufacturer_model_name": 0x00081090, "patient_name": 0x00100010, "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021, "convolution_kernel": 0x00181210, "protocol_name": 0x00181030,
    "study_id": 0x00200010, "accession_number": 0x00080050, "other_patient_ids": 0x00101000,
    "other_patient_names": 0x00101001, "ethnic_group": 0x00102160, "patient_comments": 0x00104000,
    "name_of_physicians_reading_study": 0x00081060, "admitting_diagnoses_description": 0x00081080,
    "occupation": 0x00102180, "additional_patient_history": 0x001021B0,
    "performing_physician_name": 0x00081050, "operators_name": 0x00081070,
    "institutional_department_name": 0x00081040, "performed_procedure_step_id": 0x00400253,
    "performed_procedure_step_description": 0x00400254, "image_comments": 0x00204000,
    "content_description": 0x00700081,
}
_INTEGER = {
    "series_number": 0x00200011, "acquisition_number": 0x00200012, "instance_number": 0x00200013,
    "number_of_frames": 0x00280008,
}
_UNSIGNED = {
    "rows": 0x00280010, "columns": 0x00280011, "samples_per_pixel": 0x00280002, "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101, "high_bit": 0x00280102, "pixel_representation": 0x00280103,
    "planar_configuration": 0x00280006,
}
_SEQUENCES = tuple(key for key in KEYS.values() if key.items)


def read_attributes(buffer: Buffer, layout: Layout) -> Attributes:
    """What the index needs. Raises nothing: a value that cannot be read is None."""
    reader = _Reader.of(buffer, layout)
    values: dict[str, Any] = {name: reader.text(tag) for name, tag in _TEXT.items()}
    values |= {name: reader.text(tag, local=True) for name, tag in _LOCAL_TEXT.items()}
    values |= {name: reader.integer(tag) for name, tag in _INTEGER.items()}
    values |= {name: reader.unsigned(_UNSIGNED[name]) for name in ("rows", "columns", "bits_allocated")}
    values |= {key.attribute: _items(reader, key) for key in _SEQUENCES}
    return Attributes(**values)


def _items(reader: _Reader, key: Key) -> Items:
    """The named attributes of a sequence's items; items without any are left out."""
    found = []
    for item in reader.items(key.tag):
        texts = {inner.attribute: item.text(inner.tag, local=True) for inner in key.items}
        if values := {name: text for name, text in texts.items() if text is not None}:
            found.append(values)
    return tuple(found)


def read_image_pixel(buffer: Buffer, layout: Layout) -> ImagePixel | None:
    """The Image Pixel module, or None when Rows, Columns and Bits Allocated are all absent."""
    if not any(layout.find(_UNSIGNED[name]) for name in ("rows", "columns", "bits_allocated")):
        return None
    reader = _Reader.of(buffer, layout)
    numbers = {name: reader.unsigned(tag) for name, tag in _UNSIGNED.items()}
    signed = numbers["pixel_representation"] == 1
    shared = reader.first_item(SHARED_GROUPS)
    rescale = shared.first_item(PIXEL_VALUE_TRANSFORMATION) if shared is not None else None
    window = shared.first_item(FRAME_VOI_LUT) if shared is not None else None
    frames = reader.text(0x00280008)
    return ImagePixel(
        number_of_frames=None if frames is None else _whole(frames, UNREADABLE),
        photometric_interpretation=reader.text(0x00280004),
        lossy_image_compression=reader.text(0x00282110),
        lossy_image_compression_ratio=reader.text(0x00282112),
        rescale_slope=reader.decimal(0x00281053, rescale),
        rescale_intercept=reader.decimal(0x00281052, rescale),
        rescale_type=reader.text(0x00281054) or (rescale.text(0x00281054) if rescale is not None else None),
        window_center=reader.decimal(0x00281050, window), window_width=reader.decimal(0x00281051, window),
        pixel_padding_value=reader.unsigned(0x00280120, signed=signed),
        pixel_padding_range_limit=reader.unsigned(0x00280121, signed=signed), **numbers)


def _whole(text: str, otherwise: int | None) -> int | None:
    """The first value of an IS; some writers put a decimal point into it."""
    first = text.split("\\")[0].strip(" \0")
    try:
        return int(first)
    except ValueError:
        pass
    try:
        number = float(first)
    except ValueError:
        return otherwise
    return int(number) if number == number and abs(number) < 2 ** 31 and number == int(number) else otherwise


class _Reader:
    """Values of one data set, or of one item of it, by tag."""

    def __init__(self, view: memoryview, elements: list[Element], encoding: Encoding) -> None:
        self.view = view
        self.encoding = encoding
        self.by_tag: dict[int, list[Element]] = {}
        for element in elements:
            self.by_tag.setdefault(element.tag, []).append(element)
        self._encodings: list[str] | None = None

    @classmethod
    def of(cls, buffer: Buffer, layout: Layout) -> _Reader:
        return cls(layout.data(buffer), layout.elements, Encoding(layout.explicit, layout.little_endian))

    def raw(self, tag: int, limit: int) -> bytes | None:
        found = self.by_tag.get(tag)
        if not found or found[0].undefined_length:
            return None
        return value_of(self.view, found[0], limit)

    def text(self, tag: int, *, local: bool = False) -> str | None:
        raw = self.raw(tag, TEXT_LIMIT)
        if raw is None:
            return None
        text = self._decoded(raw) if local else raw.decode("ascii", "replace")
        return text.strip(" \0") or None

    def integer(self, tag: int) -> int | None:
        text = self.text(tag)
        return None if text is None else _whole(text, None)

    def decimal(self, tag: int, otherwise: _Reader | None = None) -> float | None:
        text = self.text(tag)
        if text is None:
            return otherwise.decimal(tag) if otherwise is not None else None
        try:
            number = float(text.split("\\")[0])
        except ValueError:
            return None
        return number if abs(number) < 1e300 else None

    def unsigned(self, tag: int, *, signed: bool = False) -> int | None:
        """A US (or SS) of exactly one value."""
        found = self.by_tag.get(tag, [])
        if not found or len({value_of(self.view, element, NUMBER_LIMIT) for element in found}) != 1:
            return None
        raw = value_of(self.view, found[0], NUMBER_LIMIT)
        if len(raw) != 2 or found[0].vr not in (None, "US", "SS", "UN"):
            return None
        order = "<" if self.encoding.little_endian or found[0].vr == "UN" else ">"
        return int(struct.unpack(order + ("h" if signed else "H"), raw)[0])

    def first_item(self, tag: int) -> _Reader | None:
        """The first item of a sequence, None when there is none that can be read."""
        return next(self.items(tag), None)

    def items(self, tag: int) -> Iterator[_Reader]:
        """The items of a sequence within its first megabyte, up to one that cannot be read."""
        found = self.by_tag.get(tag)
        if not found:
            return
        raw = self.view[found[0].value_start:min(found[0].end, found[0].value_start + NESTED_LIMIT)]
        order, position = "<" if self.encoding.little_endian else ">", 0
        for _ in range(ITEMS_LIMIT):
            if (len(raw) < position + 16
                    or struct.unpack_from(order + "HH", raw, position) != (0xFFFE, 0xE000)):
                return
            length = struct.unpack_from(order + "L", raw, position + 4)[0]
            content = raw[position + 8:] if length == UNDEFINED else raw[position + 8:position + 8 + length]
            try:
                elements, end, _ = walk(content, 0, self.encoding, Budget())
            except DicomError:
                return
            if length == UNDEFINED:
                last = next((number for number, e in enumerate(elements) if e.tag == ITEM_END), None)
                if last is not None:
                    elements, end = elements[:last], elements[last].end
            inner = _Reader(content, elements, self.encoding)
            if CHARACTER_SET not in inner.by_tag:
                inner._encodings = self._character_sets()   # as the data set around it (PS3.3 C.12.1.1.2)
            yield inner
            position += 8 + (end if length == UNDEFINED else length)

    def _character_sets(self) -> list[str]:
        if self._encodings is None:
            self._encodings = python_encodings((self.text(CHARACTER_SET) or "").split("\\"))
        return self._encodings

    def _decoded(self, raw: bytes) -> str:
        return decoded_text(raw, self._character_sets())
