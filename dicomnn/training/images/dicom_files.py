"""DICOM files for training: native, losslessly encapsulated, or coded by dicomnn; single and multi-frame."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np

from dicomnn.codec.decode import decode_frame as decode_coded_frame
from dicomnn.codec.sample import SampleFormat
from dicomnn.coded.bridge import sample_format
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import opened
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.attributes import Attributes, ImagePixel, read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import REASONS, judge
from dicomnn.dicom.encapsulated import frame_spans
from dicomnn.dicom.frame_decoders import decode_frame
from dicomnn.dicom.scan import Layout, scan
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import NotDicom
from dicomnn.shelf import Shelf
from dicomnn.training.images.names import device_of, digest_of, group_of, patient_of
from dicomnn.training.images.records import ImageFile, NotUsable
from dicomnn.training.images.stacks import SlicePlace, slice_place

_WHY = {
    "already-lossy": "lossy", "colour": "colour", "deflated-dataset": "deflated", "one-bit": "bits",
    "bits-32": "bits", "packed-12": "bits", "float-pixels": "bits", "no-pixel-data": "not-an-image",
}  # fmt: skip
"""Reason code of `judge` -> code of LEFT_OUT; all others are 'unreadable'."""


def facts(path: Path, source: str, place: str) -> ImageFile:
    """What the header says. Raises NotUsable, DicomnnError."""
    with Mapping(path) as mapping:
        try:
            layout = scan(mapping.buffer)
        except NotDicom as problem:
            raise NotUsable("not-an-image") from problem
        attributes = read_attributes(mapping.buffer, layout)
        image = read_image_pixel(mapping.buffer, layout)
        if image is not None and image.lossy_image_compression == "01":
            raise NotUsable("lossy", "Lossy Image Compression is 01")
        lies = slice_place(mapping.buffer, layout)
        if layout.block_creators:
            return _coded(path, source, place, attributes, lies)
        verdict = judge(layout, image, attributes, profile_kind="lossless")
        if not verdict.eligible or image is None:
            code = verdict.reason or "no-pixel-data"
            raise NotUsable(_WHY.get(code, "unreadable"), verdict.detail or REASONS[code])
        if image.photometric_interpretation == "PALETTE COLOR":
            raise NotUsable("colour", "indices into a palette")
        shape = (verdict.frames, image.rows or 0, image.columns or 0)
        return _file(path, source, place, "dicom", attributes, shape, sample_format(image), lies)


def _coded(path: Path, source: str, place: str, attributes: Attributes, lies: SlicePlace) -> ImageFile:
    with StoredObject(path) as stored:
        header = stored.header
        if stored.manifest.changed:
            raise NotUsable("lossy", "coded with a bound")
        shape = (header.frames, header.rows, header.columns)
        return _file(path, source, place, "coded", attributes, shape, header.sample_format, lies)


def _file(
    path: Path,
    source: str,
    place: str,
    kind: str,
    a: Attributes,
    shape: tuple[int, int, int],
    words: SampleFormat,
    lies: SlicePlace,
) -> ImageFile:
    stat = path.stat()
    manufacturer, model = a.manufacturer or "", a.manufacturer_model_name or ""
    return ImageFile(
        path=str(path),
        size=stat.st_size,
        changed=stat.st_mtime_ns,
        kind=kind,
        source=source,
        modality=a.modality or "",
        group=group_of(a.modality or ""),
        manufacturer=manufacturer,
        model=model,
        kernel=(a.convolution_kernel or "").split("\\")[0],
        device=device_of(manufacturer, model, source),
        patient=patient_of(
            a.patient_id or "", a.issuer_of_patient_id or "", a.patient_name or "", a.patient_birth_date or ""
        ),
        study=digest_of(a.study_instance_uid or ""),
        series=digest_of(a.series_instance_uid or str(PurePath(place).parent)),
        rows=shape[1],
        columns=shape[2],
        frames=shape[0],
        bits=words.bits_stored,
        signed=words.signed,
        instance=a.instance_number,
        **lies._asdict(),
    )


def frame(path: Path, number: int, coded: bool, shelf: Shelf) -> tuple[np.ndarray, SampleFormat]:
    """Raw words of one frame; only that frame is decoded. Raises DicomnnError."""
    if coded:
        with StoredObject(path) as stored:
            return decode_coded_frame(stored.payload, shelf.get, number), stored.header.sample_format
    with Mapping(path) as mapping:
        layout = scan(mapping.buffer)
        image = read_image_pixel(mapping.buffer, layout)
        if image is None:
            raise NotUsable("not-an-image")
        if syntax(layout.transfer_syntax).encapsulated:
            return _encapsulated(mapping, layout, image, number), sample_format(image)
        with opened(mapping, layout, image, folder=None) as original:
            return np.array(original.frames[number]), original.sample_format


def _encapsulated(mapping: Mapping, layout: Layout, image: ImagePixel, number: int) -> np.ndarray:
    spans = frame_spans(mapping.buffer, layout, image.number_of_frames or 1)[number]
    data = b"".join(mapping.buffer[start:end] for start, end in spans)
    return decode_frame(data, syntax(layout.transfer_syntax).decoder or "", image)
