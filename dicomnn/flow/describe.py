"""What one file is, as plain data, without decoding a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.codec.tiles import METHODS
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.attributes import Attributes, ImagePixel, read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import judge
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import DicomnnError, NotCoded, UsageError

SCHEMA = "dicomnn.info/1"


def describe(path: Path) -> dict[str, Any]:
    """The object of ``dicomnn info --json``: keys are described there and only ever added.

    Raises UsageError (no such file), NotDicom, DataSetMalformed and, for a damaged coded object, what
    ``StoredObject`` raises.
    """
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'")
    try:
        with Mapping(path) as mapping:
            layout = scan(mapping.buffer)
            attributes = read_attributes(mapping.buffer, layout)
            image = read_image_pixel(mapping.buffer, layout)
            facts = _common(path, len(mapping), layout.transfer_syntax, attributes, image)
            verdict = judge(layout, image, attributes, profile_kind="lossless")
    except DicomnnError as error:
        raise error.about(str(path)) from error.__cause__
    try:
        with StoredObject(path) as stored:
            return facts | _coded(stored)
    except NotCoded:
        return facts | {
            "coded": False,
            "eligible": verdict.eligible,
            "reason": verdict.reason,
            "reason_text": verdict.sentence or None,
        }


def _common(
    path: Path, size: int, transfer_syntax: str, attributes: Attributes, image: ImagePixel | None
) -> dict[str, Any]:
    shown = None
    if image is not None:
        shown = {
            "frames": image.number_of_frames or 1,
            "rows": image.rows,
            "columns": image.columns,
            "bits_allocated": image.bits_allocated,
            "bits_stored": image.bits_stored,
            "signed": image.pixel_representation == 1,
            "photometric_interpretation": image.photometric_interpretation,
        }
    return {
        "schema": SCHEMA,
        "path": str(path),
        "bytes": size,
        "coded": True,
        "sop_class_uid": attributes.sop_class_uid,
        "sop_instance_uid": attributes.sop_instance_uid,
        "modality": attributes.modality,
        "transfer_syntax": transfer_syntax,
        "transfer_syntax_name": syntax(transfer_syntax).name,
        "image": shown,
    }


def _coded(stored: StoredObject) -> dict[str, Any]:
    manifest, header = stored.manifest, stored.header
    counts = np.bincount(header.tile_methods, minlength=len(METHODS))
    pixels = header.frames * header.rows * header.columns
    return {
        "profile": manifest.profile,
        "effort": manifest.effort,
        "model_id": manifest.model_id,
        "exact": manifest.exact,
        "original_transfer_syntax": manifest.original_transfer_syntax,
        "original_transfer_syntax_name": syntax(manifest.original_transfer_syntax).name,
        "bytes_original": manifest.bytes_before,
        "payload_bytes": manifest.payload_length,
        "ratio": round(manifest.bytes_before / max(1, len(stored.mapping)), 4),
        "bits_per_pixel": round(8 * manifest.payload_length / pixels, 4),
        "tiles": {name: int(count) for name, count in zip(METHODS, counts, strict=True)},
        "pixel_digest": manifest.pixel_digest,
        "dataset_digest": manifest.dataset_digest,
        "original_dataset_digest": manifest.original_dataset_digest,
        "time": manifest.time,
        "library_version": manifest.library_version,
        "note": manifest.note,
        "lossy": None if manifest.lossy is None else dict(manifest.lossy),
    }
