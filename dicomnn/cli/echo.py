"""``dicomnn echo``: is a peer there, and what does it offer."""

from __future__ import annotations

import sys
import time

import click

from dicomnn.cli._peer import caller, peer_options, show_contexts


@click.command("echo")
@peer_options
def command(peer: str, ae_title: str, timeout: float) -> None:
    """Call a peer with C-ECHO and print what it negotiates: verification, query, retrieve.

    Exit codes: 0 it answered with success, 1 it cannot be reached, refuses us or answers otherwise.
    """
    from scp.client.association import associated
    from scp.client.query import contexts_of, echo
    from scp.dimse.contexts import SERVICES

    called = caller(peer, ae_title, timeout)
    with associated(called, contexts_of(*SERVICES)) as assoc:
        show_contexts(assoc)
        started = time.monotonic()
        status = echo(assoc)
        took = 1000 * (time.monotonic() - started)
    click.echo(f"echo: {called.peer} answered {status:04X} in {took:.0f} ms")
    if status:
        sys.exit(1)
