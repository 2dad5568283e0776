"""A picture (PNG, JPEG, TIFF) as a Secondary Capture image (PS3.3 A.8.1): bytes in, a Part 10 file out.

Grey of 8 or 16 bits and colour of 3 x 8 bits are taken as they are: no value is scaled, no colour converted.
What the pictures cannot say (patient, study) is told by whoever wraps them. A JPEG has lost something before
it came here, and the object says so (PS3.3 C.7.6.1.1.5).
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from datetime import datetime

import imagecodecs
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomnn.errors import DicomError

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LARGEST_SIDE = 65535  # Rows and Columns are US
MOST_PIXELS = 200_000_000  # of one picture, looked at before anything is decoded
PNG, JPEG, TIFF = "PNG", "JPEG", "TIFF"
_SEXES = ("", "F", "M", "O")
_DATE = re.compile(r"\d{8}")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


class PictureRefused(DicomError):
    """A picture that cannot be wrapped without changing it, or that cannot be read."""

    code = "picture"
    cure = "Save it as PNG or TIFF, grey with 8 or 16 bits or RGB with 8 bits per channel, and try again."


@dataclass(frozen=True)
class Person:
    """What the sender says about the patient and the study. Dates: YYYYMMDD or empty."""

    patient_name: str = ""
    patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    study_description: str = ""
    study_date: str = ""

    def problem(self) -> str:
        """What is wrong with it, in a sentence; '' when nothing is."""
        if not self.patient_id.strip() or not self.patient_name.strip():
            return "Pictures do not say whose they are: patient name and patient ID are needed."
        for name in ("patient_name", "patient_id", "study_description"):
            text = getattr(self, name)
            if len(text) > 64 or any(ord(c) < 32 for c in text) or "\\" in text:
                return f"The {name.replace('_', ' ')} has more than 64 characters, or a backslash in it."
        if any(value and not _is_date(value) for value in (self.patient_birth_date, self.study_date)):
            return "A date must be a day that exists, as YYYYMMDD."
        return "" if self.patient_sex in _SEXES else "The sex must be F, M, O or empty."


@dataclass(frozen=True)
class Place:
    """Where the picture belongs: UIDs, and its number in the series."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    instance_number: int


