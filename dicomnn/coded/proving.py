"""How a coded object is written, and how it is proven from the very bytes that were written.

The proof uses what any later reader will use: the file is opened anew, its private block is found, the
payload is decoded by the normal decoder, every frame is compared with the one that was to be coded, and the
digest of the whole restored data set must be the one that is known. Until then nobody calls it coded.
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

from dicomnn.codec.decode import Header, read_layout
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.payload import Payload
from dicomnn.codec.profile import CHANGED, Profile
from dicomnn.coded.bounded import Distortion
from dicomnn.coded.manifest import Manifest
from dicomnn.coded.mapping import CHUNK
from dicomnn.coded.original import DatasetDigest, Original
from dicomnn.coded.pixel_header import PixelHeader, usual_trailing, usual_vr
from dicomnn.coded.record import ENCODINGS, FILE_META_DIGEST, FORMAT_VERSION, RESTORED_DIGEST, Record
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.stored import Models, StoredObject
from dicomnn.dicom.splice import private_block
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import CodedObjectError, PayloadError, VerificationFailed
from dicomnn.version import library_version

Progress = Callable[[int, int], None]
GROUP_AT_MAX = 8
"""Frames in a group at effort max: each may refer to the frame before; reading one may take so many."""


@dataclass(frozen=True)
class Coder:
    """How to code: the arguments of ``seal`` that do not change on the way."""

    profile: Profile
    model: Model | None
    models: Models
    effort: str
    threads: int


Keeps = Callable[[int, np.ndarray, np.ndarray], bool]
"""Whether a frame (from 0), as it was and as it comes back, keeps what a lossy profile promises."""


def encoded(original: Original, coder: Coder, meter: Meter, *, before: int = 0) -> Payload:
    """The payload of the original's frames; their pages are given back as they are used. `before`: in which
    of the meter's passes before the first, counted backwards."""

    def done(tiles: int, total: int) -> None:
        if meter.advance(tiles / total - before):
            original.frames_mapping.drop()

    return encode(
        original.frames,
        original.sample_format,
        profile=coder.profile,
        model=coder.model,
        effort=coder.effort,
        group=GROUP_AT_MAX if coder.effort == "max" else 0,
        threads=coder.threads,
        progress=done,
    )


def written(
    original: Original,
    payload: Payload,
    manifest: Manifest,
    target: Path,
    coder: Coder,
    meter: Meter,
    encode_seconds: float,
    keeps: Keeps | None = None,
) -> Sealed:
    """Write `target`, prove it, and remove it again when anything fails. Takes the payload's bytes away.

    `keeps`: what every frame is held against where the profile is lossy. Raises VerificationFailed.
    """
    started = time.monotonic()
    try:
        _write(original, payload, manifest, target)
        payload.parts.clear()  # its bytes are in the file now, and the proof reads them from there
        manifest, header, distortion = _prove(original, target, manifest, coder, meter, keeps)
    except BaseException:
        with suppress(OSError):
            target.unlink()
        raise
    return Sealed(
        "coded",
        None,
        "",
        manifest.note,
        str(coder.profile),
        manifest.bytes_before,
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
def manifest_of(original: Original, payload: Payload, coder: Coder, known: dict[str, Any]) -> Manifest:
    """The manifest of the file that `written` will write; `known` are the values that only the caller has."""
    # Of the lossy tier the head does not stand alone; such payloads are small.
    whole = coder.profile.kind == "lossy"
    header = read_layout(memoryview(bytes(payload) if whole else payload.parts[0])).header
    facts: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "library_version": library_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": str(coder.profile),
        "effort": header.effort,
        "model_id": header.model_id,
        "exact": original.exact,
        "bytes_after": 0,
        "pixel_bytes": original.shape.total_bytes,
        "payload_length": len(payload),
        "pixel_digest": header.pixel_digest.hex(),
        "file_meta_digest": hashlib.sha256(original.meta).digest()[:FILE_META_DIGEST].hex(),
        "dataset_length": original.dataset_length,
        "pixel_data_offset": len(original.head),
        "pixel_data_length": original.value_length,
        "transfer_syntax": original.transfer_syntax,
        "explicit": original.explicit,
        "little_endian": original.little_endian,
        "original_transfer_syntax": original.original_transfer_syntax,
        "dropped": original.dropped,
    }
    manifest = _with_digest(Manifest(**(facts | known)), known["dataset_digest"])
    return replace(manifest, bytes_after=_file_size(original, manifest))


def _with_digest(manifest: Manifest, dataset_digest: str) -> Manifest:
    """With the digest of what restoring gives, cut to what is kept of it where it is not the original's."""
    kept = None if manifest.exact == "data-set" else 2 * RESTORED_DIGEST
    return replace(manifest, dataset_digest=dataset_digest[:kept])


def _record(original: Original, manifest: Manifest) -> Record:
    """What of `manifest` must stand in the text, because the reader of the file cannot know it otherwise."""
    exact, kind = manifest.exact, syntax(manifest.transfer_syntax)
    encoding = (manifest.explicit, manifest.little_endian)
    usual = encoding == (kind.explicit, kind.little_endian)
    same_size = manifest.bytes_before == len(original.meta) + manifest.dataset_length
    frames_length = original.shape.total_bytes
    vr, header = _told_header(original)
    return Record(
        received_digest=manifest.original_dataset_digest,
        file_meta_digest=manifest.file_meta_digest,
        time=manifest.time,
        library_version=manifest.library_version,
        restored_digest="" if exact == "data-set" else manifest.dataset_digest,
        transfer_syntax=manifest.transfer_syntax,
        received_as=manifest.original_transfer_syntax if original.encapsulated else "",
        received_uid=manifest.original_sop_instance_uid if manifest.changed else "",
        bytes_before=0 if same_size else manifest.bytes_before,
        encoding="" if usual else ENCODINGS[encoding],
        pixel_vr=vr,
        pixel_header=header,
        pixel_length=-1 if original.trailing == usual_trailing(frames_length) else original.value_length,
        place=() if original.in_order else (manifest.pixel_data_offset, manifest.dataset_length),
        dropped=manifest.dropped,
        note=manifest.note,
        lossy=manifest.lossy,
    )


