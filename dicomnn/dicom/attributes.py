"""The few attributes that are indexed or needed, read without touching pixel data.

Values are found by ``scan`` and decoded one by one, each with a cap on its size: a wrong character set gives
replacement characters, a wrong number gives None, never an error. The stored bytes stay what they are.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes

from dicomnn.dicom.scan import Buffer, Layout, value_of
from dicomnn.dicom.walk import UNDEFINED, Budget, Element, Encoding, walk
from dicomnn.errors import DicomError

TEXT_LIMIT = 1024  # bytes of one value; the longest indexed VR (LO, 64 characters) needs far less
NUMBER_LIMIT = 64
SHARED_GROUPS, PIXEL_VALUE_TRANSFORMATION, FRAME_VOI_LUT = 0x52009229, 0x00289145, 0x00289132
NESTED_LIMIT = 1 << 20
RESET_BY = {0x09, 0x0A, 0x0C, 0x0D, 0x3D, 0x5C, 0x5E}  # code extensions end there (PS3.5 6.1.2.5.3)
UNREADABLE = -1  # NumberOfFrames that is there but no number


@dataclass(frozen=True)
class Attributes:
    """Decoded values without padding; None when absent or empty. Several values keep their backslashes.

    Dates and times are as written (PS3.5 6.2). Numbers are the first value, None when unreadable.
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


_TEXT = {
    "specific_character_set": 0x00080005, "image_type": 0x00080008, "sop_class_uid": 0x00080016,
    "sop_instance_uid": 0x00080018, "study_date": 0x00080020, "series_date": 0x00080021,
    "acquisition_date": 0x00080022, "content_date": 0x00080023, "study_time": 0x00080030,
    "series_time": 0x00080031, "acquisition_time": 0x00080032, "content_time": 0x00080033,
    "modality": 0x00080060, "slice_thickness": 0x00180050,
    "timezone_offset_from_utc": 0x00080201, "patient_birth_date": 0x00100030, "patient_sex": 0x00100040,
    "body_part_examined": 0x00180015, "study_instance_uid": 0x0020000D, "series_instance_uid": 0x0020000E,
}
_LOCAL_TEXT = {  # depends on Specific Character Set (PS3.5 6.1.2.2)
    "manufacturer": 0x00080070, "institution_name": 0x00080080, "referring_physician_name": 0x00080090,
    "station_name": 0x00081010, "study_description": 0x00081030, "series_description": 0x0008103E,
    "manufacturer_model_name": 0x00081090, "patient_name": 0x00100010, "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021, "convolution_kernel": 0x00181210, "protocol_name": 0x00181030,
    "study_id": 0x00200010, "accession_number": 0x00080050,
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


def read_attributes(buffer: Buffer, layout: Layout) -> Attributes:
    """What the index needs. Raises nothing: a value that cannot be read is None."""
    reader = _Reader.of(buffer, layout)
    values: dict[str, Any] = {name: reader.text(tag) for name, tag in _TEXT.items()}
    values |= {name: reader.text(tag, local=True) for name, tag in _LOCAL_TEXT.items()}
    values |= {name: reader.integer(tag) for name, tag in _INTEGER.items()}
    values |= {name: reader.unsigned(_UNSIGNED[name]) for name in ("rows", "columns")}
    return Attributes(**values)


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
        found = self.by_tag.get(tag)
        if not found:
            return None
        raw = self.view[found[0].value_start:min(found[0].end, found[0].value_start + NESTED_LIMIT)]
        order = "<" if self.encoding.little_endian else ">"
        if len(raw) < 16 or struct.unpack_from(order + "HH", raw) != (0xFFFE, 0xE000):
            return None
        length = struct.unpack_from(order + "L", raw, 4)[0]
        content = raw[8:] if length == UNDEFINED else raw[8:8 + length]
        try:
            elements, _, _ = walk(content, 0, self.encoding, Budget())
        except DicomError:
            return None
        return _Reader(content, elements, self.encoding)

    def _decoded(self, raw: bytes) -> str:
        if self._encodings is None:
            named = (self.text(0x00080005) or "").split("\\")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self._encodings = list(convert_encodings([name.strip() for name in named]))
                except Exception:  # an unknown term is no reason to lose the rest of the name
                    self._encodings = ["ascii"]
        if b"\x1b" not in raw:
            return raw.decode(self._encodings[0], "replace")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return str(decode_bytes(raw, self._encodings, RESET_BY))
            except Exception:  # whatever code extensions hold, the index gets some text
                return raw.decode("ascii", "replace")
