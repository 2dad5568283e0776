"""Nameless temporary files: they vanish with their process, whatever happens to it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast


def spool_file(folder: Path | None) -> BinaryIO:
    """An open file without a name, in `folder` (default: where the system keeps temporary files)."""
    return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))


@contextmanager
def written_beside(target: Path) -> Iterator[BinaryIO]:
    """A file that takes `target`'s name, durable, when the block ends well, and is gone when it does not.

    The order is write, fsync, rename, fsync of the folder: `target` is never half written.
    """
    with path_beside(target) as temporary, open(temporary, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def path_beside(target: Path) -> Iterator[Path]:
    """A path in `target`'s folder for a file that takes its name when the block ends well.

    The caller makes the content durable.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield temporary
        os.replace(temporary, target)
        sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