def _text(original: Original, manifest: Manifest) -> bytes:
    return _record(original, manifest).to_bytes(bytes.fromhex(manifest.pixel_digest))


def _told_header(original: Original) -> tuple[str, bytes]:
    """VR and header of Pixel Data, each only where it must be told."""
    explicit, little_endian = original.explicit, original.little_endian
    raw, usual = original.pixel_header, usual_vr(original.shape.word_bytes)
    vr = PixelHeader.parse(raw, explicit=explicit, little_endian=little_endian).vr or usual
    made = PixelHeader(vr, original.value_length).to_bytes(explicit=explicit, little_endian=little_endian)
    if made != raw:
        return "", raw
    return ("" if vr == usual else vr), b""


def _block(original: Original, manifest: Manifest) -> tuple[bytes, bytes]:
    usual = usual_trailing(original.shape.total_bytes)
    return private_block(
        original.group,
        payload_length=manifest.payload_length,
        manifest=_text(original, manifest),
        trailing=b"" if original.trailing == usual else original.trailing,
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
    original: Original,
    target: Path,
    manifest: Manifest,
    coder: Coder,
    meter: Meter,
    keeps: Keeps | None,
) -> tuple[Manifest, Header, Distortion | None]:
    """Decode `target`, compare everything; returns the manifest as it stands in the file.

    Raises VerificationFailed.
    """
    profile = coder.profile
    distortion = Distortion(original.sample_format) if profile.kind in CHANGED else None
    expected = DatasetDigest(original)
    restored = hashlib.sha256()
    try:
        with StoredObject(target) as stored:
            if stored.manifest != manifest:
                raise VerificationFailed("the manifest was not read back as it was written")
            header = stored.header
            decoded = stored.frames(coder.models, threads=coder.threads)
            compared = _compared(decoded, original, profile, distortion, expected, meter, keeps)
            for piece in stored.dataset(compared):
                restored.update(piece)
    except PayloadError as error:
        raise VerificationFailed(f"the payload does not decode: {error}") from error
    except CodedObjectError as error:
        if isinstance(error, VerificationFailed):
            raise
        raise VerificationFailed(f"the written object cannot be opened: {error}") from error
    if profile.kind in CHANGED:
        if restored.hexdigest() != expected.finish():
            raise VerificationFailed("the restored data set is not the derived one")
        return _complete(original, target, manifest, restored.hexdigest()), header, distortion
    if not manifest.gives(restored.hexdigest()):
        raise VerificationFailed("the restored data set is not the original, though every pixel is")
    return manifest, header, None


def _compared(
    decoded: Iterator[np.ndarray],
    original: Original,
    profile: Profile,
    distortion: Distortion | None,
    expected: DatasetDigest,
    meter: Meter,
    keeps: Keeps | None,
) -> Iterator[np.ndarray]:
    """The decoded frames, each compared with the original's before it is passed on."""
    number = 0
    for number, (frame, wanted) in enumerate(zip(decoded, original.each_frame(), strict=True), 1):
        if frame.shape != wanted.shape or frame.dtype != wanted.dtype:
            raise VerificationFailed(f"frame {number - 1} decodes to {frame.shape} of {frame.dtype}")
        if distortion is not None:
            expected.feed(frame)
            largest = distortion.add(wanted, frame)
            if profile.kind == "lossy":
                if largest > original.sample_format.mask:
                    raise VerificationFailed(f"frame {number - 1} has other bits outside of Bits Stored")
                if keeps is None or not keeps(number - 1, wanted, frame):
                    raise VerificationFailed(f"frame {number - 1} does not keep {profile.promise}")
            elif largest > profile.bound:
                raise VerificationFailed(f"frame {number - 1} differs by more than {profile.bound}")
        elif not np.array_equal(frame, wanted):
            raise VerificationFailed(f"frame {number - 1} does not decode to the original's pixels")
        meter.advance(1.0 + number / original.shape.frames)
        yield frame


def _complete(original: Original, target: Path, manifest: Manifest, digest: str) -> Manifest:
    """Put the digest of a derived data set into its manifest, in place: its length is the same."""
    complete = _with_digest(manifest, digest)
    before, after = _block(original, manifest)
    start = sum(map(len, (original.meta, original.head, original.between, before))) + manifest.payload_length
    start += after.index(_text(original, manifest))
    with open(target, "r+b") as file:
        file.seek(start)
        file.write(_text(original, complete))
        file.flush()
        os.fsync(file.fileno())
    with StoredObject(target) as stored:
        if stored.manifest != complete:
            raise VerificationFailed("the completed manifest was not read back as it was written")
    return complete


class Meter:
    """Two passes over `size` bytes of pixels, encode and verify, told as bytes in steps of one per cent or
    more; `before` are further passes that come first.
    """

    def __init__(self, progress: Progress | None, size: int, *, before: int = 0) -> None:
        self._progress = progress
        self._size = size
        self._passes = before + 2
        self._before = before
        self._told = 0.0

    def advance(self, passes: float) -> bool:
        """`passes` of 2.0 are done (negative: of those before); True when that was a step."""
        done = passes + self._before
        if done - self._told < min(1.0, (4 << 20) / max(1, self._size)) and passes < 2.0:
            return False
        self._told = done
        if self._progress is not None:
            self._progress(int(done * self._size), self._passes * self._size)
        return True
