"""``dicomnn users``: who may use the pages and DICOMweb."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.flow.accounts import Accounts

ROLES = ("viewer", "contributor", "administrator")
archive_option = click.option("--archive", type=click.Path(path_type=Path), help="Folder of the archive.")
config_option = click.option("--config", "config_path", type=click.Path(path_type=Path),
                             help="The node's TOML file.")
stdin_option = click.option("--password-stdin", is_flag=True,
                            help="Read the password from the first line of standard input.")


@click.group("users")
def command() -> None:
    """Add, list and remove those who may use the pages and DICOMweb.

    Without any user the pages are open to this machine, and to this machine only. viewer: looks and
    downloads. contributor: uploads and codes again as well. administrator: deletes, and manages users.
    """


@contextlib.contextmanager
def _accounts(archive: Path | None, config_path: Path | None) -> Iterator[Accounts]:
    from dicomnn.flow.accounts import Accounts
    from dicomnn.flow.opening import open_archive
    from scp import logs
    from scp.config_read import load
    from scp.settings import place_of

    logs.configure("warning", False)
    config = load(config_path)
    if archive is not None:
        config = config.with_("archive", path=str(archive))
    with open_archive(place_of(config)) as opened:
        yield Accounts(opened)


def _who() -> str:
    """Whoever sits at the terminal, for the audit table."""
    try:
        return f"command line, {getpass.getuser()}"
    except (OSError, KeyError):
        return "command line"


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password",
                         cure="Use --password-stdin and give it as the first line.")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@command.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@stdin_option
@archive_option
@config_option
def add(name: str, role: str, password_stdin: bool, archive: Path | None, config_path: Path | None) -> None:
    """Add a user; the first one must be an administrator."""
    password = _password(password_stdin)
    with _accounts(archive, config_path) as accounts:
        accounts.add(name, role, password, by=_who())
        accounts.note(_who(), "add user", subject=name, detail=role)
    click.echo(f"users: {name} is {role} now")


@command.command("list")
@archive_option
@config_option
def list_(archive: Path | None, config_path: Path | None) -> None:
    """Users, their roles and their tokens."""
    with _accounts(archive, config_path) as accounts:
        users = accounts.users()
        if not users:
            click.echo("users: none; the pages are open to this machine and to no other")
        for user in users:
            click.echo(f"{user.name:<24} {user.role:<14} since {_day(user.created_at)} by {user.created_by}")
            for token in accounts.tokens(user.name):
                used = f"used {_day(token.used_at)}" if token.used_at else "never used"
                click.echo(f"  token {token.id}: {token.label}, made {_day(token.created_at)}, {used}")


@command.command("remove")
@click.argument("name")
@archive_option
@config_option
def remove(name: str, archive: Path | None, config_path: Path | None) -> None:
    """Remove a user with sessions and tokens."""
    with _accounts(archive, config_path) as accounts:
        accounts.remove(name)
        accounts.note(_who(), "remove user", subject=name)
    click.echo(f"users: {name} is gone")


@command.command("password")
@click.argument("name")
@stdin_option
@archive_option
@config_option
def password_(name: str, password_stdin: bool, archive: Path | None, config_path: Path | None) -> None:
    """Give a user a new password; that ends the user's sessions."""
    password = _password(password_stdin)
    with _accounts(archive, config_path) as accounts:
        accounts.set_password(name, password)
        accounts.note(_who(), "set password", subject=name)
    click.echo(f"users: {name} has a new password")


@command.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@archive_option
@config_option
def role_(name: str, role: str, archive: Path | None, config_path: Path | None) -> None:
    """Change what a user may do."""
    with _accounts(archive, config_path) as accounts:
        accounts.set_role(name, role)
        accounts.note(_who(), "set role", subject=name, detail=role)
    click.echo(f"users: {name} is {role} now")


@command.command("token")
@click.argument("name")
@click.option("--label", default="", help="What it is for, for example the viewer's name.")
@click.option("--revoke", type=int, metavar="NUMBER", help="Take this token back instead of making one.")
@archive_option
@config_option
def token(name: str, label: str, revoke: int | None, archive: Path | None, config_path: Path | None) -> None:
    """Make a token for a DICOMweb client, which then may do what the user may. It is shown once."""
    with _accounts(archive, config_path) as accounts:
        if revoke is not None:
            accounts.remove_token(name, revoke)
            accounts.note(_who(), "revoke token", subject=name, detail=str(revoke))
            click.echo(f"users: token {revoke} of {name} is worth nothing now")
            return
        made = accounts.new_token(name, label)
        accounts.note(_who(), "make token", subject=name, detail=label)
    click.echo(made)
    click.echo("Send it as 'Authorization: Bearer TOKEN', or as the password of Basic.", err=True)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
