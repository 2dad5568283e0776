"""dicomnn compress: files and folders into coded objects."""

from __future__ import annotations

import time
from pathlib import Path

import click

from dicomnn.cli._walk import finish, jobs_option, walk
from dicomnn.dicom.caps import STRICTEST, TABLES
from dicomnn.flow.files import default_target, plan

EFFORTS = ("fast", "default", "max")


@click.command("compress")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option(
    "--profile",
    default="lossless",
    show_default=True,
    help="keep, lossless, bounded:N (every stored value within N), lossy:ratio=R, lossy:psnr=P, lossy:ssim=S "
    "(reached on every frame); with loss: marked lossy, new UID.",
)
@click.option(
    "--effort",
    type=click.Choice(EFFORTS),
    default="default",
    show_default=True,
    help="How long the encoder may try; the promise is the same.",
)
@click.option(
    "--caps",
    type=click.Choice(TABLES),
    default=STRICTEST,
    show_default=True,
    help="Highest ratios of lossy profiles: of the strictest guideline, or DRG 2008 (CT body 8, MR 7).",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist at the target.")
@jobs_option
def command(
    path: Path, out: Path | None, profile: str, effort: str, caps: str, overwrite: bool, jobs: int
) -> None:
    """Compress a DICOM file or a folder of them. Originals are never touched.

    Every coded file is decoded again and compared before it gets its name. Objects that cannot be coded,
    or would not become smaller, are copied unchanged; files that are not DICOM are listed and left out.
    OUT defaults to PATH with "coded" in its name.
    """
    from dicomnn.codec.profile import Profile

    started = time.monotonic()
    profile = str(Profile.parse(profile))
    planned = plan(
        "compress", path, out, profile=profile, effort=effort, caps=caps, jobs=jobs, overwrite=overwrite
    )
    finish(
        walk(planned, jobs=jobs),
        started=started,
        verb="compress",
        target=str(out or default_target("compress", path)),
    )
