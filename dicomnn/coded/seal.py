"""Original -> coded object, proven: written, read back from the file, decoded, compared (``proving.py``)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.coded.bounded import derived
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import Original, dataset_digest, opened
from dicomnn.coded.proving import Coder, Meter, Progress, encoded, manifest_of, written
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.stored import Models
from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import REASONS, judge, reason_of
from dicomnn.dicom.scan import Layout, scan
from dicomnn.errors import DataSetMalformed, FrameUndecodable

UNKNOWN_DIGEST = "0" * 64


def seal(
    source: Path,
    target: Path,
    *,
    profile: Profile,
    model: Model | None,
    models: Models,
    effort: str = "default",
    threads: int = 1,
    progress: Progress | None = None,
) -> Sealed:
    """Write the coded form of the DICOM file `source` to `target` and prove it, or say why it is kept.

    `target` is written in place, fsynced, and removed again when anything fails; after 'kept' it was not
    touched. Give a temporary name and rename it. `progress(done, total)` counts bytes of pixels, encoded
    and verified. Memory: a few frames and the payload. Without a `model` the other contenders compete alone.

    Raises NotDicom, VerificationFailed, and what the codec raises (CodecError, UnknownModel, UsageError).
    """
    started = time.monotonic()
    coder = Coder(profile, model, models, effort, threads)
    with Mapping(source) as mapping:
        try:
            sealed = _seal(mapping, target, coder, progress)
        except (DataSetMalformed, FrameUndecodable) as error:
            sealed = _kept(mapping, profile, reason_of(error), str(error))
        return replace(sealed, seconds=time.monotonic() - started)


def _kept(mapping: Mapping, profile: Profile, reason: str, detail: str = "", note: str = "") -> Sealed:
    return Sealed("kept", reason, detail or REASONS[reason], note, str(profile), len(mapping), len(mapping))


def _seal(mapping: Mapping, target: Path, coder: Coder, progress: Progress | None) -> Sealed:
    buffer, wanted = mapping.buffer, coder.profile
    layout = scan(buffer)
    image, attributes = read_image_pixel(buffer, layout), read_attributes(buffer, layout)
    verdict = judge(layout, image, attributes, profile_kind=wanted.kind)
    if not verdict.eligible or image is None:
        return _kept(mapping, wanted, verdict.reason or "no-pixel-data", verdict.sentence)
    with opened(mapping, layout, image, folder=target.parent) as original:
        if verdict.profile_kind == wanted.kind:
            try:
                return _code(mapping, layout, original, target, coder, progress)
            except DataSetMalformed as error:
                if wanted.kind != "bounded":
                    raise
                why = str(error)
        else:
            why = verdict.sentence
        lossless = replace(coder, profile=Profile("lossless"))
        return _code(
            mapping,
            layout,
            original,
            target,
            lossless,
            progress,
            note=f"{wanted} was asked for, lossless was applied: {why}",
        )


def _code(
    mapping: Mapping,
    layout: Layout,
    original: Original,
    target: Path,
    coder: Coder,
    progress: Progress | None,
    *,
    note: str = "",
) -> Sealed:
    received = hashlib.sha256()
    for piece in mapping.chunks(layout.dataset_start, len(mapping)):
        received.update(piece)
    meter = Meter(progress, original.shape.total_bytes)
    started = time.monotonic()
    payload = encoded(original, coder, meter)
    encode_seconds = time.monotonic() - started
    if coder.profile.kind == "bounded":
        original = derived(
            mapping, layout, original, payload, coder.profile.bound, coder.models, threads=coder.threads
        )
        expected = UNKNOWN_DIGEST
    elif original.exact == "data-set":
        expected = received.hexdigest()
    else:
        expected = dataset_digest(original, original.each_frame())
    manifest = manifest_of(
        original,
        payload,
        coder,
        {
            "bytes_before": len(mapping),
            "dataset_digest": expected,
            "note": note,
            "original_dataset_digest": received.hexdigest(),
            "original_sop_instance_uid": layout.sop_instance_uid or "",
        },
    )
    if manifest.bytes_after >= len(mapping):
        return _kept(mapping, coder.profile, "not-smaller", note=note)
    return written(original, payload, manifest, target, coder, meter, encode_seconds)
