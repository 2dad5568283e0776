"""``dicomnn fsck``: whether index and store agree, and what can be done where they do not."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.archive.check import RebuildReport
    from dicomnn.flow.fsck import Report
    from dicomnn.flow.opening import Place

SCHEMA = "dicomnn.fsck/1"
SHOWN = 50


@click.command("fsck")
@click.argument("archive", required=False, type=click.Path(path_type=Path))
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="The node's TOML file.")
@click.option("--deep", is_flag=True, help="Read every byte, and decode every coded object.")
@click.option("--repair", is_flag=True, help="Do what can be done without a second copy; without it nothing "
                                             "is changed.")
@click.option("--rebuild-index", is_flag=True, help="First make the index again from objects and journal; "
                                                    "the old one stays beside it. No node may run.")
@click.option("--orphans-after", type=float, default=3600.0, show_default=True, metavar="SECONDS",
              help="What is younger and named by nothing may be on its way in.")
@click.option("--attachments", "known_path", type=click.Path(path_type=Path, exists=True), metavar="FILE",
              help="What Orthanc knows: its SQLite index (while it is stopped), or a list of UUIDs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_context
def command(context: click.Context, archive: Path | None, config_path: Path | None, deep: bool, repair: bool,
            rebuild_index: bool, orphans_after: float, known_path: Path | None, as_json: bool) -> None:
    """Compare the index of ARCHIVE with its store, both ways.

    Exit code 0: nothing is wrong (any more); 1: something is, and it is listed; 2: wrong use."""
    from dicomnn.flow.fsck import Check
    from dicomnn.flow.opening import open_archive
    from scp import heartbeat
    from scp.config_read import load
    from scp.settings import place_of

    config = load(config_path)
    if archive is not None:
        config = config.with_("archive", path=str(archive))
    place = place_of(config)
    if not place.exists:
        raise UsageError(f"there is no archive in '{place.folder}'", cure="Name its folder.")
    facts: dict[str, Any] = {"schema": SCHEMA, "archive": place.folder}
    if rebuild_index:
        if heartbeat.read(Path(place.folder)) is not None:
            raise UsageError("a node runs on this archive", cure="Stop the node first.")
        facts["rebuilt"] = _rebuilt(place)
    known = None if known_path is None else attachments_known(known_path)
    with open_archive(place) as opened:
        report = Check(opened, deep=deep, repair=repair, known=known, min_age=orphans_after, now=time.time(),
                       told=_progress(as_json)).run()
    facts |= gathered(report, deep=deep, repair=repair)
    click.echo(json.dumps(facts) if as_json else text(facts))
    lost = facts.get("rebuilt", {}).get("without_object", [])
    context.exit(1 if report.left or lost else 0)


def _rebuilt(place: Place) -> dict[str, Any]:
    from dicomnn.flow.rebuild import rebuild_index

    report: RebuildReport
    report, old = rebuild_index(place)
    return {"instances": report.rows, "adopted": report.adopted, "conflicts": report.conflicts,
            "attachments": report.attachments, "without_object": report.without_object,
            "left": report.left, "old_index": None if old is None else str(old)}


def attachments_known(path: Path) -> set[str]:
    """The UUIDs in Orthanc's SQLite index, or in a list of them, one a line."""
    with path.open("rb") as file:
        database = file.read(16) == b"SQLite format 3\0"
    if not database:
        return set(path.read_text("utf-8").split())
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return {str(uuid) for (uuid,) in connection.execute("SELECT uuid FROM AttachedFiles")}
    except sqlite3.Error as error:
        raise UsageError(f"cannot be read as Orthanc's index: {error}", subject=str(path),
                         cure="Stop Orthanc first: while it runs nobody else can read it.") from error


def _progress(quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return lambda _: None

    def told(what: str) -> None:
        click.echo(f"\r\033[K{what}\r", nl=False, err=True)
    return told


def gathered(report: Report, *, deep: bool, repair: bool) -> dict[str, Any]:
    """The object of ``--json``; keys are only ever added. Sizes in bytes."""
    return {
        "deep": deep, "repair": repair, "ok": not report.left, "instances": report.instances,
        "attachments": report.attachments, "objects_read": report.objects_read,
        "problems": [{"kind": p.kind, "subject": p.subject, "detail": p.detail, "done": p.done}
                     for p in report.problems],
        "notes": report.notes, "space": {name: size for name, size in report.space.items() if size},
    }


def text(facts: dict[str, Any]) -> str:
    """The same for people."""
    from dicomnn.flow.fsck import KINDS

    lines = []
    if made := facts.get("rebuilt"):
        lines.append(f"rebuilt     {made['instances']} instances ({made['adopted']} from objects alone), "
                     f"{made['conflicts']} conflicts, {made['attachments']} attachments; the old index is "
                     f"{made['old_index'] or 'none'}")
        lines += [f"            nothing is left of {uid}" for uid in made["without_object"][:SHOWN]]
    lines.append(f"looked at   {facts['instances']} instances, {facts['attachments']} attachments"
                 + (f", read {facts['objects_read']} objects" if facts["deep"] else ""))
    lines += [f"space       {size:>15,} bytes {name}" for name, size in facts["space"].items()]
    lines += [f"note        {note}" for note in facts["notes"]]
    found = facts["problems"]
    for kind in dict.fromkeys(problem["kind"] for problem in found):
        of_kind = [problem for problem in found if problem["kind"] == kind]
        lines.append(f"{kind:<11} {len(of_kind)}: {KINDS[kind]}")
        lines += [f"            {p['subject']} {p['detail']}{' -- ' + p['done'] if p['done'] else ''}"
                  for p in of_kind[:SHOWN]]
        if len(of_kind) > SHOWN:
            lines.append(f"            and {len(of_kind) - SHOWN} more (--json has all)")
    left = sum(not problem["done"] for problem in found)
    lines.append("clean" if not left else f"{left} problems are left" + (
        "" if facts["repair"] else "; --repair does what can be done"))
    return "\n".join(lines)
