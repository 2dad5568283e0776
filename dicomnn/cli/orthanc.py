"""``dicomnn orthanc``: Orthanc's storage folder into the archive, and out of it again (docs/orthanc.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.flow.opening import Archive
    from dicomnn.flow.orthanc import Moved
    from scp.config import Config

SCHEMA = "dicomnn.orthanc/1"


@click.group("orthanc")
def command() -> None:
    """Bring what Orthanc stored before into the archive, or write it out for Orthanc without the plugin."""


def _options(function: click.decorators.FC) -> click.decorators.FC:
    for option in (
            click.argument("folder", type=click.Path(path_type=Path, file_okay=False)),
            click.option("--archive", type=click.Path(path_type=Path), help="Folder of the archive."),
            click.option("--config", "config_path", type=click.Path(path_type=Path),
                         help="The node's TOML file."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")):
        function = option(function)
    return function


@command.command("import")
@_options
@click.option("--delete", is_flag=True, help="Delete each file once it was read back and compared.")
@click.pass_context
def bring_in(context: click.Context, folder: Path, archive: Path | None, config_path: Path | None,
             as_json: bool, delete: bool) -> None:
    """Take every attachment in FOLDER (Orthanc's StorageDirectory) into the archive. Safe to be repeated, and
    while node and Orthanc run."""
    from dicomnn.flow.attachments import Attachments
    from dicomnn.flow.orthanc import Moved, bring, in_order
    from scp.settings import policy_of

    if not folder.is_dir():
        raise UsageError(f"there is no folder '{folder}'")
    config, moved = _config(archive, config_path), Moved()
    with _opened(config) as opened:
        attachments = Attachments(opened, policy_of(config))
        for path, kind in in_order(folder):
            bring(attachments, path, kind, moved, delete=delete)
    _end(context, moved, as_json)


@command.command("export")
@_options
@click.pass_context
def write(context: click.Context, folder: Path, archive: Path | None, config_path: Path | None,
          as_json: bool) -> None:
    """Write every attachment of the archive into FOLDER, as Orthanc without the plugin stores it. Safe to be
    repeated; the archive stays as it is."""
    from dicomnn.flow.attachments import Attachments
    from dicomnn.flow.orthanc import Moved, write_out
    from scp.settings import policy_of

    config, moved = _config(archive, config_path), Moved()
    with _opened(config) as opened:
        attachments = Attachments(opened, policy_of(config))
        for item in opened.index.attachments():
            write_out(attachments, folder, item, moved)
    _end(context, moved, as_json)


def _config(archive: Path | None, config_path: Path | None) -> Config:
    from scp.config_read import load

    config = load(config_path)
    return config if archive is None else config.with_("archive", path=str(archive))


def _opened(config: Config) -> Archive:
    from dicomnn.flow.opening import open_archive
    from scp.settings import place_of

    place = place_of(config)
    if not place.exists:
        raise UsageError(f"there is no archive in '{place.folder}'", cure="Name its folder with --archive.")
    return open_archive(place)


def _end(context: click.Context, moved: Moved, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({
            "schema": SCHEMA, "done": moved.done, "there": moved.there, "bytes": moved.size,
            "failed": [{"uuid": uuid, "reason": reason} for uuid, reason in moved.failed]}))
    else:
        click.echo(f"{moved.done} attachments ({moved.size:,} bytes), {moved.there} were there already, "
                   f"{len(moved.failed)} failed")
        for uuid, reason in moved.failed:
            click.echo(f"  {uuid}: {reason}", err=True)
    context.exit(1 if moved.failed else 0)
