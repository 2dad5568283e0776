"""A folder of DICOM files as the source of a migration. Nothing in it is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dicomnn.coded.mapping import Mapping
from dicomnn.dicom.attributes import read_attributes
from dicomnn.dicom.scan import Layout, scan
from dicomnn.errors import DicomError, DicomnnError, NotDicom, UsageError
from dicomnn.flow.ingest import Command
from dicomnn.flow.migration.landing import OWN_TROUBLE
from dicomnn.flow.migration.source import Landing, Listed, Listing, Note, Stopped, Study, Wanted
from dicomnn.flow.migration.throttle import Throttle

CHUNK = 1 << 20
DICOMDIR = "1.2.840.10008.1.3.10"
_WITH_LENGTH = b"DICM\2\0\0\0UL\4\0"


class FolderSource:
    """See `Source`. item: the file's path below the folder."""

    by_study = False

    def __init__(self, folder: Path, throttle: Throttle) -> None:
        if not folder.is_dir():
            raise UsageError(f"there is no folder '{folder}'")
        self.folder = folder.absolute()
        self.name = f"folder:{self.folder}"
        self._throttle = throttle

    def items(self) -> Iterator[Listed]:
        for folder, folders, names in os.walk(self.folder):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file():
                    yield self._listed(os.fsdecode(os.path.relpath(path, self.folder)), path)

    def _listed(self, item: str, path: Path) -> Listed:
        try:
            item.encode("utf-8")
        except UnicodeEncodeError:
            shown = item.encode("utf-8", "backslashreplace").decode()
            return Listed(
                shown, state="set-aside", reason="name", detail="the file's name is no UTF-8: rename it"
            )
        try:
            size = path.stat().st_size
            with Mapping(path) as mapping:
                layout = scan(mapping.buffer)
                found = read_attributes(mapping.buffer, layout)
        except NotDicom as error:
            return Listed(item, state="left", reason="not-dicom", detail=error.message)
        except DicomError as error:
            return Listed(item, size=size, state="set-aside", reason=error.code, detail=error.message)
        except OSError as error:
            return Listed(item, state="failed", reason="unreadable", detail=str(error.strerror or error))
        uid, sop_class = _identity(layout)
        known = Listed(item, uid, sop_class, found.series_instance_uid or "", found.study_instance_uid or "",
                       found.modality or "", layout.transfer_syntax, size)
        if sop_class == DICOMDIR:
            return replace(known, state="left", reason="dicomdir", detail="a medium's directory, no object")
        if not uid or not sop_class:
            return replace(known, state="set-aside", reason="no-uid",
                           detail="the file has no SOP Instance UID or SOP Class UID")
        return known

    def fetch(self, wanted: Wanted, landing: Landing) -> str:
        for item in wanted.items:
            if self._throttle.stop.is_set():
                raise Stopped
            self._throttle.window()
            path = self.folder / item
            try:
                self._take(item, path, landing)
            except OWN_TROUBLE:
                raise
            except DicomError as error:
                landing.refuse(item, error.code, error.message, lasting=True)
            except OSError as error:
                landing.refuse(item, "unreadable", str(error.strerror or error), lasting=False)
            except DicomnnError:
                continue  # the landing has written it down
        return ""

    def _take(self, item: str, path: Path, landing: Landing) -> None:
        with Mapping(path) as mapping:
            layout = scan(mapping.buffer)
            uid, sop_class = _identity(layout)
            start = layout.dataset_start
            prefix = bytes(mapping.buffer[:start])
        # Its own preamble and File Meta stay with it where they agree with the data set and can be skipped.
        if not (
            layout.has_preamble
            and prefix[128:].startswith(_WITH_LENGTH)
            and int.from_bytes(prefix[140:144], "little") == start - 144
            and layout.file_meta_sop_instance_uid == uid
        ):
            prefix = b""
        command = Command(sop_class, uid, layout.transfer_syntax, calling_ae="FOLDER")
        sink = landing.open(command, prefix, item)
        try:
            with open(path, "rb") as file:
                file.seek(start)
                while chunk := file.read(CHUNK):
                    sink.write(chunk)
            landing.finish(sink)
        finally:
            sink.abort()

    def local(self, item: str) -> Path | None:
        return self.folder / item

    def studies(self, note: Note) -> Iterator[Study]:
        return iter(())

    def listing(self, study_uid: str) -> Listing:
        return Listing([])

    def incomplete(self) -> list[str]:
        return []

    def recount(self, study_uid: str) -> int | None:
        return None

    def close(self) -> None:
        return None


def _identity(layout: Layout) -> tuple[str, str]:
    """SOP Instance and Class UID: the data set's own, else those of the File Meta."""
    return (
        layout.sop_instance_uid or layout.file_meta_sop_instance_uid or "",
        layout.sop_class_uid or layout.file_meta_sop_class_uid or "",
    )
