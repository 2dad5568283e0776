"""What a viewer page needs of a study: its facts, and frames as the values that are stored.

Windows, zoom and difference are the browser's work, so a frame crosses the wire once, with full precision.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomnn.archive import Instance, State
from dicomnn.codec.profile import CHANGED
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.mark import loss_words, marked
from dicomnn.errors import DicomnnError, FrameUndecodable, NotCoded
from dicomnn.flow.frames import Frames, Image
from dicomnn.flow.measure import unit_of
from dicomnn.flow.opening import Archive
from dicomnn.flow.study import figure_path, study_report
from dicomnn.report.promises import Group, groups
from dicomnn.report.study import InstanceRow, StudyReport, statement

PICTURES = ("original", "decoded", "difference")


@dataclass(frozen=True)
class Values:
    """A frame for drawing. kind: 'u8', 'u16', 'i16' (stored values, little endian) or 'rgb8'."""

    kind: str
    data: bytes
    rows: int
    columns: int


def view(archive: Archive, study: str) -> dict[str, Any]:
    """Plain data for the study's page. Raises InstanceNotFound."""
    report = study_report(archive, study, pictures=False)
    again = sum(instance.recode_by is not None for instance in archive.index.instances(study=study))
    return {
        "study": study, "patient_name": report.study.patient_name, "patient_id": report.study.patient_id,
        "statement": statement(report.totals), "pending": report.totals.waiting + again, "again": again,
        "totals": report.totals.to_json(),
        "series": [{"uid": series.series_instance_uid, "modality": series.modality,
                    "number": series.series_number, "description": series.series_description,
                    "instances": [_instance(row) for row in series.instances if row.state != "deleted"]}
                   for series in report.series
                   if any(row.state != "deleted" for row in series.instances)],
    }


def report_of(archive: Archive, study: str, *, pictures: bool = False) -> StudyReport:
    """See `study_report`."""
    return study_report(archive, study, pictures=pictures)


def promises(report: StudyReport) -> list[Group]:
    """What was promised and reached, by groups of images."""
    return groups(report)


def _instance(row: InstanceRow) -> dict[str, Any]:
    quality = row.quality.to_json() if row.quality is not None else None
    return {
        "uid": row.sop_instance_uid, "number": row.instance_number, "frames": max(1, row.frames or 1),
        "rows": row.rows, "columns": row.columns, "state": row.state, "exact": row.exact,
        "profile": row.profile, "effort": row.effort, "reason": row.reason, "reason_text": row.reason_text,
        "before": row.bytes_before, "after": row.bytes_after, "bits_per_pixel": row.bits_per_pixel,
        "seconds": row.seconds, "quality": quality, "digest": row.dataset_digest, "tiles": dict(row.tiles),
        "model": row.model_id, "class": row.sop_class_name, "bits_stored": row.bits_stored,
        "picture": bool(row.rows and row.columns), "note": row.note,
        "lossy": None if row.lossy is None else row.lossy.to_json(),
    }


# ---------------------------------------------------------------------- frames
def describe(frames: Frames, instance: Instance) -> dict[str, Any]:
    """What the viewer must know of an instance's pixels. Raises what `Frames.image` raises."""
    image = frames.image(instance)
    pixel = image.pixel
    facts = {name: getattr(pixel, name) for name in (
        "rescale_slope", "rescale_intercept", "window_center", "window_width", "pixel_padding_value",
        "bits_stored", "bits_allocated")}
    modality = str(instance.attributes.get("modality") or "")
    return facts | {
        "rows": pixel.rows, "columns": pixel.columns, "frames": image.frames, "modality": modality,
        "photometric": image.photometric_interpretation,
        "inverted": image.photometric_interpretation == "MONOCHROME1",
        "unit": unit_of({"rescale_slope": pixel.rescale_slope, "rescale_type": pixel.rescale_type,
                         "modality": modality}),
        "loss": loss_of(frames, instance),
        "figures": [{"frame": figure["frame"], "role": figure["role"],
                     "max_error": figure["max_error"], "amplification": figure["amplification"]}
                    for figure in kept_figures(frames.archive, instance)],
    }


def loss_of(frames: Frames, instance: Instance) -> str:
    """'lossy 8:1' or the like of what was compressed with loss, by whom ever; '' else."""
    return loss_words(frames.image(instance).pixel, instance.transfer_syntax_uid)


