"""Orthanc's own storage folder, brought into the archive and written out of it again, name by name.

Orthanc keeps each attachment in ``<uuid[0:2]>/<uuid[2:4]>/<uuid>`` below its StorageDirectory. Its index does
not change on the way: it knows attachments by their names alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dicomnn.archive.index import Attachment
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.spool import written_beside
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomnnError
from dicomnn.flow.attachments import DICOM, Attachments

OTHER = 0           # a kind that Orthanc does not use: only its own index knows better, and it asks by name
_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Moved:
    """done, there: how many attachments, and how many were there already. failed: name and why."""

    done: int = 0
    there: int = 0
    size: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def stored(folder: Path) -> Iterator[Path]:
    """Every attachment in Orthanc's folder, in order of names."""
    for first in sorted(folder.glob("[0-9a-f][0-9a-f]")):
        for second in sorted(first.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(second.iterdir()):
                if _NAME.fullmatch(path.name) and path.is_file():
                    yield path


def in_order(folder: Path) -> Iterator[tuple[Path, int]]:
    """The same with their kinds: images first. A DICOM file without pixels may be the beginning of one of
    them, which the folder does not tell; behind them it is recognised, and else kept as it is."""
    rest = []
    for path in stored(folder):
        if _has_pixels(path):
            yield path, DICOM
        else:
            rest.append(path)
    for path in rest:
        yield path, OTHER


def _has_pixels(path: Path) -> bool:
    try:
        with Mapping(path) as mapping:
            return bytes(mapping.buffer[128:132]) == b"DICM" and scan(mapping.buffer).pixel_data is not None
    except (DicomnnError, OSError):
        return False


def bring(attachments: Attachments, path: Path, kind: int, moved: Moved, *, delete: bool = False) -> None:
    """One of Orthanc's files into the archive; read back and compared before it is deleted."""
    uuid = path.name
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            done = attachments.take(uuid, kind, file.read, size)
        if delete:
            if _digest_of_file(path) != digest(attachments, uuid):
                raise OSError("what came back is not what is in Orthanc's folder")
            path.unlink()
    except FileNotFoundError:
        return                             # Orthanc removed it just now
    except (DicomnnError, OSError) as error:
        moved.failed.append((uuid, str(error)))
        return
    moved.size += size
    moved.done += done == "new"
    moved.there += done == "same"


def write_out(attachments: Attachments, folder: Path, item: Attachment, moved: Moved) -> None:
    """One attachment to where Orthanc without the plugin looks for it; durable, and never half written."""
    uuid, size, sha256 = item.uuid, item.size, item.sha256
    target = folder / uuid[0:2] / uuid[2:4] / uuid
    try:
        if target.is_file() and target.stat().st_size == size and _digest_of_file(target) == sha256:
            moved.there += 1
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher = hashlib.sha256()
        with attachments.give(uuid) as given, written_beside(target) as file:
            for chunk in given.chunks():
                hasher.update(chunk)
                file.write(chunk)
            if hasher.hexdigest() != sha256:
                raise OSError("the archive gave other bytes than came")
    except (DicomnnError, OSError) as error:
        moved.failed.append((uuid, str(error)))
        return
    moved.size += size
    moved.done += 1


def digest(attachments: Attachments, uuid: str) -> str:
    """SHA-256 of what comes back under a name."""
    hasher = hashlib.sha256()
    with attachments.give(uuid) as given:
        for chunk in given.chunks():
            hasher.update(chunk)
    return hasher.hexdigest()


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
