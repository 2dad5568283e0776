"""``dicomnn store``: send files and folders to a peer."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomnn.cli import one_line
from dicomnn.cli._peer import caller, peer_options, show_contexts

if TYPE_CHECKING:
    from scp.client.store import Sent

GOOD = ("sent", "warned", "skipped")


@click.command("store")
@peer_options
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--contexts", is_flag=True, help="Print the negotiated contexts.")
@click.option("--verbose", "-v", is_flag=True, help="A line for each file, not only for those that failed.")
def command(
    peer: str, ae_title: str, timeout: float, paths: tuple[Path, ...], contexts: bool, verbose: bool
) -> None:
    """Send files, and all files below folders, with C-STORE; their data sets go as they are.

    What the peer takes only uncompressed is converted; a coded object goes as the original that it holds.
    Files that are not DICOM are left out and counted.

    Exit codes: 0 every DICOM file was taken, 1 some were not (listed with the peer's status) or the peer
    cannot be reached.
    """
    from scp.client.store import store

    called = caller(peer, ae_title, timeout)
    counts: Counter[str] = Counter()

    def told(sent: Sent) -> None:
        counts[sent.word] += 1
        if verbose or sent.word not in ("sent", "skipped"):
            status = "" if sent.status is None else f"{sent.status:04X}"
            click.echo(
                one_line(
                    " ".join(
                        part
                        for part in (f"  {sent.word}:", sent.name, status, sent.syntax, sent.note)
                        if part
                    )
                )
            )

    started = time.monotonic()
    store(called, paths, told, show_contexts if contexts else lambda _assoc: None)
    summary = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "no files"
    click.echo(f"store: {summary} in {time.monotonic() - started:.1f} s -> {called.peer}")
    if (
        any(count for word, count in counts.items() if word not in GOOD)
        or not counts["sent"] + counts["warned"]
    ):
        sys.exit(1)
