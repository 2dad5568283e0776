"""The ``dicomnn`` command. One file per command, found when it is asked for; no logic here.

A module ``dicomnn/cli/<name>.py`` offers a click command named ``command``. It is imported only when that
command runs (or for the list of ``--help``), so ``dicomnn status`` never pays for torch.
Exit codes: 0 all good, 1 some items failed (listed), 2 usage or configuration.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

from dicomnn.errors import DicomnnError
from dicomnn.version import library_version


class Commands(click.Group):
    """A group whose commands are the modules of this package, and whose errors are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
        return sorted(name.replace("_", "-") for name in names if _load(name) is not None)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        module = name.replace("-", "_")
        if module.startswith("_") or not module.isidentifier() or not _exists(module):
            return None
        try:
            return getattr(importlib.import_module(f"{__name__}.{module}"), "command", None)
        except ModuleNotFoundError as error:
            raise click.UsageError(
                f"'{name}' needs the Python package '{error.name}', which is not installed; "
                f"pip install it, or dicomnn with the extra that brings it."
            ) from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"{error.message} Commands: {known}.", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DicomnnError as error:
            click.echo(f"dicomnn: {one_line(error.sentence())}", err=True)
            ctx.exit(error.exit_code)


def one_line(text: str) -> str:
    """`text` without line breaks and control characters: names in it may come from hostile files."""
    return "".join(character if character.isprintable() else " " for character in text)


def _exists(module: str) -> bool:
    return any(found.name == module for found in pkgutil.iter_modules(__path__))


def _load(module: str) -> click.Command | None:
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), "command", None)
    except ModuleNotFoundError:
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(library_version(), message="dicomnn %(version)s")
def main() -> None:
    """A DICOM node that keeps images small with a learned lossless codec, and gives every byte back."""
