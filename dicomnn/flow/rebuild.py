"""The index made again from the store alone: what objects say of themselves, and the journal beside them."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

from dicomnn.archive.check import Described, RebuildReport, rebuild
from dicomnn.archive.index import Tried
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.attributes import read_attributes
from dicomnn.dicom.scan import Layout, scan
from dicomnn.errors import DicomnnError, NotCoded
from dicomnn.flow.opening import Place, open_archive

_SUFFIXES = ("", "-wal", "-shm")


def describe_object(path: Path) -> Described | None:
    """What an object's own bytes say; None when it is no DICOM object, or names no instance."""
    try:
        with Mapping(path) as mapping:
            layout = scan(mapping.buffer)
            attributes = read_attributes(mapping.buffer, layout).known()
            uid = str(attributes.get("sop_instance_uid") or "")
            if not uid:
                return None
            described = Described(
                uid, "", sop_class_uid=str(attributes.get("sop_class_uid") or ""),
                study_instance_uid=str(attributes.get("study_instance_uid") or ""),
                series_instance_uid=str(attributes.get("series_instance_uid") or ""),
                transfer_syntax_uid=layout.transfer_syntax, attributes=attributes)
            coded = _coded(path, described)
            return coded or replace(described, digest=_digest(mapping, layout))
    except DicomnnError:
        return None


def _digest(mapping: Mapping, layout: Layout) -> str:
    hasher = hashlib.sha256()
    for piece in mapping.chunks(layout.dataset_start, len(mapping)):
        hasher.update(piece)
    return hasher.hexdigest()


def _coded(path: Path, described: Described) -> Described | None:
    try:
        with StoredObject(path) as stored:
            manifest = stored.manifest
    except NotCoded:
        return None
    came = manifest.original_sop_instance_uid
    exact = manifest.exact in ("data-set", "pixels")
    return replace(
        described, coded=True, digest=manifest.original_dataset_digest, model_id=manifest.model_id or None,
        transfer_syntax_uid=manifest.original_transfer_syntax, before=manifest.bytes_before,
        tried=Tried(manifest.effort, manifest.model_id) if exact else None,
        received_uid=came if came and came != described.sop_instance_uid else None)


def rebuild_index(place: Place) -> tuple[RebuildReport, Path | None]:
    """Make the index of an archive again; no node may run on it. (What was found, where the old index is.)

    An index beside a local store is made under another name and takes its place when it is whole; the old
    one stays beside it. One that the configuration names elsewhere must be empty.

    Raises
    ------
    IndexFailed
        It is not empty, or the database fails; what was there is untouched.
    StoreFailed
        Objects or journal cannot be read.
    """
    if place.index_url or place.store_url:
        with open_archive(place) as archive:
            return rebuild(archive.store, archive.index, describe_object), None
    folder = Path(place.folder).absolute() / "index"
    new, there = folder / "rebuilding.sqlite", folder / "index.sqlite"
    for suffix in _SUFFIXES:
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    with open_archive(replace(place, index_url=f"sqlite:///{new}")) as archive:
        report = rebuild(archive.store, archive.index, describe_object)
    old = None
    if there.exists():
        old = there.with_name(time.strftime("index.sqlite.before-%Y%m%dT%H%M%SZ", time.gmtime()))
        for suffix in _SUFFIXES:
            if Path(f"{there}{suffix}").exists():
                os.rename(f"{there}{suffix}", f"{old}{suffix}")
    for suffix in reversed(_SUFFIXES):     # closed, it is one file; whatever else there is belongs to it
        if Path(f"{new}{suffix}").exists():
            os.rename(f"{new}{suffix}", f"{there}{suffix}")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return report, old
