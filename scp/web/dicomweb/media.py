"""Media types and the transfer syntaxes that go with them (PS3.18 table 8.7.3-2 and following)."""

from __future__ import annotations

from collections.abc import Iterable

from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, HTJ2K, IMPLICIT_LITTLE, JPEG_2000, JPEG_LS, RLE
from dicomnn.flow.frames import AS_STORED
from scp.web.dicomweb.accept import Choice

OCTETS, DICOM = "application/octet-stream", "application/dicom"
_J = "1.2.840.10008.1.2.4."
BY_MEDIA: dict[str, tuple[str, ...]] = {
    OCTETS: (EXPLICIT_LITTLE,),
    "image/jls": (JPEG_LS, _J + "81"),
    "image/jp2": (JPEG_2000, _J + "91"),
    "image/jphc": (HTJ2K, _J + "202", _J + "203"),
    "image/jpx": (_J + "92", _J + "93"),
    "image/jpeg": (_J + "70", _J + "57", _J + "50", _J + "51", _J + "53", _J + "55"),
    "image/jxl": (_J + "110", _J + "111", _J + "112"),
    "image/dicom-rle": (RLE,),
    "video/mpeg": tuple(_J + each for each in ("100", "100.1", "101", "101.1")),
    "video/mp4": tuple(_J + each for each in (
        "102", "102.1", "103", "103.1", "104", "104.1", "105", "105.1", "106", "106.1", "107", "108")),
}
"""The first of each is meant where none is named, and compressed to; the others are given where an object is
stored so."""
_MEDIA_OF = {uid: media for media, uids in BY_MEDIA.items() for uid in uids}


def media_of(transfer_syntax: str) -> str:
    """The media type of a frame in this syntax."""
    return _MEDIA_OF.get(transfer_syntax, OCTETS)


def frame_syntaxes(choice: Choice) -> tuple[str, ...]:
    """In what frames may be given for one alternative, best first; () where it is no frame's media type."""
    named = choice.transfer_syntax
    if choice.media in ("*/*", OCTETS):
        if named == AS_STORED:
            return (AS_STORED,)
        if named and named != IMPLICIT_LITTLE:
            return (named,)
        return (EXPLICIT_LITTLE, AS_STORED) if choice.media == "*/*" else (EXPLICIT_LITTLE,)
    known = BY_MEDIA.get(choice.media, ())
    if named in ("", AS_STORED):
        return known
    return (named,) if named in known else ()


def frame_choices(found: Iterable[Choice]) -> list[tuple[Choice, str]]:
    """(alternative, syntax) in order of preference; native little endian for who does not care."""
    found = list(found) or [Choice("*/*", True)]
    return [(choice, uid) for choice in found for uid in frame_syntaxes(choice)]
