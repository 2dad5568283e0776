"""multipart/related in both directions, piece by piece (RFC 2387, RFC 2046 5.1; PS3.18 8.6)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

PIECE = 1 << 20
HEADERS_LIMIT = 16 << 10
PREAMBLE_LIMIT = 64 << 10
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


class Malformed(Exception):
    """The body is not what its Content-Type says. Parts before it were whole."""


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


# ------------------------------------------------------------------ writing
@dataclass(frozen=True)
class Part:
    """One part: its Content-Type, where it can be had alone, its bytes in pieces and their number."""

    content_type: str
    location: str
    pieces: Iterable[bytes]
    size: int


class Writer:
    """A body that is written as it is read."""

    def __init__(self, kind: str, mark: str = "") -> None:
        """``mark``: hexadecimal digits that no part holds; drawn without one. What has an ETag takes that, so
        that the same representation has the same bytes."""
        self._boundary = "dicomnn-" + (mark or secrets.token_hex(16))
        self.content_type = f'multipart/related; type="{kind}"; boundary={self._boundary}'

    def body(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """Raises what the parts raise: the body then ends without its last boundary."""
        for part in parts:
            head = (f"--{self._boundary}\r\nContent-Type: {part.content_type}\r\n"
                    f"Content-Length: {part.size}\r\n")
            if part.location:
                head += f"Content-Location: {part.location}\r\n"
            yield head.encode("ascii", "replace") + b"\r\n"
            yield from part.pieces
            yield b"\r\n"
        yield f"--{self._boundary}--\r\n".encode()


# ------------------------------------------------------------------ reading
def boundary_of(text: str) -> str:
    """A boundary as it stands in a Content-Type. Raises Malformed."""
    if not _BOUNDARY.fullmatch(text) or text.endswith(" "):
        raise Malformed("the Content-Type has no usable boundary")
    return text


class Reader:
    """The parts of a body, one after the other: each one's headers and its pieces, which are used up before
    the next part is asked for. Memory: two pieces."""

    def __init__(self, source: Source, boundary: str) -> None:
        self._source = source
        self._mark = b"\r\n--" + boundary.encode("ascii")
        self._buffer = b"\r\n"          # the first boundary may stand at the very beginning
        self._ended = False
        self._inside = False

    def parts(self) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
        """Raises Malformed where the body breaks off or has no boundary."""
        for _ in self._until_mark(PREAMBLE_LIMIT):
            pass
        while self._next_part():
            headers = self._headers()
            pieces = self._until_mark(None)
            yield headers, pieces
            for _ in pieces:            # what nobody wanted
                pass

    def _more(self) -> bool:
        piece = b"" if self._ended else self._source.read(PIECE)
        self._ended = not piece
        self._buffer += piece
        return bool(piece)

    def _until_mark(self, limit: int | None) -> Iterator[bytes]:
        """The bytes up to the next boundary, which is left out."""
        passed = 0
        while True:
            place = self._buffer.find(self._mark)
            if place >= 0:
                found, self._buffer = self._buffer[:place], self._buffer[place + len(self._mark):]
                if found:
                    yield found
                return
            safe = len(self._buffer) - len(self._mark) + 1
            if safe > 0:
                found, self._buffer = self._buffer[:safe], self._buffer[safe:]
                passed += len(found)
                yield found
            if limit is not None and passed > limit:
                raise Malformed("the boundary of the Content-Type is not in the body")
            if not self._more():
                raise Malformed("the body ends within a part" if limit is None
                                else "the boundary of the Content-Type is not in the body")

    def _next_part(self) -> bool:
        """Behind a boundary: whether a part follows."""
        while len(self._buffer) < 2 and self._more():
            pass
        if self._buffer.startswith(b"--"):
            return False
        while b"\n" not in self._buffer[:200] and len(self._buffer) < 200 and self._more():
            pass
        line, end, rest = self._buffer.partition(b"\n")
        if not end or line.strip(b" \t\r"):
            raise Malformed("something stands behind a boundary")
        self._buffer = rest
        return True

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        read = 0
        while True:
            while b"\n" not in self._buffer:
                if len(self._buffer) > HEADERS_LIMIT or not self._more():
                    raise Malformed("the headers of a part do not end")
            line, _, self._buffer = self._buffer.partition(b"\n")
            read += len(line)
            line = line.strip(b"\r")
            if read > HEADERS_LIMIT:
                raise Malformed("the headers of a part do not end")
            if not line:
                self._empty_part()
                return headers
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()

    def _empty_part(self) -> None:
        """A boundary right behind the headers, whose line break some leave out, ends a part without bytes."""
        mark = self._mark[2:]
        while len(self._buffer) < len(mark) and mark.startswith(self._buffer) and self._more():
            pass
        if self._buffer.startswith(mark):
            self._buffer = b"\r\n" + self._buffer
