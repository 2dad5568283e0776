"""What echo, find, store and get share: whom to call, and what was negotiated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line
from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from scp.client.association import Caller, ClientAssociation


def peer_options(function: Any) -> Any:
    """PEER and how it is called."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0.1),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Without a sign of life of the peer for so long: give up.",
        ),
        click.option("--ae-title", default="DICOMNN", show_default=True, help="Our own AE title."),
        click.argument("peer", metavar="TITLE@HOST:PORT"),
    ):
        function = option(function)
    return function


def caller(peer: str, ae_title: str, timeout: float) -> Caller:
    """Raises UsageError."""
    from scp import logs
    from scp.client.address import checked_title, parse_address
    from scp.client.association import Caller
    from scp.dimse.accept import Limits

    logs.configure("error", False)
    limits = Limits(acse_timeout=min(30.0, timeout), dimse_timeout=timeout, network_timeout=timeout)
    return Caller(parse_address(peer), checked_title(ae_title), limits)


def show_contexts(assoc: ClientAssociation) -> None:
    """The presentation contexts as negotiated, one line each, on standard error."""
    from pydicom.uid import UID

    answer = assoc.acceptor
    click.echo(
        one_line(
            f"association with {assoc.acceptor.ae_title}: {len(assoc.accepted_contexts)} contexts "
            f"accepted, {len(assoc.rejected_contexts)} refused; PDUs of "
            f"{answer.maximum_length or 'any'} bytes; {answer.implementation_version_name or ''}"
        ),
        err=True,
    )
    for context in assoc.accepted_contexts:
        roles = "" if context.as_scu else " (it may send)"
        click.echo(
            one_line(
                f"  accepted  {UID(context.abstract_syntax).name}: "
                f"{UID(context.transfer_syntax[0]).name}{roles}"
            ),
            err=True,
        )
    for context in assoc.rejected_contexts:
        syntaxes = ", ".join(UID(syntax).name for syntax in context.transfer_syntax)
        click.echo(one_line(f"  refused   {UID(context.abstract_syntax).name}: {syntaxes}"), err=True)


def keys_of(given: tuple[str, ...]) -> dict[str, str]:
    """``Keyword=value`` or ``Keyword`` (to be returned). Raises UsageError."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name.isalnum():
            raise UsageError(
                f"'{text}' is no key", cure="Write -k Keyword=value, or -k Keyword to have it back."
            )
        found[name] = value
    return found
