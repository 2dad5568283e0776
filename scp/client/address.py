"""A peer as people write it on a command line: TITLE@HOST:PORT."""

from __future__ import annotations

import re

from dicomnn.errors import UsageError
from scp.dimse.destination import Destination

_ADDRESS = re.compile(
    r"(?P<title>[^@\\]{1,64})@(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s@:\[\]]+)):(?P<port>\d+)"
)
TITLE_LENGTH = 16


def parse_address(text: str) -> Destination:
    """``TITLE@HOST:PORT``; an IPv6 address in brackets. Raises UsageError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"'{text}' is no address of a peer",
            cure="Write it as TITLE@HOST:PORT, for example ORTHANC@127.0.0.1:4242.",
        )
    port = int(found["port"])
    if not 0 < port < 65536:
        raise UsageError(f"{port} is no TCP port", cure="Ports are 1 to 65535; DICOM's usual one is 104.")
    return Destination(checked_title(found["title"]), found["six"] or found["host"], port)


def checked_title(title: str) -> str:
    """An AE title: 1 to 16 printable ASCII characters without backslash (PS3.5 table 6.2-1)."""
    title = title.strip()
    if (
        not title
        or len(title) > TITLE_LENGTH
        or not title.isascii()
        or not title.isprintable()
        or "\\" in title
    ):
        raise UsageError(f"'{title}' is no AE title", cure="An AE title has 1 to 16 ASCII characters.")
    return title
