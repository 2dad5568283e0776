"""What a client takes: Accept read leniently, as viewers write it (PS3.18 8.7).

Quotes may be missing, parameters doubled, alternatives unknown: what cannot be read is passed over. The query
parameter ``accept`` stands in front of the header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flask import Request

_PART = re.compile(r'((?:[^,"]|"(?:\\.|[^"\\])*")+)')
_PARAMETER = re.compile(r';\s*([\w!#$&^.+-]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;"]*)')
LONGEST = 4000
MULTIPART = "multipart/related"


@dataclass(frozen=True)
class Choice:
    """One alternative. media: without ``multipart/related`` around it, which ``multipart`` says.
    transfer_syntax: '' where none is named, '*' for any."""

    media: str
    multipart: bool
    transfer_syntax: str = ""
    quality: float = 1.0

    def takes(self, media: str) -> bool:
        """Whether it covers a media type."""
        kind = media.partition("/")[0]
        return self.media in (media, "*/*", f"{kind}/*")


def parameters(text: str) -> dict[str, str]:
    """The parameters of a media type, the first of each name, without quotes."""
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text[:LONGEST]):
        found.setdefault(name.lower(), value.strip().strip('"').strip())
    return found


def choices(request: Request) -> list[Choice]:
    """The alternatives, best first; [] when the client does not care."""
    said = request.args.getlist("accept") or [request.headers.get("Accept", "")]
    found = [choice for text in said for choice in _read(text[:LONGEST]) if choice.quality > 0]
    return sorted(found, key=lambda choice: -choice.quality)     # stable: as the client lists them


def _read(text: str) -> Iterator[Choice]:
    for part in _PART.findall(text):
        media = part.split(";", 1)[0].strip().lower()
        if not re.fullmatch(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", media):
            continue
        named = parameters(part)
        quality = _quality(named.get("q", "1"))
        syntax = named.get("transfer-syntax", "")
        if media == MULTIPART:
            yield Choice(named.get("type", "*/*").lower() or "*/*", True, syntax, quality)
        else:
            yield Choice(media, False, syntax, quality)


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def takes_json(found: Iterable[Choice]) -> bool:
    """Whether DICOM JSON may be sent. Who names only odd things of multipart, as viewers do, gets it too."""
    found = list(found)
    single = [choice for choice in found if not choice.multipart]
    if not single:
        return all(choice.media != "application/dicom+xml" for choice in found)
    return any(choice.takes("application/dicom+json") or choice.takes("application/json")
               for choice in single)
