"""Original -> coded object, proven: written, read back from the file, decoded, compared.

The proof uses what any later reader will use: the file is opened anew, its private block is found, the
payload is decoded by the normal decoder, every frame is compared with the original's, and the digest of
the whole restored data set must be the one that was taken from the original before. Until then nobody
calls it coded.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dicomnn.codec.decode import Header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.payload import Payload, parse
from dicomnn.codec.profile import Profile
from dicomnn.coded.bounded import Distortion, derived
from dicomnn.coded.manifest import FORMAT_VERSION, Manifest
from dicomnn.coded.mapping import CHUNK, Mapping
from dicomnn.coded.original import DatasetDigest, Original, dataset_digest, opened
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.stored import Models, StoredObject
from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import REASONS, judge, reason_of
from dicomnn.dicom.scan import Layout, scan
from dicomnn.dicom.splice import private_block
from dicomnn.errors import (
    CodedObjectError,
    DataSetMalformed,
    FrameUndecodable,
    PayloadError,
    VerificationFailed,
)
from dicomnn.version import library_version

Progress = Callable[[int, int], None]
UNKNOWN_DIGEST = "0" * 64
GROUP_AT_MAX = 8
"""Frames in a group at effort max: each may refer to the frame before; reading one may take so many."""


@dataclass(frozen=True)
class _Coder:
    """How to code: the arguments of ``seal`` that do not change on the way."""

    profile: Profile
    model: Model | None
    models: Models
    effort: str
    threads: int


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
    coder = _Coder(profile, model, models, effort, threads)
    with Mapping(source) as mapping:
        try:
            sealed = _seal(mapping, target, coder, progress)
        except (DataSetMalformed, FrameUndecodable) as error:
            sealed = _kept(mapping, profile, reason_of(error), str(error))
        return replace(sealed, seconds=time.monotonic() - started)


def _kept(mapping: Mapping, profile: Profile, reason: str, detail: str = "", note: str = "") -> Sealed:
    return Sealed("kept", reason, detail or REASONS[reason], note, str(profile), len(mapping), len(mapping))


def _seal(mapping: Mapping, target: Path, coder: _Coder, progress: Progress | None) -> Sealed:
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
    coder: _Coder,
    progress: Progress | None,
    *,
    note: str = "",
) -> Sealed:
    received = hashlib.sha256()
    for piece in mapping.chunks(layout.dataset_start, len(mapping)):
        received.update(piece)
    meter = _Meter(progress, original.shape.total_bytes)
    started = time.monotonic()

    def encoded(done: int, total: int) -> None:
        if meter.advance(done / total):
            original.frames_mapping.drop()

    payload = encode(
        original.frames,
        original.sample_format,
        profile=coder.profile,
        model=coder.model,
        effort=coder.effort,
        group=GROUP_AT_MAX if coder.effort == "max" else 0,
        threads=coder.threads,
        progress=encoded,
    )
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
    manifest = _manifest(
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
    started = time.monotonic()
    try:
        _write(original, payload, manifest, target)
        del payload
        manifest, header, distortion = _prove(original, target, manifest, coder, meter)
    except BaseException:
        with suppress(OSError):
            target.unlink()
        raise
    return Sealed(
        "coded",
        None,
        "",
        note,
        str(coder.profile),
        len(mapping),
        manifest.bytes_after,
        original.shape.total_bytes,
        manifest.payload_length,
        manifest,
        header,
        distortion,
        encode_seconds,
        time.monotonic() - started,
    )


# ------------------------------------------------------------------ writing
def _manifest(original: Original, payload: Payload, coder: _Coder, known: dict[str, Any]) -> Manifest:
    header = parse(memoryview(payload.parts[0])).header
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        library_version=library_version(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        profile=str(coder.profile),
        effort=coder.effort,
        model_id=header.model_id,
        exact=original.exact,
        bytes_after=0,
        pixel_bytes=original.shape.total_bytes,
        payload_length=len(payload),
        pixel_digest=header.pixel_digest.hex(),
        file_meta_digest=hashlib.sha256(original.meta).hexdigest(),
        dataset_length=original.dataset_length,
        pixel_data_offset=len(original.head),
        pixel_data_length=original.value_length,
        transfer_syntax=original.transfer_syntax,
        explicit=original.explicit,
        little_endian=original.little_endian,
        original_transfer_syntax=original.original_transfer_syntax,
        dropped=original.dropped,
        **known,
    )
    while True:  # the size of the file depends on the digits of the size
        size = _file_size(original, manifest)
        if size == manifest.bytes_after:
            return manifest
        manifest = replace(manifest, bytes_after=size)


def _block(original: Original, manifest: Manifest) -> tuple[bytes, bytes]:
    return private_block(
        original.group,
        payload_length=manifest.payload_length,
        manifest=manifest.to_bytes(),
        element_header=original.element_header,
        trailing=original.trailing,
        explicit=original.explicit,
        little_endian=original.little_endian,
    )


def _file_size(original: Original, manifest: Manifest) -> int:
    around = (original.meta, original.head, original.between, original.after, *_block(original, manifest))
    return sum(len(part) for part in around) + manifest.payload_length


def _write(original: Original, payload: Payload, manifest: Manifest, target: Path) -> None:
    before, after = _block(original, manifest)
    with open(target, "wb") as file:
        for part in (original.meta, original.head, original.between, before):
            _write_part(file, part)
        payload.write_to(file)
        for part in (after, original.after):
            _write_part(file, part)
        file.flush()
        os.fsync(file.fileno())


def _write_part(file: BinaryIO, part: memoryview | bytes) -> None:
    for start in range(0, len(part), CHUNK):
        file.write(part[start : start + CHUNK])


# ------------------------------------------------------------------ proving
def _prove(
    original: Original, target: Path, manifest: Manifest, coder: _Coder, meter: _Meter
) -> tuple[Manifest, Header, Distortion | None]:
    """Decode `target`, compare everything; returns the manifest as it stands in the file.

    Raises VerificationFailed.
    """
    profile = coder.profile
    distortion = Distortion(original.sample_format) if profile.kind == "bounded" else None
    expected = DatasetDigest(original)
    restored = hashlib.sha256()
    try:
        with StoredObject(target) as stored:
            if stored.manifest != manifest:
                raise VerificationFailed("the manifest was not read back as it was written")
            header = stored.header
            decoded = stored.frames(coder.models, threads=coder.threads)
            for piece in stored.dataset(_compared(decoded, original, profile, distortion, expected, meter)):
                restored.update(piece)
    except PayloadError as error:
        raise VerificationFailed(f"the payload does not decode: {error}") from error
    except CodedObjectError as error:
        if isinstance(error, VerificationFailed):
            raise
        raise VerificationFailed(f"the written object cannot be opened: {error}") from error
    if profile.kind == "bounded":
        if restored.hexdigest() != expected.finish():
            raise VerificationFailed("the restored data set is not the derived one")
        return _complete(original, target, manifest, restored.hexdigest()), header, distortion
    if restored.hexdigest() != manifest.dataset_digest:
        raise VerificationFailed("the restored data set is not the original, though every pixel is")
    return manifest, header, None


def _compared(
    decoded: Iterator[np.ndarray],
    original: Original,
    profile: Profile,
    distortion: Distortion | None,
    expected: DatasetDigest,
    meter: _Meter,
) -> Iterator[np.ndarray]:
    """The decoded frames, each compared with the original's before it is passed on."""
    number = 0
    for number, (frame, wanted) in enumerate(zip(decoded, original.each_frame(), strict=True), 1):
        if frame.shape != wanted.shape or frame.dtype != wanted.dtype:
            raise VerificationFailed(f"frame {number - 1} decodes to {frame.shape} of {frame.dtype}")
        if distortion is not None:
            expected.feed(frame)
            if distortion.add(wanted, frame) > profile.bound:
                raise VerificationFailed(f"frame {number - 1} differs by more than {profile.bound}")
        elif not np.array_equal(frame, wanted):
            raise VerificationFailed(f"frame {number - 1} does not decode to the original's pixels")
        meter.advance(1.0 + number / original.shape.frames)
        yield frame


def _complete(original: Original, target: Path, manifest: Manifest, digest: str) -> Manifest:
    """Put the digest of a derived data set into its manifest, in place: its length is the same."""
    complete = replace(manifest, dataset_digest=digest)
    before, after = _block(original, manifest)
    start = sum(map(len, (original.meta, original.head, original.between, before))) + manifest.payload_length
    start += after.index(manifest.to_bytes())
    with open(target, "r+b") as file:
        file.seek(start)
        file.write(complete.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    with StoredObject(target) as stored:
        if stored.manifest != complete:
            raise VerificationFailed("the completed manifest was not read back as it was written")
    return complete


class _Meter:
    """Two passes over the pixels, encode and verify, told as bytes in steps of one per cent or more."""

    def __init__(self, progress: Progress | None, size: int) -> None:
        self._progress = progress
        self._size = size
        self._told = 0.0

    def advance(self, passes: float) -> bool:
        """`passes` of 2.0 are done; True when that was a step."""
        if passes - self._told < min(1.0, (4 << 20) / max(1, self._size)) and passes < 2.0:
            return False
        self._told = passes
        if self._progress is not None:
            self._progress(int(passes * self._size), 2 * self._size)
        return True
