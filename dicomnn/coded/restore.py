"""Coded object -> the original, one frame, or a region. Nothing leaves before its digest was checked.

The pixels are guarded by the payload's own digest, the whole data set by the one in the manifest. When
only the second fails, something around the pixels was changed after coding: legitimate on a trip through
another archive (it may reorder, re-encode or coerce), not at home. So the default is to say precisely
what is exact, and ``strict=True`` (the archive's own objects) makes it an error.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom

from dicomnn.codec.decode import Header, decode_frame, decode_region
from dicomnn.coded.manifest import Manifest
from dicomnn.coded.spool import spool_file, written_beside
from dicomnn.coded.stored import Form, Models, StoredObject
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import DataSetMalformed, DicomnnError, NotCoded, RestoreMismatch

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Restored:
    """What came back and how exact it is.

    ``exact``: 'data-set' (every byte of the data set is the original's), 'pixels' (every pixel is, see
    ``explanation`` for the rest), 'bounded' (every stored value is within the profile's bound) or 'lossy' (a
    promised figure was reached on every frame).
    ``surroundings_intact``: every byte but the pixels is as it was when the object was coded.
    ``file_identical``: the whole file, preamble and File Meta included, is the original's.
    """

    digest: str
    exact: str
    explanation: str
    surroundings_intact: bool
    file_identical: bool
    size: int
    transfer_syntax: str
    manifest: Manifest
    header: Header
    seconds: float


def restore(
    source: Path,
    target: Path | BinaryIO,
    models: Models,
    *,
    form: Form = "file",
    threads: int = 1,
    strict: bool = False,
    spool_folder: Path | None = None,
    progress: Progress | None = None,
    known: Iterable[np.ndarray] | None = None,
) -> Restored:
    """Write the original of the coded object `source` to `target`; memory stays at a few frames.

    `form` 'file' gives preamble, File Meta and data set, 'data-set' the data set alone (as C-STORE sends
    it). A Path gets a file that appears whole or not at all; a stream gets its first byte after all digests
    were checked (the bytes wait in a nameless file in `spool_folder`, default beside `source`).
    `progress(done, total)` counts bytes. `known`: all frames, (rows, columns) raw words each, where they were
    decoded before; then the digest of the whole data set is what proves them.

    Raises NotCoded (an ordinary DICOM file), PrivateBlockDamaged, RestoreMismatch, UnknownModel,
    UnsupportedFormatVersion and the PayloadError family; `target` is then untouched.
    """
    strict = strict or known is not None
    if isinstance(target, Path):
        with StoredObject(source) as stored, written_beside(target) as file:
            return _restore(stored, file, models, form, threads, strict, progress, str(source), known)
    with spool_file(spool_folder or source.parent) as spool:
        with StoredObject(source) as stored:
            restored = _restore(
                stored, spool, models, form, threads, strict, progress, str(source), known
            )
        spool.seek(0)
        shutil.copyfileobj(spool, target, 1 << 20)
        return restored


def check(
    source: Path, models: Models, *, threads: int = 1, strict: bool = False, progress: Progress | None = None
) -> Restored:
    """Everything that ``restore`` checks, without writing anything. Raises what ``restore`` raises."""
    with StoredObject(source) as stored:
        return _restore(stored, None, models, "file", threads, strict, progress, str(source))


def _restore(
    stored: StoredObject,
    file: BinaryIO | None,
    models: Models,
    form: Form,
    threads: int,
    strict: bool,
    progress: Progress | None,
    subject: str,
    known: Iterable[np.ndarray] | None = None,
) -> Restored:
    started = time.monotonic()
    try:
        if file is not None and form == "file":
            file.write(stored.before_dataset())
        frames = stored.frames(models, threads=threads) if known is None else known
        digest, size = _copy(stored.dataset(frames), file, stored.dataset_length, progress)
        intact = stored.manifest.gives(digest)
        if not intact and strict:
            raise RestoreMismatch("the pixels are right, but bytes around them are not those that were coded")
    except DicomnnError as error:
        raise error.about(subject) from error.__cause__
    meta_intact = stored.file_meta_intact()
    promised = stored.manifest.exact
    exact = promised if intact or stored.manifest.changed else "pixels"
    return Restored(
        digest=digest,
        exact=exact,
        explanation=_explanation(stored, intact),
        surroundings_intact=intact,
        file_identical=intact and meta_intact and promised == "data-set",
        size=size,
        transfer_syntax=stored.layout.transfer_syntax,
        manifest=stored.manifest,
        header=stored.header,
        seconds=time.monotonic() - started,
    )


def _copy(
    pieces: Iterable[bytes | memoryview], file: BinaryIO | None, total: int, progress: Progress | None
) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        if file is not None:
            file.write(piece)
        if progress is not None:
            progress(size, total)
    return digest.hexdigest(), size


def _explanation(stored: StoredObject, intact: bool) -> str:
    manifest = stored.manifest
    if intact and manifest.exact == "data-set":
        return "The data set is byte for byte the original."
    if intact and manifest.changed:
        return (
            f"A derived object: {_changed(stored)}; the data set is byte for byte as it was when it was "
            "coded."
        )
    if intact:
        name = syntax(manifest.original_transfer_syntax).name
        return (
            f"The original was received as {name} and comes back uncompressed: every pixel is the original's "
            "and every other element is unchanged."
        )
    pixels = "Every pixel is the original's (checked by the payload's digest)"
    if manifest.changed:
        said = _changed(stored)
        pixels = said[0].upper() + said[1:]
    if stored.travelled:
        how = (
            f"the object now is in {syntax(stored.layout.transfer_syntax).name}, it was written in "
            f"{syntax(manifest.transfer_syntax).name}"
        )
    else:
        how = "bytes around the pixels were changed after coding"
    return (
        f"{pixels}; the other elements are not byte for byte those that were coded: {how}. "
        "Expected after a trip through another archive; otherwise fetch another copy."
    )


def _changed(stored: StoredObject) -> str:
    """How far the pixels of a lossy object are from the original's."""
    profile = stored.header.profile
    if profile.kind == "bounded":
        return f"every stored value is within {profile.bound} of the original"
    return f"{profile.promise} was promised, and reached on every frame when it was coded"