def values(frames: Frames, instance: Instance, number: int) -> Values:
    """Frame ``number``, counted from 1. Raises what `Frames.frame` raises."""
    raw, image = frames.native(instance, number)
    pixel = image.pixel
    rows, columns = pixel.rows or 0, pixel.columns or 0
    if (pixel.samples_per_pixel or 1) == 3:
        return Values("rgb8", _colour(raw, image, rows, columns), rows, columns)
    if pixel.bits_allocated not in (8, 16):
        raise FrameUndecodable(f"images of {pixel.bits_allocated} bits per value are not drawn here",
                               subject=instance.sop_instance_uid,
                               cure="Download it and open it in a viewer that can.")
    words = np.frombuffer(raw, f"<u{pixel.bits_allocated // 8}", rows * columns).reshape(rows, columns)
    kind = _format(pixel)
    stored = stored_values(words.astype(words.dtype.newbyteorder("="), copy=False), kind)
    name = "i16" if kind.signed else "u8" if kind.bits_allocated == 8 else "u16"
    data = stored.astype({"i16": "<i2", "u8": "u1", "u16": "<u2"}[name]).tobytes()
    return Values(name, data, rows, columns)


def _format(pixel: ImagePixel) -> SampleFormat:
    allocated = pixel.bits_allocated or 8
    stored = pixel.bits_stored or allocated
    high = stored - 1 if pixel.high_bit is None else pixel.high_bit
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        stored, high = allocated, allocated - 1
    return SampleFormat(allocated, stored, high, pixel.pixel_representation == 1)


def _colour(raw: bytes, image: Image, rows: int, columns: int) -> bytes:
    """(rows, columns, 3) RGB bytes."""
    if image.pixel.bits_allocated != 8 or len(raw) < 3 * rows * columns:
        raise FrameUndecodable("colours of this form are not drawn here",
                               cure="Download it and open it in a viewer that can.")
    samples = np.frombuffer(raw, np.uint8, 3 * rows * columns)
    picture = (samples.reshape(3, rows, columns).transpose(1, 2, 0) if image.planar_configuration == 1
               else samples.reshape(rows, columns, 3))
    if image.photometric_interpretation == "YBR_FULL":      # PS3.3 C.7.6.3.1.2
        y, cb, cr = (picture[..., place].astype(np.float32) for place in range(3))
        cb, cr = cb - 128, cr - 128
        picture = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)
        picture = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture).tobytes()


def plane(values_: Values) -> np.ndarray:
    """(rows, columns) of stored values, (rows, columns, 3) of colours; little endian."""
    shape = (values_.rows, values_.columns) + ((3,) if values_.kind == "rgb8" else ())
    dtype = {"u8": "u1", "rgb8": "u1", "u16": "<u2", "i16": "<i2"}[values_.kind]
    return np.frombuffer(values_.data, dtype).reshape(shape)


def exact_png(values_: Values) -> bytes:
    """A frame as PNG: stored values of 8 or 16 bits, signed ones shifted by 32768; colours as they are."""
    import imagecodecs

    pixels = plane(values_)
    if values_.kind == "i16":
        pixels = (pixels.astype(np.int32) + 32768).astype(np.uint16)
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(native), level=6))


# ---------------------------------------------------------------------- what was measured
def frame_measures(archive: Archive, instance: Instance) -> dict[str, Any]:
    """Bits per pixel of each frame of a coded object, and the errors of each where it is lossy."""
    if not instance.state.is_coded:
        return {"bits": [], "errors": {}}
    with archive.pin_current(instance.sop_instance_uid) as (_, path):
        try:
            with StoredObject(path) as stored:
                header = stored.header
                sums = stored.frame_bytes() * 8.0 / (header.rows * header.columns)
        except NotCoded:
            return {"bits": [], "errors": {}}
    return {"bits": [round(float(value), 4) for value in sums],
            "errors": instance.facts.get("frame_errors") or {}}


def kept_figures(archive: Archive, instance: Instance) -> list[dict[str, Any]]:
    """Pictures of a lossy object that were made while its original was there: worst and middle frame."""
    if instance.state is not State.CODED or instance.facts.get("exact") not in CHANGED:
        return []
    try:
        found = json.loads(figure_path(archive, instance).read_bytes())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def kept_picture(frames: Frames, instance: Instance, frame: int, which: str) -> bytes | None:
    """PNG of one of `PICTURES` of a frame, marked where it is the lossy one; None where it was not kept."""
    import imagecodecs

    for figure in kept_figures(frames.archive, instance):
        if figure.get("frame") == frame and which in PICTURES:
            picture = b64decode(figure[f"{which}_png"])
            if which != "decoded":
                return picture
            words = loss_words(frames.image(instance).pixel) or "lossy"
            return bytes(imagecodecs.png_encode(marked(imagecodecs.png_decode(picture), words)))
    return None


__all__ = ["DicomnnError", "Frames", "Values", "describe", "exact_png", "frame_measures", "kept_picture",
           "plane", "promises", "report_of", "values", "view"]
