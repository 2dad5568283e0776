"""dicomnn report: the quality report of a study, from an archive or from files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomnn.cli import one_line
from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.report.study import StudyReport

UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@click.command("report")
@click.argument("what", metavar="STUDY_UID|PATH")
@click.option("--archive", type=click.Path(path_type=Path, file_okay=False), default=Path("dicomnn-archive"),
              show_default=True, help="Folder of the archive that has the study.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Write report.html and report.json here (default: the archive's reports folder, "
                   "or ./dicomnn-report for a PATH).")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON object; write files only with --out.")
def command(what: str, archive: Path, out: Path | None, as_json: bool) -> None:
    """Report sizes, quality and what was kept and why, as a page for people and as JSON.

    With a Study Instance UID the report is made from the archive as it is now; with a PATH from a file or
    folder of coded objects, without an archive. What exists as a file is taken as a PATH.

    The JSON is described in docs/report.md. For a PATH with several studies --json prints one object per
    line, and each study's files go into a folder named by its UID. Exit code 1 when a file could not be
    read, which then is listed.
    """
    if Path(what).exists() or UID.fullmatch(what) is None:
        _from_files(Path(what), out, as_json)
    else:
        _from_archive(what, archive, out, as_json)


def _from_files(path: Path, out: Path | None, as_json: bool) -> None:
    from dicomnn.flow.file_report import folder_name, report_files, write_report
    from dicomnn.shelf import default_shelf

    found = report_files(path, default_shelf().get)
    if not found.reports and not found.failed:
        raise UsageError(f"there is no DICOM file at '{path}'")
    if as_json:
        _print_json(found.reports)
    if out is not None or not as_json:
        folder = out or Path("dicomnn-report")
        for report in found.reports:
            name = folder_name(report.study.study_instance_uid)
            written = write_report(report, folder if len(found.reports) == 1 else folder / name)
            if not as_json:
                _tell(report, written)
    if found.skipped and not as_json:
        more = " ..." if len(found.skipped) > 5 else ""
        click.echo(one_line(f"{len(found.skipped)} left out, no DICOM: {', '.join(found.skipped[:5])}{more}"))
    for name, sentence in found.failed:
        click.echo(one_line(f"failed: {name}: {sentence}"), err=True)
    if found.failed:
        sys.exit(1)


def _from_archive(study_instance_uid: str, folder: Path, out: Path | None, as_json: bool) -> None:
    from dicomnn.flow.file_report import write_report
    from dicomnn.flow.opening import Place, open_archive
    from dicomnn.flow.study import report_folder, study_report
    from scp.config_read import load

    place = Place(str(folder))
    if not place.exists:
        raise UsageError(f"there is no archive in '{folder}'", cure="Name its folder with --archive.")
    archive = open_archive(place)
    try:
        report = study_report(archive, study_instance_uid, quiet_seconds=load(None).study.quiet_seconds)
        if as_json:
            _print_json([report])
        if out is not None or not as_json:
            target = out or report_folder(archive, study_instance_uid)
            written = write_report(report, target)
            if not as_json:
                _tell(report, written)
    finally:
        archive.close()


def _print_json(reports: list[StudyReport]) -> None:
    for report in reports:
        click.echo(json.dumps(report.to_json(), ensure_ascii=False, allow_nan=False,
                              indent=2 if len(reports) == 1 else None))


def _tell(report: StudyReport, written: tuple[Path, Path]) -> None:
    from dicomnn.report.study import statement

    totals = report.totals
    ratio = f" ({totals.ratio:.2f}:1)" if totals.ratio else ""
    objects = f"{totals.instances} object{'' if totals.instances == 1 else 's'}"
    click.echo(one_line(f"{report.study.study_instance_uid or 'study without a UID'}: {objects}, "
                        f"{totals.bytes_before} -> {totals.bytes_after} bytes{ratio}. {statement(totals)}"))
    for path in written:
        click.echo(f"  {path}")
