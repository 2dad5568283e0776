"""Coded object -> a smaller one of the same original: more effort, or a newer model.

The pixels come from the coded object itself, whose digests are checked on the way, so no original is needed.
Everything around the payload stays byte for byte: header and padding of the original's Pixel Data, the
digests and what was known about the original. The proof is that of ``seal``: the new file is read back and
decoded, every frame is compared, and the restored data set must have the digest that it always had.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.coded.bridge import Geometry, pairs_swapped, plain_bytes, words
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import Original
from dicomnn.coded.pixel_header import PixelHeader
from dicomnn.coded.proving import Coder, Meter, Progress, encoded, manifest_of, written
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.spool import spool_file
from dicomnn.coded.stored import Models, StoredObject
from dicomnn.errors import DicomnnError, VerificationFailed

LEFT = {
    "lossy": "Its pixels were changed when it was coded; it is never coded a second time.",
    "surroundings-changed": "Bytes around the pixels are not those that were coded: it has been in another "
    "archive, and what it was is known only as long as it stays as it is.",
    "not-smaller": "Coding it again did not make it smaller.",
}
"""Why a coded object was left as it is."""

STAYS = (
    "bytes_before",
    "dataset_digest",
    "original_dataset_digest",
    "original_sop_instance_uid",
    "file_meta_digest",
    "note",
    "lossy",
)
"""What only the original could tell: these values of the manifest are taken over."""


def reseal(
    source: Path,
    target: Path,
    *,
    model: Model | None,
    models: Models,
    effort: str,
    threads: int = 1,
    progress: Progress | None = None,
) -> Sealed:
    """Write the coded object `source` to `target`, coded anew without loss, and prove it.

    Sealed 'kept', with a code of `LEFT`, where there is nothing to gain; `target` was then not touched, nor
    after an error. Sizes in the result: `bytes_before` of the original, `bytes_after` of the object that
    counts now. `progress(done, total)` counts bytes of pixels, decoded, encoded and verified. Needs room for
    the decoded pixels beside `target`; memory: a few frames and the payload.

    Raises NotCoded, VerificationFailed, and what opening and decoding `source` raise.
    """
    started = time.monotonic()
    coder = Coder(Profile("lossless"), model, models, effort, threads)
    try:
        with StoredObject(source) as stored, spool_file(target.parent) as spool:
            sealed = _reseal(stored, target, coder, progress, spool)
    except DicomnnError as error:
        raise error.about(str(source)) from error.__cause__
    return replace(sealed, seconds=time.monotonic() - started)


def _reseal(
    stored: StoredObject, target: Path, coder: Coder, progress: Progress | None, spool: BinaryIO
) -> Sealed:
    if stored.manifest.changed:
        return _left(stored, "lossy")
    around = None if stored.travelled else stored.surroundings()
    if around is None:
        return _left(stored, "surroundings-changed")
    meter = Meter(progress, stored.frames_length, before=1)
    decoded = _spooled(stored.frames(coder.models, threads=coder.threads), spool, meter, stored.header.frames)
    digest = hashlib.sha256()
    for piece in stored.dataset(decoded):
        digest.update(piece)
    if not stored.manifest.gives(digest.hexdigest()):
        return _left(stored, "surroundings-changed")
    with Mapping(spool) as mapping:
        return _code(stored, _original(stored, around, mapping), target, coder, meter)


def _left(stored: StoredObject, reason: str) -> Sealed:
    manifest, size = stored.manifest, len(stored.mapping)
    return Sealed("kept", reason, LEFT[reason], "", manifest.profile, manifest.bytes_before, size)


def _spooled(
    frames: Iterable[np.ndarray], spool: BinaryIO, meter: Meter, total: int
) -> Iterator[np.ndarray]:
    for number, frame in enumerate(frames, 1):
        spool.write(plain_bytes(frame))
        meter.advance(number / total - 1.0)
        yield frame


def _original(
    stored: StoredObject, around: tuple[memoryview, memoryview, memoryview], pixels: Mapping
) -> Original:
    """What `seal` had before it, made of the coded object: its frames are in `pixels`."""
    layout, manifest, header = stored.layout, stored.manifest, stored.header
    head, between, after = around
    shape = Geometry(header.frames, header.rows, header.columns, stored.word_bytes)
    vr = PixelHeader.parse(
        stored.pixel_header, explicit=layout.explicit, little_endian=layout.little_endian
    ).vr
    return Original(
        meta=stored.before_dataset(),
        head=head,
        between=between,
        after=after,
        group=stored.block.group,
        in_order=not stored.record.place,
        pixel_header=stored.pixel_header,
        trailing=stored.trailing,
        swap=pairs_swapped(little_endian=layout.little_endian, vr=vr, word_bytes=stored.word_bytes),
        explicit=layout.explicit,
        little_endian=layout.little_endian,
        transfer_syntax=layout.transfer_syntax,
        original_transfer_syntax=manifest.original_transfer_syntax,
        exact=manifest.exact,
        dropped=manifest.dropped,
        shape=shape,
        sample_format=header.sample_format,
        frames=words(pixels.buffer, shape),
        frames_mapping=pixels,
    )


def _code(stored: StoredObject, original: Original, target: Path, coder: Coder, meter: Meter) -> Sealed:
    old = stored.manifest
    started = time.monotonic()
    payload = encoded(original, coder, meter)
    seconds = time.monotonic() - started
    manifest = manifest_of(original, payload, coder, {name: getattr(old, name) for name in STAYS})
    if manifest.pixel_digest != old.pixel_digest:
        raise VerificationFailed("what was encoded are not the pixels of the object that there was")
    # A manifest that became shorter is no gain that is worth another object.
    if manifest.payload_length >= old.payload_length or manifest.bytes_after >= len(stored.mapping):
        return _left(stored, "not-smaller")
    return written(original, payload, manifest, target, coder, meter, seconds)
