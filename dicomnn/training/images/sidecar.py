"""What is known of an image whose format has no DICOM header: the JSON file beside it, and its path.

Converters from DICOM write such files (dcm2niix; the Brain Imaging Data Structure asks for them), with
DICOM's keywords as keys.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomnn.training.images.names import digest_of, patient_of, words_of

_DOUBLE = (".nii.gz",)
_LARGEST = 4 << 20
_WORDS = {
    "ct": "CT", "cbct": "CT", "mr": "MR", "mri": "MR", "t1w": "MR", "t2w": "MR", "flair": "MR", "dwi": "MR",
    "bold": "MR", "cr": "CR", "dx": "DX", "mg": "MG", "xa": "XA", "rf": "RF", "xray": "DX", "cxr": "DX",
    "pet": "PT", "us": "US",
}  # fmt: skip
"""Word in a path -> modality."""


@dataclass(frozen=True)
class Known:
    """Empty where nothing is known; ``patient`` is a digest."""

    modality: str
    manufacturer: str
    model: str
    kernel: str
    patient: str
    series: str


def sidecar(path: Path) -> Known:
    """From ``<name>.json`` beside the file, else from the path: a folder or word 'ct', 'mr', 'dx' ... names
    the modality, 'sub-...' (as in BIDS) the patient. An unreadable sidecar counts as none.
    """
    told = _read(path)
    modality = _text(told, "Modality") or _from_path(path)
    subject = next((part for part in reversed(path.parts) if part.lower().startswith("sub-")), "")
    patient = patient_of(
        _text(told, "PatientID"), "", _text(told, "PatientName"), _text(told, "PatientBirthDate")
    )
    if not patient and subject:
        patient = digest_of("subject", subject.split("_")[0].lower())
    return Known(
        modality=modality,
        manufacturer=_text(told, "Manufacturer"),
        model=_text(told, "ManufacturersModelName") or _text(told, "ManufacturerModelName"),
        kernel=_text(told, "ConvolutionKernel"),
        patient=patient,
        series=_text(told, "SeriesInstanceUID"),
    )


def _read(path: Path) -> dict[str, Any]:
    name = path.name
    stem = next((name[: -len(end)] for end in _DOUBLE if name.lower().endswith(end)), path.stem)
    beside = path.with_name(stem + ".json")
    try:
        if beside.stat().st_size > _LARGEST:
            return {}
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(told: dict[str, Any], key: str) -> str:
    value = told.get(key, "")
    return str(value) if isinstance(value, (str, int, float)) else ""


def _from_path(path: Path) -> str:
    for part in reversed(path.parts[-4:]):
        for word in words_of(part):
            if word in _WORDS:
                return _WORDS[word]
    return ""
