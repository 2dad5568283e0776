"""Small trees of images in many formats, with patients and scanners that the tests choose."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

EXPLICIT = "1.2.840.10008.1.2.1"
HTJ2K = "1.2.840.10008.1.2.4.201"  # as long as JPEG XL's, which pydicom does not write
JPEG_LS, JPEG_2000, JPEG_XL = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.110"


def uid(text: str) -> str:
    return f"2.25.{int(hashlib.sha256(text.encode()).hexdigest()[:30], 16)}"


def texture(seed: int, rows: int = 64, columns: int = 56, noise: float = 4.0) -> np.ndarray:
    """Smooth structure and noise, uint16, values about 300 to 1700."""
    y, x = np.mgrid[0:rows, 0:columns]
    rough = np.random.default_rng(seed).normal(0, noise, x.shape)
    return (1000 + 400 * np.sin(x / 9 + seed) + 250 * np.cos(y / 7) + rough).astype("<u2")


def write(
    path: Path,
    words: np.ndarray,
    *,
    patient: str = "P1",
    manufacturer: str = "SIEMENS",
    model: str = "Sensation 16",
    kernel: str = "B30f",
    modality: str = "CT",
    series: str = "",
    syntax: str = EXPLICIT,
    encoded: bytes | None = None,
    **more: object,
) -> Path:
    """A DICOM file of ``words`` (rows, columns) or (frames, rows, columns); ``encoded`` is its one frame."""
    dataset = Dataset()
    name = str(path)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid(name)
    dataset.StudyInstanceUID = uid(f"study {patient} {model}")
    dataset.SeriesInstanceUID = uid(f"series {series or path.parent}")
    dataset.Modality, dataset.PatientID, dataset.PatientName = modality, patient, f"Secret^{patient}"
    dataset.Manufacturer, dataset.ManufacturerModelName = manufacturer, model
    dataset.ConvolutionKernel = kernel
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = words.shape[-2:]
    if words.ndim == 3:
        dataset.NumberOfFrames = len(words)
    bits = 8 * words.dtype.itemsize
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(HTJ2K if syntax == JPEG_XL else syntax)
    dataset.PixelData = words.tobytes() if encoded is None else encapsulate([encoded])
    dataset["PixelData"].VR = "OB" if encoded is not None or bits == 8 else "OW"
    dataset["PixelData"].is_undefined_length = encoded is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    if syntax == JPEG_XL:
        path.write_bytes(path.read_bytes().replace(HTJ2K.encode(), JPEG_XL.encode(), 1))
    return path


def scanners(root: Path, count: int = 5, patients: int = 2, slices: int = 2) -> Path:
    """``count`` sources, each another scanner with ``patients`` patients, whose slices are 2 mm apart; two in
    three CT, the others MR.
    """
    for n in range(count):
        for p in range(patients):
            for s in range(slices):
                write(
                    root / f"source{n}" / f"p{p}" / f"{s}.dcm",
                    texture(100 * n + 10 * p + s, noise=3 + n),
                    patient=f"patient-{n}-{p}",
                    model=f"Scanner {n}",
                    modality="MR" if n % 3 == 2 else "CT",
                    ImagePositionPatient=[0, 0, 2 * s],
                    ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                )
    return root


def same_image_in_many_formats(root: Path) -> int:
    """One image as native, encapsulated, coded, NIfTI, NRRD, MetaImage, PNG and TIFF files; how many."""
    import SimpleITK

    from dicomnn.codec.profile import Profile
    from dicomnn.coded.seal import seal
    from dicomnn.shelf import default_shelf

    words = texture(1)
    native = write(root / "a.dcm", words)
    write(root / "b.dcm", words, syntax=JPEG_LS, encoded=imagecodecs.jpegls_encode(words))
    write(
        root / "c.dcm",
        words,
        syntax=JPEG_2000,
        encoded=imagecodecs.jpeg2k_encode(words, codecformat="j2k", level=0, reversible=True),
    )
    write(root / "d.dcm", words, syntax=JPEG_XL, encoded=imagecodecs.jpegxl_encode(words, lossless=True))
    shelf = default_shelf()
    seal(native, root / "e.dcm", profile=Profile("lossless"), model=shelf.newest(), models=shelf.get)
    volume = SimpleITK.GetImageFromArray(words[None].astype(np.int16) - 1024)
    for name in ("f.nii.gz", "g.nrrd", "h.mha"):
        SimpleITK.WriteImage(volume, str(root / name))
    whole = SimpleITK.GetImageFromArray(words[None].astype(np.float32))
    SimpleITK.WriteImage(whole, str(root / "i.nii"))
    (root / "j.png").write_bytes(imagecodecs.png_encode(words))
    (root / "k.tif").write_bytes(imagecodecs.tiff_encode(words))
    return 11


def bad_files(root: Path) -> dict[str, str]:
    """Files that must be left out: name -> reason."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 255, (64, 64)).astype("<u2")
    write(root / "noise.dcm", noise)
    mask = np.zeros((64, 64), "<u2")
    mask[20:30, 20:30] = 900
    write(root / "mask.dcm", mask)
    write(root / "ramp.dcm", np.arange(64 * 64, dtype="<u2").reshape(64, 64))
    write(root / "small.dcm", texture(2, 12, 40))
    write(root / "lossy.dcm", texture(3), LossyImageCompression="01")
    colour = np.zeros((40, 40, 3), "u1")
    colour[..., 0] = rng.integers(0, 99, (40, 40))
    (root / "colour.png").write_bytes(imagecodecs.png_encode(colour))
    write(root / "cut.dcm", texture(4))
    (root / "cut.dcm").write_bytes((root / "cut.dcm").read_bytes()[:-999])
    (root / "broken.nii").write_bytes(b"no volume")
    (root / "notes.txt").write_text("patients of March")
    (root / "list.json").write_text(json.dumps({"a": 1}))
    return {
        "noise.dcm": "noise-like",
        "mask.dcm": "nearly-constant",
        "ramp.dcm": "ramp",
        "small.dcm": "too-small",
        "lossy.dcm": "lossy",
        "colour.png": "colour",
        "cut.dcm": "unreadable",
        "broken.nii": "unreadable",
        "notes.txt": "not-an-image",
        "list.json": "not-an-image",
    }
