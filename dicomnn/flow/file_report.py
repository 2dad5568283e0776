"""Reports of files without an archive: ``dicomnn report PATH``."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dicomnn.codec.profile import CHANGED
from dicomnn.coded.stored import Models
from dicomnn.errors import DicomnnError, NotDicom, UsageError
from dicomnn.flow.rows import FileRow, decoded_sample, file_row
from dicomnn.report.figures import Figure, draw
from dicomnn.report.html import render
from dicomnn.report.study import Completeness, StudyReport, build, pictures_to_draw
from dicomnn.version import library_version

RECORDED = ("Sizes and exactness are those that were recorded and checked when the objects were coded; "
            "`dicomnn verify` decodes every pixel again and checks the digests.")


@dataclass(frozen=True)
class FileReports:
    """One report per study, by UID; ``failed`` are (file, sentence), ``skipped`` no DICOM at all."""

    reports: list[StudyReport]
    failed: list[tuple[str, str]]
    skipped: list[str]


def report_files(path: Path, models: Models) -> FileReports:
    """Report a file, or every file under a folder.

    Raises UsageError when there is nothing at ``path``.
    """
    if not path.exists():
        raise UsageError(f"there is no file or folder '{path}'")
    studies: dict[str, list[tuple[Path, FileRow]]] = {}
    failed, skipped = [], []
    for file in _files(path):
        try:
            found = file_row(file)
        except NotDicom:
            skipped.append(str(file))
        except (DicomnnError, OSError) as error:
            failed.append((str(file), error.sentence() if isinstance(error, DicomnnError) else str(error)))
        else:
            studies.setdefault(found.study["study_instance_uid"], []).append((file, found))
    reports = [_report(files, models) for _, files in sorted(studies.items())]
    return FileReports(reports, failed, skipped)


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)


def _report(files: list[tuple[Path, FileRow]], models: Models) -> StudyReport:
    report = build(files[0][1].study, [found.row for _, found in files],
                   completeness=Completeness(stable=True, source="files"),
                   created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                   library_version=library_version())
    by_uid = {found.row.sop_instance_uid: (file, found) for file, found in files}
    notes = [RECORDED] if report.totals.states.get("coded") else []
    figures: list[Figure] = []
    unshown = 0
    for choice in pictures_to_draw(report):
        file, found = by_uid[choice.sop_instance_uid]
        if found.row.exact in CHANGED:
            unshown += 1
            continue
        try:
            figures.append(draw(decoded_sample(file, found, choice, models)))
        except DicomnnError as error:
            notes.append(f"A picture is missing: {error.sentence()}")
    if unshown:
        notes.append("Images that were changed have no pictures here: their originals, "
                     "the difference would be taken from, are not among these files.")
    return replace(report, figures=tuple(figures), notes=tuple(notes))


def write_report(report: StudyReport, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into ``folder`` (made if needed), each whole or not."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "report.html", folder / "report.json"
    text = json.dumps(report.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for target, content in ((data, text), (page, render(report))):
        part = target.with_name(target.name + ".part")
        part.write_text(content, encoding="utf-8", errors="replace")
        os.replace(part, target)
    return page, data


def folder_name(study_instance_uid: str) -> str:
    """A folder for a study's report: its UID where that is one, else a digest (UIDs come from anywhere)."""
    if re.fullmatch(r"[0-9][0-9.]{0,63}", study_instance_uid):
        return study_instance_uid
    return "study-" + hashlib.sha256(study_instance_uid.encode("utf-8", "replace")).hexdigest()[:16]