# ------------------------------------------------------------------ datasets, frames, regions
def open_dataset(source: Path, models: Models, *, threads: int = 1) -> pydicom.Dataset:
    """An ordinary pydicom Dataset with Pixel Data, from a coded object or any other DICOM file.

    Raises what ``restore`` raises, except NotCoded; DataSetMalformed when pydicom cannot read the data set.
    """
    with spool_file(source.parent if _writable(source.parent) else None) as spool:
        try:
            with StoredObject(source) as stored:
                _restore(stored, spool, models, "file", threads, False, None, str(source))
            spool.seek(0)
            opened = nullcontext(spool)
        except NotCoded:
            opened = open(source, "rb")  # type: ignore[assignment]
        with opened as file:
            return _read(file, source)


def _writable(folder: Path) -> bool:
    import os

    return os.access(folder, os.W_OK)


def _read(file: BinaryIO, source: Path) -> pydicom.Dataset:
    try:
        dataset = pydicom.dcmread(file, force=True)
    except Exception as error:  # pydicom raises many types on bad input
        raise DataSetMalformed(f"pydicom cannot read the data set ({error})", subject=str(source)) from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        file.seek(0)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(scan(file.read()).transfer_syntax)
    return dataset


def frame(source: Path, number: int, models: Models, *, threads: int = 1) -> np.ndarray:
    """Frame `number` (from 0) as (rows, columns) raw words, without decoding the others.

    Tiles carry checksums of their own; the digest of the whole is not checked. Raises NotCoded and the
    codec's errors.
    """
    with StoredObject(source) as stored:
        return _owned(decode_frame(stored.payload, models, number, threads=threads))


def region(
    source: Path,
    number: int,
    top: int,
    left: int,
    height: int,
    width: int,
    models: Models,
    *,
    threads: int = 1,
) -> np.ndarray:
    """(height, width) raw words of frame `number` from `top` and `left`; only the tiles there are read."""
    with StoredObject(source) as stored:
        return _owned(
            decode_region(stored.payload, models, number, top, left, height, width, threads=threads)
        )


def _owned(array: np.ndarray) -> np.ndarray:
    return array if array.flags.owndata else array.copy()


def stored_frames(source: Path, models: Models, *, threads: int = 1) -> Iterator[np.ndarray]:
    """All frames in order, one in memory at a time."""
    with StoredObject(source) as stored:
        yield from stored.frames(models, threads=threads)
