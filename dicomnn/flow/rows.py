"""Rows and pictures of a report, from files: coded objects and any other DICOM file.

What a file says about itself (image, manifest, payload header) is read without decoding a pixel; only
the few frames that are shown are decoded. Used for a folder of files and for an archive's objects alike.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import UID

from dicomnn.codec.sample import stored_values
from dicomnn.codec.tiles import METHODS
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.restore import frame
from dicomnn.coded.stored import Models, StoredObject
from dicomnn.dicom.attributes import Attributes, ImagePixel, read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import REASONS, judge
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomnnError, NotCoded
from dicomnn.flow.measure import sample, unit_of
from dicomnn.report.figures import Choice, FrameSample
from dicomnn.report.quality import Quality, identical, within
from dicomnn.report.study import InstanceRow

NOT_CODED = "not-coded"
NOT_CODED_TEXT = "An ordinary DICOM file: it has not been coded, though it could be."


@dataclass(frozen=True)
class FileRow:
    """One file's row, the study attributes it carries, and what is needed to show its pixels."""

    study: dict[str, str]
    row: InstanceRow
    image: dict[str, Any]
    """As ``measure.image_facts`` gives it; empty where there is no image."""


def file_row(path: Path) -> FileRow:
    """Read one DICOM file, coded or not. Raises NotDicom, DataSetMalformed and what StoredObject raises."""
    try:
        with Mapping(path) as mapping:
            layout = scan(mapping.buffer)
            attributes = read_attributes(mapping.buffer, layout)
            image = read_image_pixel(mapping.buffer, layout)
            verdict = judge(layout, image, attributes, profile_kind="lossless")
            size = len(mapping)
    except DicomnnError as error:
        raise error.about(str(path)) from error.__cause__
    shown = {} if image is None else asdict(image) | {"modality": attributes.modality}
    facts = _common(attributes, image) | {"transfer_syntax": layout.transfer_syntax, "bytes_before": size,
                                          "bytes_after": size}
    try:
        with StoredObject(path) as stored:
            facts |= _coded(stored, shown)
    except NotCoded:
        reason = verdict.reason or NOT_CODED
        facts |= {"state": "kept", "reason": reason, "reason_text": REASONS.get(reason, NOT_CODED_TEXT)}
    return FileRow(study_facts(attributes), InstanceRow.from_facts(facts), shown)


def study_facts(attributes: Attributes) -> dict[str, str]:
    """The report's study attributes as one instance has them."""
    names = ("study_instance_uid", "patient_name", "patient_id", "patient_birth_date", "patient_sex",
             "study_date", "study_time", "study_description", "accession_number")
    return {name: getattr(attributes, name) or "" for name in names}


def _common(attributes: Attributes, image: ImagePixel | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        name: getattr(attributes, name) or "" for name in (
            "sop_instance_uid", "series_instance_uid", "sop_class_uid", "modality", "series_description")}
    facts |= {"series_number": attributes.series_number, "instance_number": attributes.instance_number,
              "sop_class_name": UID(attributes.sop_class_uid or "").name}
    if image is not None:
        facts |= {"rows": image.rows, "columns": image.columns, "frames": max(1, image.number_of_frames or 1),
                  "bits_allocated": image.bits_allocated, "bits_stored": image.bits_stored,
                  "signed": image.pixel_representation == 1,
                  "photometric_interpretation": image.photometric_interpretation or ""}
    return facts


def _coded(stored: StoredObject, image: dict[str, Any]) -> dict[str, Any]:
    manifest, header = stored.manifest, stored.header
    counts = np.bincount(header.tile_methods, minlength=len(METHODS))
    unit = unit_of(image)
    bits = header.sample_format.bits_stored
    slope = image.get("rescale_slope")
    quality: Quality | None = identical(bits, unit)
    if manifest.exact == "bounded":
        quality = within(header.profile.bound, bits, slope, unit)
    elif manifest.changed:
        quality = None      # of a lossy object without its original only `lossy` is known
    return {
        "state": "coded", "bytes_before": manifest.bytes_before, "profile": manifest.profile,
        "effort": manifest.effort, "model_id": manifest.model_id, "exact": manifest.exact,
        "payload_bytes": manifest.payload_length, "coded_at": manifest.time, "note": manifest.note,
        "tiles": {name: int(count) for name, count in zip(METHODS, counts, strict=True) if count},
        "transfer_syntax": manifest.original_transfer_syntax, "bits_stored": bits,
        "frames": header.frames, "rows": header.rows, "columns": header.columns,
        "dataset_digest": manifest.original_dataset_digest, "quality": quality,
        "lossy": manifest.lossy}


def decoded_sample(path: Path, found: FileRow, choice: Choice, models: Models) -> FrameSample:
    """The chosen frame of an exactly coded object: what comes back, which by digest is the original.

    Raises NotCoded and what decoding raises.
    """
    with StoredObject(path) as stored:
        sample_format = stored.header.sample_format
    values = stored_values(frame(path, choice.frame - 1, models), sample_format)
    return sample(found.image, values, series=choice.series_instance_uid, uid=choice.sop_instance_uid,
                  frame=choice.frame, role=choice.role, title=picture_title(found.row))


def picture_title(row: InstanceRow) -> str:
    """'image 4', or '' for an instance without a number; the page adds the series."""
    return "" if row.instance_number is None else f"image {row.instance_number}"
