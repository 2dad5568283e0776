"""The files in a ZIP, one after the other, without believing what it says of itself.

Names in it are shown and never used as a path. A few bytes may claim to be terabytes (a bomb), entries may
overlap so that each is the same bomb, or there may be millions of them: all of that is found in the table of
contents, before anything is unpacked, and what is unpacked is counted once more.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from dicomnn.errors import DicomError

CHUNK = 1 << 20
ALWAYS_BYTES = 64 << 20  # unpacked, whatever the ratio
LARGEST_RATIO = 100
_IGNORED = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


class ZipRefused(DicomError):
    """A ZIP that is damaged, encrypted, or not what it seems."""

    code = "zip"
    cure = "Unpack it on your machine and upload the files or the folder."


@dataclass(frozen=True)
class ZipLimits:
    """Files in one ZIP, and their bytes together when unpacked."""

    files: int = 5000
    bytes: int = 8 << 30


def is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\3\4", b"PK\5\6")


class ZipReader:
    """Opens and judges the table of contents. Raises ZipRefused."""

    def __init__(self, file: BinaryIO, limits: ZipLimits) -> None:
        self._limits, self._left = limits, limits.bytes
        size = file.seek(0, 2)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            raise ZipRefused(f"the ZIP cannot be read: {error}", cure="Pack it again.") from error
        self.entries = [entry for entry in self._zip.infolist() if not entry.is_dir() and not _ignored(entry)]
        if len(self.entries) > limits.files:
            raise ZipRefused(
                f"the ZIP holds {len(self.entries)} files; at most {limits.files} are taken at once",
                cure="Upload it in parts, or the unpacked folder.",
            )
        unpacked = sum(entry.file_size for entry in self.entries)
        packed = sum(entry.compress_size for entry in self.entries)
        if packed > size:
            raise ZipRefused("files in the ZIP overlap: it unpacks to more than it holds")
        if unpacked > limits.bytes:
            raise ZipRefused(
                f"the ZIP unpacks to {unpacked} bytes; at most {limits.bytes} are taken",
                cure="Upload it in parts, or the unpacked folder.",
            )
        if unpacked > max(ALWAYS_BYTES, LARGEST_RATIO * size):
            raise ZipRefused(
                f"the ZIP of {size} bytes unpacks to {unpacked}: that is a bomb, or nearly empty images"
            )

    def name(self, entry: zipfile.ZipInfo) -> str:
        """For showing."""
        return str(PurePosixPath(entry.filename))[-200:]

    def pieces(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """The bytes of one file. Raises ZipRefused."""
        if entry.flag_bits & 1:
            raise ZipRefused("the file is encrypted", cure="Pack it again without a password.")
        count = 0
        try:
            with self._zip.open(entry) as source:
                while piece := source.read(CHUNK):
                    count += len(piece)
                    self._left -= len(piece)
                    if count > entry.file_size or self._left < 0:
                        raise ZipRefused("the file is longer than the ZIP says")
                    yield piece
        except ZipRefused:
            raise
        except Exception as error:  # zlib, lzma, bz2 and zipfile have a class each for damage
            raise ZipRefused(f"the file cannot be unpacked: {error}", cure="Pack it again.") from error


def _ignored(entry: zipfile.ZipInfo) -> bool:
    return any(
        entry.filename.startswith(name) or entry.filename.endswith("/" + name) or entry.filename == name
        for name in _IGNORED
    )
