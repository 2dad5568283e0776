"""Small DICOM files made on the spot, with every form of Pixel Data that a native object can have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnn.codec.profile import Profile
from dicomnn.coded.seal import Sealed, seal
from dicomnn.errors import UnknownModel

CT = "1.2.840.10008.5.1.4.1.1.2"


def smooth_image(
    frames: int = 1, rows: int = 64, columns: int = 48, *, bits: int = 12, seed: int = 1
) -> np.ndarray:
    """(frames, rows, columns) uint16 of a smooth object with a little noise: any codec makes it smaller."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    top = (1 << bits) - 1
    image = [
        top * (0.4 + 0.3 * np.sin((x + 3 * f) / 9.0) * np.cos(y / 11.0))
        + random.normal(0, top / 800, x.shape)
        for f in range(frames)
    ]
    return np.clip(np.rint(image), 0, top).astype(np.uint16)


def make_file(
    path: Path,
    words: np.ndarray,
    *,
    syntax: str = ExplicitVRLittleEndian,
    vr: str = "OW",
    bits_stored: int = 12,
    signed: bool = False,
    extra: bytes = b"",
    changes: dict[str, Any] | None = None,
    tail: Callable[[Dataset], None] | None = None,
    sop_class: str = CT,
    modality: str = "CT",
) -> Path:
    """A Part 10 file whose Pixel Data are the raw `words` (frames, rows, columns), then `extra` bytes."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.10.1.1"
    dataset.Modality = modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.PatientName, dataset.PatientID = "Müller^Jörg", "P1"
    dataset.StudyDate = "20250102"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    if words.shape[0] > 1:
        dataset.NumberOfFrames = words.shape[0]
    dataset.Rows, dataset.Columns = words.shape[1:]
    dataset.BitsAllocated = words.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits_stored, bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    for keyword, value in (changes or {}).items():
        setattr(dataset, keyword, value)
    uid = pydicom.uid.UID(syntax)
    raw = words.astype(words.dtype.newbyteorder("<")).tobytes() + extra
    raw += b"\0" * (len(raw) % 2)
    if not uid.is_little_endian and vr == "OW":
        raw = np.frombuffer(raw, "<u2").byteswap().tobytes()
    dataset.add_new(0x7FE00010, vr, raw)
    if tail is not None:
        tail(dataset)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationClassUID = "1.2.826.0.1.3680043.10.2"
    dataset.save_as(
        path, enforce_file_format=True, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian
    )
    return path


def no_models(model_id: str) -> Any:
    raise UnknownModel(f"The model {model_id!r} is not on the shelf.")


def seal_it(source: Path, target: Path | None = None, *, profile: str = "lossless", **options: Any) -> Sealed:
    """`source` sealed without a learned model beside it, as <name>.coded."""
    return seal(
        source,
        target or source.with_suffix(".coded"),
        profile=Profile.parse(profile),
        model=None,
        models=no_models,
        **options,
    )


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


class Kit:
    """What the tests use; importlib import mode lets no test module import another."""

    smooth_image = staticmethod(smooth_image)
    make_file = staticmethod(make_file)
    seal = staticmethod(seal_it)
    no_models = staticmethod(no_models)
    sha256 = staticmethod(sha256)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """A 12 bit image of 64 x 48 pixels, Explicit VR Little Endian."""
    return make_file(tmp_path / "ct.dcm", smooth_image())


@pytest.fixture
def coded(ct: Path) -> Path:
    """`ct`, coded."""
    assert seal_it(ct).kind == "coded"
    return ct.with_suffix(".coded")
