"""Multipart bodies, made and taken apart by other means than the node's."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from typing import Any

from dicomnn.flow.part10 import file_prefix
from tests.scp.peer import Item

BOUNDARY = "tests-boundary"
STOW = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}


def part10(item: Item) -> bytes:
    """A made object as a file."""
    return file_prefix(item.sop_class, item.instance, item.syntax) + item.data


def encapsulated(item: Item, syntax: str, frame: bytes = b"not really a film") -> Item:
    """The object with one compressed frame, in a syntax with explicit VR."""
    frame += b"\0" * (len(frame) % 2)
    pixels = (struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
              + struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(frame)) + frame
              + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    return Item(item.sop_class, item.instance, syntax, item.data + pixels)


def multipart(files: Iterable[bytes], kind: str = "application/dicom", end: bool = True) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode()
    body = b"".join(head + data + b"\r\n" for data in files)
    return body + (f"--{BOUNDARY}--\r\n".encode() if end else b"")


def parts_of(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """(Content-Type, bytes) of each part; every byte between two boundaries is accounted for."""
    found = re.fullmatch(r'multipart/related; type="[^"]+"; boundary=(\S+)', content_type)
    assert found is not None, content_type
    mark = b"--" + found[1].encode()
    assert body.startswith(mark + b"\r\n") and body.endswith(b"\r\n" + mark + b"--\r\n"), body[-80:]
    parts = []
    for piece in body[len(mark):-len(mark) - 6].split(b"\r\n" + mark):
        head, data = piece.split(b"\r\n\r\n", 1)
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").strip().split("\r\n"))
        assert int(headers["Content-Length"]) == len(data)
        parts.append((headers["Content-Type"], data))
    return parts


def parts(answer: Any) -> list[tuple[str, bytes]]:
    """The same of an answer of Flask's client."""
    assert answer.status_code in (200, 206), (answer.status_code, answer.data[:300])
    return parts_of(answer.headers["Content-Type"], answer.data)
