"""``dicomnn find``: ask a peer what it has."""

from __future__ import annotations

import json
import sys

import click

from dicomnn.cli import one_line
from dicomnn.cli._peer import caller, keys_of, peer_options, show_contexts

USUAL = {
    "patient": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "study": (
        "PatientID",
        "PatientName",
        "StudyDate",
        "ModalitiesInStudy",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    "series": (
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "SeriesInstanceUID",
    ),
    "image": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}
"""What is asked to be returned at each level, and the columns of the table."""


@click.command("find")
@peer_options
@click.option("--level", type=click.Choice(tuple(USUAL)), default="study", show_default=True)
@click.option(
    "--model",
    type=click.Choice(("study", "patient")),
    help="Study Root, or Patient Root (the default at the patient level).",
)
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    metavar="KEYWORD=VALUE",
    help="What to match, or without a value what to have back; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--contexts", is_flag=True, help="Print the negotiated contexts.")
def command(
    peer: str,
    ae_title: str,
    timeout: float,
    level: str,
    model: str | None,
    keys: tuple[str, ...],
    as_json: bool,
    contexts: bool,
) -> None:
    """Ask a peer with C-FIND and print a table of its answers.

    \b
    dicomnn find PACS@10.0.0.5:104 -k "PatientName=DOE*" -k StudyDate=20240101-
    dicomnn find PACS@10.0.0.5:104 --level image -k StudyInstanceUID=1.2.3 -k SeriesInstanceUID=1.2.3.4

    Exit codes: 0 the peer answered in full (also when nothing matches), 1 it could not be reached, refused,
    or ended with another status than success: then the answers may be incomplete.
    """
    from scp.client.association import associated
    from scp.client.query import MODELS, contexts_of, find, identifier, text

    given = keys_of(keys)
    wanted = {**dict.fromkeys(USUAL[level], ""), **given}
    request = identifier(level.upper(), wanted)
    uid = MODELS[model or ("patient" if level == "patient" else "study")][0]
    called = caller(peer, ae_title, timeout)
    with associated(called, contexts_of(uid)) as assoc:
        if contexts:
            show_contexts(assoc)
        answers = find(assoc, uid, request)
    rows = [{name: text(found, name) for name in wanted} for found in answers.found]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "schema": "dicomnn.find/1",
                    "peer": str(called.peer),
                    "level": level,
                    "status": f"{answers.status:04X}",
                    "comment": answers.comment,
                    "answers": rows,
                }
            )
        )
    else:
        _table(list(wanted), rows)
    if not answers.complete:
        click.echo(
            one_line(
                f"find: the peer ended with status {answers.status:04X} {answers.comment}; "
                f"{len(rows)} answers may not be all"
            ),
            err=True,
        )
        sys.exit(1)


def _table(names: list[str], rows: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("find: nothing matches")
        return
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(Text(one_line(row[name])) for name in names))
    # Into a file or a pipe, each answer stays on one line.
    wide = sum(max(len(name), *(len(row[name]) for row in rows)) + 2 for name in names)
    Console(width=None if sys.stdout.isatty() else max(80, wide), highlight=False).print(table)
    click.echo(f"find: {len(rows)} answers")
