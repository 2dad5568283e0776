"""Original -> coded object, proven: written, read back from the file, decoded, compared (``proving.py``)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from dicomnn.codec.model import Model
from dicomnn.codec.payload import Payload
from dicomnn.codec.profile import CHANGED, Profile
from dicomnn.coded.bounded import derived
from dicomnn.coded.lossy import LossyRule, choose, keeps
from dicomnn.coded.lossy_record import REFUSED, LossyRecord
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import Original, dataset_digest, opened
from dicomnn.coded.proving import Coder, Keeps, Meter, Progress, encoded, manifest_of, written
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.stored import Models
from dicomnn.dicom.attributes import ImagePixel, read_attributes, read_image_pixel
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
    lossy: LossyRule | None = None,
) -> Sealed:
    """Write the coded form of the DICOM file `source` to `target` and prove it, or say why it is kept.

    `target` is written in place, fsynced, and removed again when anything fails; after 'kept' it was not
    touched. Give a temporary name and rename it. `progress(done, total)` counts bytes of pixels, encoded
    and verified. Memory: a few frames and the payload. Without a `model` the other contenders compete alone.
    `lossy`: what a lossy profile needs to be applied; `models` must know its model too.

    Raises NotDicom, VerificationFailed, and what the codec raises (CodecError, UnknownModel, UsageError).
    """
    started = time.monotonic()
    coder = Coder(profile, model, models, effort, threads)
    rule = lossy or LossyRule()
    with Mapping(source) as mapping:
        try:
            sealed = _seal(mapping, target, coder, progress, rule)
        except (DataSetMalformed, FrameUndecodable) as error:
            sealed = _kept(mapping, profile, reason_of(error), str(error), rule=rule)
        return replace(sealed, seconds=time.monotonic() - started)


def _kept(
    mapping: Mapping,
    profile: Profile,
    reason: str,
    detail: str = "",
    note: str = "",
    *,
    rule: LossyRule | None = None,
    record: LossyRecord | None = None,
) -> Sealed:
    if record is None and rule is not None and profile.kind == "lossy":
        record = LossyRecord.of(profile, None, rule.asked_by)
        record = record.not_applied(REFUSED, "keep", reason, detail or REASONS[reason])
    size = len(mapping)
    return Sealed(
        "kept", reason, detail or REASONS[reason], note, str(profile), size, size, lossy=record
    )


def _seal(
    mapping: Mapping, target: Path, coder: Coder, progress: Progress | None, rule: LossyRule
) -> Sealed:
    buffer, wanted = mapping.buffer, coder.profile
    layout = scan(buffer)
    image, attributes = read_image_pixel(buffer, layout), read_attributes(buffer, layout)
    verdict = judge(
        layout,
        image,
        attributes,
        profile_kind=wanted.kind,
        promise=(wanted.figure, wanted.value),
        caps=rule.caps,
    )
    if not verdict.eligible or image is None:
        return _kept(mapping, wanted, verdict.reason or "no-pixel-data", verdict.sentence, rule=rule)
    record = LossyRecord.of(wanted, verdict.cap, rule.asked_by) if wanted.kind == "lossy" else None
    with opened(mapping, layout, image, folder=target.parent) as original:
        if verdict.profile_kind == wanted.kind:
            try:
                if record is None:
                    return _code(mapping, layout, original, target, coder, progress)
                return _promised(mapping, layout, image, original, target, coder, progress, rule, record)
            except DataSetMalformed as error:
                if wanted.kind not in CHANGED:
                    raise
                reason, why = "lossy-forbidden", str(error)
        else:
            reason, why = verdict.note or "lossy-forbidden", verdict.sentence
        if record is not None:
            record = record.not_applied(REFUSED, "lossless", reason, why)
        return _code(
            mapping,
            layout,
            original,
            target,
            replace(coder, profile=Profile("lossless")),
            progress,
            note=_note(wanted, "lossless", why),
            record=record,
        )


def _note(wanted: Profile, applied: str, why: str) -> str:
    return f"{wanted} was asked for, {applied} was applied: {why}"


def _promised(
    mapping: Mapping,
    layout: Layout,
    image: ImagePixel,
    original: Original,
    target: Path,
    coder: Coder,
    progress: Progress | None,
    rule: LossyRule,
    record: LossyRecord,
) -> Sealed:
    """With a lossy profile, or with what comes instead: first without loss, to know what loss would gain."""
    meter = Meter(progress, original.shape.total_bytes, before=1)
    started = time.monotonic()

    def done(frames: int, total: int) -> None:
        if meter.advance(frames / total):
            original.frames_mapping.drop()

    def encode(profile: Profile) -> Payload:
        return encoded(original, replace(coder, profile=profile), meter, before=1)

    chosen = choose(
        original,
        layout,
        image,
        coder.profile,
        rule,
        record,
        lossless=encode(Profile("lossless")),
        encode=encode,
        models=coder.models,
        threads=coder.threads,
        folder=target.parent,
        progress=done,
    )
    note = ""
    if chosen.profile != coder.profile:
        note = _note(coder.profile, str(chosen.profile), chosen.record.reason_text)
    return _written(
        mapping,
        layout,
        original,
        target,
        replace(coder, profile=chosen.profile),
        chosen.payload,
        meter,
        time.monotonic() - started,
        note=note,
        record=chosen.record,
        keeps=keeps(chosen) if chosen.profile.kind == "lossy" else None,
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
    record: LossyRecord | None = None,
) -> Sealed:
    meter = Meter(progress, original.shape.total_bytes)
    started = time.monotonic()
    payload = encoded(original, coder, meter)
    seconds = time.monotonic() - started
    return _written(
        mapping, layout, original, target, coder, payload, meter, seconds, note=note, record=record
    )


def _written(
    mapping: Mapping,
    layout: Layout,
    original: Original,
    target: Path,
    coder: Coder,
    payload: Payload,
    meter: Meter,
    encode_seconds: float,
    *,
    note: str,
    record: LossyRecord | None,
    keeps: Keeps | None = None,
) -> Sealed:
    received = hashlib.sha256()
    for piece in mapping.chunks(layout.dataset_start, len(mapping)):
        received.update(piece)
    if coder.profile.kind in CHANGED:
        original = derived(
            mapping, layout, original, payload, coder.profile, coder.models, threads=coder.threads
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
            "lossy": None if record is None else record.to_json(),
        },
    )
    if manifest.bytes_after >= len(mapping):
        if record is not None:
            record = record.with_(applied="keep")
        return _kept(mapping, coder.profile, "not-smaller", note=note, record=record)
    sealed = written(original, payload, manifest, target, coder, meter, encode_seconds, keeps)
    return replace(sealed, lossy=record)
