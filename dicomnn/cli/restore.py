"""dicomnn restore: coded objects back into the originals."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dicomnn.cli._walk import finish, jobs_option, walk
from dicomnn.flow.files import default_target, plan


@click.command("restore")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--overwrite", is_flag=True, help="Replace files that exist at the target.")
@jobs_option
def command(path: Path, out: Path | None, overwrite: bool, jobs: int) -> None:
    """Restore coded files, or a folder of them. Nothing is written before its digest was checked.

    Ordinary DICOM files are copied unchanged, so the restored tree is complete.
    OUT defaults to PATH with "restored" in its name.
    """
    started = time.monotonic()
    planned = plan("restore", path, out, jobs=jobs, overwrite=overwrite)
    finish(
        walk(planned, jobs=jobs),
        started=started,
        verb="restore",
        target=str(out or default_target("restore", path)),
    )
