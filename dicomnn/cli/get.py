"""``dicomnn get``: fetch from a peer into a folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomnn.cli import one_line
from dicomnn.cli._peer import caller, keys_of, peer_options, show_contexts
from dicomnn.cli._walk import mebibytes
from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from scp.client.association import Caller

LEVELS = (
    ("SOPInstanceUID", "IMAGE"),
    ("SeriesInstanceUID", "SERIES"),
    ("StudyInstanceUID", "STUDY"),
    ("PatientID", "PATIENT"),
)


@click.command("get")
@peer_options
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="KEYWORD=VALUE",
    help="PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID; repeatable.",
)
@click.option("--contexts", is_flag=True, help="Print the negotiated contexts.")
def command(
    peer: str, ae_title: str, timeout: float, out: Path, keys: tuple[str, ...], contexts: bool
) -> None:
    """Fetch with C-GET into the folder OUT: Part 10 files whose data sets are the bytes that came.

    The level is that of the narrowest key. Each class is proposed in every transfer syntax, so that the peer
    can send what it has without converting it; where it answers queries, it is asked for the classes first.

    Exit codes: 0 everything asked for came (at least one), 1 otherwise; what failed is listed.
    """
    from dicomnn.flow.migration.landing import FileLanding, Landed
    from scp.client.association import associated
    from scp.client.query import MODELS, identifier
    from scp.client.receiving import Receiver
    from scp.client.retrieve import get, groups, proposal

    given = keys_of(keys)
    level = next((word for name, word in LEVELS if given.get(name)), None)
    if level is None:
        raise UsageError("nothing to get is named", cure="Give a key, for example -k StudyInstanceUID=1.2.3.")
    called = caller(peer, ae_title, timeout)
    model = MODELS["patient" if level == "PATIENT" else "study"]

    def told(landed: Landed) -> None:
        click.echo(one_line(f"  {landed.path.name} {landed.size} bytes sha256 {landed.sha256[:16]}"))

    started = time.monotonic()
    landing = FileLanding(out, told)
    receiver = Receiver(landing, called.peer.ae_title)
    said, failed, whole = [], set(), True
    for storage in groups(_classes(called, given, level)):
        proposed, roles = proposal(model[2], storage)
        with associated(called, proposed, roles=roles, open_sink=receiver.open_sink) as assoc:
            if contexts:
                show_contexts(assoc)
            done = get(assoc, model[2], identifier(level, given), receiver.serve)
        said.append(str(done))
        failed |= set(done.failed_uids)
        whole = whole and (done.status == 0 or bool(done.failed_uids))
    # What one association has no context for, another one has brought.
    failed -= {landed.uid for landed in landing.files}
    for uid in sorted(failed):
        click.echo(one_line(f"  not sent by the peer: {uid}"))
    total = sum(landed.size for landed in landing.files)
    click.echo(
        one_line(
            f"get: {len(landing.files)} files, {mebibytes(total)} in {time.monotonic() - started:.1f} s "
            f"-> {out}; the peer says: {'; '.join(said)}"
        )
    )
    if failed or not whole or not landing.files:
        sys.exit(1)


def _classes(called: Caller, given: dict[str, str], level: str) -> list[str]:
    """The SOP classes of what is asked for, as far as the peer tells; none: it does not."""
    from dicomnn.errors import PeerError
    from scp.client.association import associated
    from scp.client.query import contexts_of, find, identifier, text
    from scp.dimse.contexts import STUDY_ROOT

    model = STUDY_ROOT[0]
    classes: dict[str, None] = {}
    try:
        with associated(called, contexts_of(model)) as assoc:
            studies = (
                [given["StudyInstanceUID"]]
                if given.get("StudyInstanceUID")
                else [
                    text(one, "StudyInstanceUID")
                    for one in find(
                        assoc,
                        model,
                        identifier(
                            "STUDY", {"PatientID": given.get("PatientID", ""), "StudyInstanceUID": ""}
                        ),
                    ).found
                ]
                if level == "PATIENT"
                else []
            )
            for study in studies:
                series = (
                    [given["SeriesInstanceUID"]]
                    if given.get("SeriesInstanceUID")
                    else [
                        text(one, "SeriesInstanceUID")
                        for one in find(
                            assoc,
                            model,
                            identifier("SERIES", {"StudyInstanceUID": study, "SeriesInstanceUID": ""}),
                        ).found
                    ]
                )
                for uid in series:
                    for one in find(
                        assoc,
                        model,
                        identifier(
                            "IMAGE",
                            {
                                "StudyInstanceUID": study,
                                "SeriesInstanceUID": uid,
                                "SOPInstanceUID": given.get("SOPInstanceUID", ""),
                                "SOPClassUID": "",
                            },
                        ),
                    ).found:
                        classes[text(one, "SOPClassUID")] = None
    except PeerError:
        return []  # it takes no queries: the common classes are proposed
    return [uid for uid in classes if uid]
