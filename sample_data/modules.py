"""The DICOM modules that the made studies share: patient, study, series, equipment, plane, pixels, file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

IMPLEMENTATION_VERSION = "DICOMNN_SAMPLES"


def uid(name: str) -> str:
    """A UID under 2.25 that depends on ``name`` alone, so that the same study is made every time."""
    digest = bytearray(hashlib.sha256(f"dicomnn sample {name}".encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


@dataclass(frozen=True)
class Study:
    """What is the same in every instance of a study."""

    folder: str
    patient_name: str
    patient_id: str
    sex: str
    birth_date: str
    age: str
    date: str
    time: str
    accession_number: str
    description: str


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def sequence(*items: Dataset) -> DicomSequence:
    return DicomSequence(items)


def start(
    study: Study,
    sop_class: str,
    modality: str,
    series: int,
    instance: int,
    *,
    series_description: str,
    model_name: str,
) -> Dataset:
    """Patient, General Study, General Series, General Equipment, General Image and SOP Common."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.InstanceCreationDate, data.InstanceCreationTime = study.date, study.time
    data.SOPClassUID = sop_class
    data.SOPInstanceUID = uid(f"{study.folder} series {series} instance {instance}")
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = study.date
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = study.time
    data.AccessionNumber = study.accession_number
    data.Modality = modality
    data.Manufacturer = "Made-up Scanners"
    data.InstitutionName = "Phantom Hospital"
    data.ReferringPhysicianName = "Nobody^Refers"
    data.StudyDescription, data.SeriesDescription = study.description, series_description
    data.ManufacturerModelName = model_name
    data.PatientName, data.PatientID = study.patient_name, study.patient_id
    data.PatientBirthDate, data.PatientSex, data.PatientAge = study.birth_date, study.sex, study.age
    data.DeviceSerialNumber, data.SoftwareVersions = "0000", "1"
    data.StudyInstanceUID = uid(f"{study.folder} study")
    data.SeriesInstanceUID = uid(f"{study.folder} series {series}")
    data.StudyID, data.SeriesNumber = "1", series
    data.AcquisitionNumber, data.InstanceNumber = 1, instance
    return data


def plane(data: Dataset, size: int, spacing: float, z: float, thickness: float, study: Study) -> None:
    """Frame of Reference and Image Plane of an axial slice."""
    data.PatientPosition = "HFS"
    data.FrameOfReferenceUID = uid(f"{study.folder} frame of reference")
    data.PositionReferenceIndicator = ""
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = -(size - 1) / 2 * spacing
    data.ImagePositionPatient = [round(corner, 4), round(corner, 4), z]
    data.SliceLocation = z
    data.SliceThickness = thickness
    data.PixelSpacing = [spacing, spacing]


def pixels(
    data: Dataset,
    words: np.ndarray,
    *,
    bits_stored: int,
    signed: bool,
    photometric: str = "MONOCHROME2",
    big_endian: bool = False,
) -> None:
    """Image Pixel of single-sample images: ``words`` (rows, columns) or (frames, rows, columns), integers.

    Signed values with fewer than 16 bits are stored sign-extended.
    """
    low, high = (
        (-(1 << bits_stored - 1), (1 << bits_stored - 1) - 1) if signed else (0, (1 << bits_stored) - 1)
    )
    if words.min() < low or words.max() > high:
        raise ValueError(
            f"values {words.min()}..{words.max()} do not fit {bits_stored} bits, signed {signed}"
        )
    allocated = 8 if bits_stored <= 8 else 16
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
    data.Rows, data.Columns = words.shape[-2:]
    data.BitsAllocated, data.BitsStored, data.HighBit = allocated, bits_stored, bits_stored - 1
    data.PixelRepresentation = int(signed)
    kind = ("i" if signed else "u") + str(allocated // 8)
    raw = words.astype((">" if big_endian else "<") + kind).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"


def write(data: Dataset, path: Path, transfer_syntax: str = ExplicitVRLittleEndian) -> None:
    """A Part 10 file whose bytes do not depend on the time or on pydicom's own version string."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = uid("implementation")
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    path.parent.mkdir(parents=True, exist_ok=True)
    out = FileDataset(str(path), data, file_meta=meta, preamble=b"\0" * 128)
    dcmwrite(path, out, enforce_file_format=True)
