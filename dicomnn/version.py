"""The version of this library, from its installed metadata."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def library_version() -> str:
    """For example '0.1.0'; '0+checkout' when it runs from a checkout that was never installed."""
    try:
        return metadata.version("dicomnn")
    except metadata.PackageNotFoundError:
        return "0+checkout"