def kind_of(head: bytes) -> str | None:
    """PNG, JPEG or TIFF by the first bytes of a file; None for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    return TIFF if head[:4] in (b"II*\0", b"MM\0*") else None


def wrap(data: bytes, person: Person, place: Place, *, now: datetime) -> bytes:
    """The Part 10 file of a picture. Raises PictureRefused."""
    kind = kind_of(data)
    if kind is None:
        raise PictureRefused("it is neither PNG, JPEG nor TIFF")
    if person.problem():
        raise PictureRefused(person.problem(), cure="Fill in the fields for pictures and upload it again.")
    _check_size(data, kind)
    pixels = _decoded(data, kind)
    buffer = io.BytesIO()
    _data_set(pixels, kind, person, place, now).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


# ---------------------------------------------------------------------- the picture
def _check_size(data: bytes, kind: str) -> None:
    """A few bytes may claim to be a huge picture: its header is asked before it is decoded."""
    width, height = _SIZES[kind](data)
    if not 0 < width <= LARGEST_SIDE or not 0 < height <= LARGEST_SIDE or width * height > MOST_PIXELS:
        raise PictureRefused(
            f"it claims to be {width} x {height} pixels; at most {MOST_PIXELS // 1_000_000} "
            "million are taken",
            cure="Cut it into smaller pictures.",
        )


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise PictureRefused("its PNG header is damaged")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if colour in (2, 6) and depth == 16:
        raise PictureRefused(
            "it is colour with 16 bits per channel, which no DICOM image class takes",
            cure="Save it with 8 bits per channel, or as 16-bit grey.",
        )
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            break
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        position += 2 + length
    raise PictureRefused("its JPEG header is damaged")


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    found: dict[int, int] = {}
    try:
        start = struct.unpack_from(order + "I", data, 4)[0]
        count = struct.unpack_from(order + "H", data, start)[0]
        for number in range(count):
            tag, kind, _ = struct.unpack_from(order + "HHI", data, start + 2 + 12 * number)
            if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
                found[tag] = struct.unpack_from(
                    order + ("H" if kind == 3 else "I"), data, start + 10 + 12 * number
                )[0]
        return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]
    except (struct.error, KeyError) as error:
        raise PictureRefused("its TIFF directory is damaged") from error


_SIZES = {PNG: _png_size, JPEG: _jpeg_size, TIFF: _tiff_size}


def _decoded(data: bytes, kind: str) -> np.ndarray:
    """(rows, columns) uint8 or uint16, or (rows, columns, 3) uint8."""
    decode = {PNG: imagecodecs.png_decode, JPEG: imagecodecs.jpeg8_decode, TIFF: imagecodecs.tiff_decode}[
        kind
    ]
    try:
        pixels = np.asarray(decode(data))
    except Exception as error:  # imagecodecs has an error class for each format, and raises others too
        raise PictureRefused(
            f"it cannot be read as {kind}: {str(error)[:120] or type(error).__name__}",
            cure="Open it in another program and save it again.",
        ) from error
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        opaque = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 0
        if kind == JPEG or not (pixels[..., -1] == opaque).all():
            raise PictureRefused(
                "parts of it are transparent, or it is CMYK",
                cure="Save it without transparency, as grey or RGB.",
            )
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if colour and pixels.dtype.itemsize == 2:
        raise PictureRefused(
            "it is colour with 16 bits per channel, which no DICOM image class takes",
            cure="Save it with 8 bits per channel, or as 16-bit grey.",
        )
    if pixels.dtype not in (np.uint8, np.uint16) or not (colour or pixels.ndim == 2):
        raise PictureRefused(f"it holds values of {pixels.dtype} in {pixels.ndim} dimensions")
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


# ---------------------------------------------------------------------- the data set
def _data_set(pixels: np.ndarray, kind: str, person: Person, place: Place, now: datetime) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = UID(place.sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SpecificCharacterSet = "ISO_IR 192"
    found.SOPClassUID, found.SOPInstanceUID = SECONDARY_CAPTURE, place.sop_instance_uid
    found.StudyInstanceUID, found.SeriesInstanceUID = place.study_instance_uid, place.series_instance_uid
    found.PatientName, found.PatientID = person.patient_name.strip(), person.patient_id.strip()
    found.PatientBirthDate, found.PatientSex = person.patient_birth_date, person.patient_sex
    found.StudyDate = person.study_date or now.strftime("%Y%m%d")
    found.StudyTime = "" if person.study_date else now.strftime("%H%M%S")
    found.ContentDate, found.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    found.DateOfSecondaryCapture, found.TimeOfSecondaryCapture = found.ContentDate, found.ContentTime
    found.AccessionNumber = found.ReferringPhysicianName = found.StudyID = ""
    found.StudyDescription = person.study_description.strip()
    found.SeriesDescription = "Uploaded pictures"
    found.Modality, found.ConversionType = "OT", "WSD"
    found.SeriesNumber, found.InstanceNumber = 1, place.instance_number
    found.ImageType = ["DERIVED", "SECONDARY"]
    found.BurnedInAnnotation = "YES"  # not known; readers who hide such images shall not show this one
    _pixel_module(found, pixels)
    if kind == JPEG:
        found.LossyImageCompression, found.LossyImageCompressionMethod = "01", "ISO_10918_1"
    else:
        found.LossyImageCompression = "00"
    return found


def _pixel_module(found: FileDataset, pixels: np.ndarray) -> None:
    bits = 8 * pixels.dtype.itemsize
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    found.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    found.BitsAllocated = found.BitsStored = bits
    found.HighBit, found.PixelRepresentation = bits - 1, 0
    raw = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    found.add_new(0x7FE00010, "OW" if bits == 16 else "OB", raw + b"\0" * (len(raw) % 2))


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True
