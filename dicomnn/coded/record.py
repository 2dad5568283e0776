"""The JSON text of the private block: what nothing else in the file says (docs/object.md has every key).

It is written for machines that come years later, and for small images, of which a kilobyte of text would be
a quarter. It has a checksum, over its content and not its bytes, and is pure ASCII: an archive may convert
the character set of the data set around it. The checksum covers the payload's pixel digest too, so that a
text and a payload that were not written together are found out. Keys that are unknown are ignored, for a
later minor version; another ``v`` is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE
from dicomnn.errors import PrivateBlockDamaged, UnsupportedFormatVersion

FORMAT_VERSION = 2
TEXT_LIMIT = 1 << 20
RESTORED_DIGEST, FILE_META_DIGEST = 16, 9
"""Bytes kept of digests that are only held against accidents; docs/decisions/0030 says why that is enough."""
ENCODINGS = {(True, True): "EL", (True, False): "EB", (False, True): "IL", (False, False): "IB"}
"""(explicit, little endian) as the key ``encoding`` has it."""
_CHECKSUM = 6


@dataclass(frozen=True)
class Record:
    """What the text says. Fields with a default are written only where they differ from it."""

    received_digest: str
    """SHA-256 of the data set as received, 64 hexadecimal digits."""
    file_meta_digest: str
    """First 18 digits of the SHA-256 of everything before the data set."""
    time: str
    """UTC, ISO 8601 in seconds."""
    library_version: str
    restored_digest: str = ""
    """First 32 digits of the SHA-256 of the data set that restoring gives, where it is not the received."""
    transfer_syntax: str = EXPLICIT_LITTLE
    """Of the file as it was written."""
    received_as: str = ""
    """Transfer syntax of the original, where that was encapsulated."""
    received_uid: str = ""
    """Its SOP Instance UID, where the object has another one."""
    bytes_before: int = 0
    """Size of the original file, where it is not that of the file which restoring gives."""
    encoding: str = ""
    """Of `ENCODINGS`, where the bytes were not as the transfer syntax says."""
    pixel_vr: str = ""
    """VR of Pixel Data, where it is not OW (of 8 bit pixels: OB)."""
    pixel_header: bytes = b""
    """Header of Pixel Data, where VR and length alone do not give it."""
    pixel_length: int = -1
    """Length of the Pixel Data value, where it is not that of the frames, made even with a zero byte."""
    place: tuple[int, ...] = ()
    """Offset of Pixel Data in the restored data set and the length of that, where the order of tags does
    not tell the place."""
    dropped: tuple[str, ...] = ()
    note: str = ""
    lossy: Mapping[str, Any] | None = None
    """What a lossy profile promised and what became of it (`lossy_record.py`), where one was asked for."""

    def to_bytes(self, pixel_digest: bytes) -> bytes:
        """One line of JSON with its checksum, padded with a space to even length (PS3.5 6.2, UT).

        `pixel_digest` is that of the payload beside it.
        """
        values: dict[str, Any] = {"v": FORMAT_VERSION}
        for field in fields(self):
            value, form = getattr(self, field.name), FORMS[field.name]
            if value != field.default:
                values[form.key] = form.write(value)
        return checked_text(values, pixel_digest)

    @classmethod
    def from_bytes(cls, raw: bytes | memoryview, pixel_digest: bytes) -> Record:
        """Parse and check; `pixel_digest` is that of the payload beside it.

        Raises PrivateBlockDamaged (not JSON, a key is missing or of the wrong type) and
        UnsupportedFormatVersion.
        """
        values = _object(bytes(raw))
        version = values.get("v")
        if not _is_count(version):
            raise PrivateBlockDamaged("the manifest names no format version")
        if version != FORMAT_VERSION:
            raise UnsupportedFormatVersion(
                f"the object is of format version {version}, this dicomnn reads {FORMAT_VERSION}"
            )
        if values.get("c") != _checksum(values, pixel_digest):
            raise PrivateBlockDamaged(
                "the checksum of the manifest is wrong: it was changed, or the payload is not the one it was "
                "written with"
            )
        known: dict[str, Any] = {}
        for field in fields(cls):
            key = FORMS[field.name].key
            if key in values:
                try:
                    known[field.name] = FORMS[field.name].read(values[key])
                except (ValueError, TypeError, OverflowError, OSError) as error:
                    raise PrivateBlockDamaged(f"the manifest's '{key}' has not the form it must") from error
            elif field.default is MISSING:
                raise PrivateBlockDamaged(f"the manifest lacks '{key}'")
        return cls(**known)


# ------------------------------------------------------------------ the text
def checked_text(values: dict[str, Any], pixel_digest: bytes) -> bytes:
    """`values` as the manifest's text, with the checksum that belongs to them behind the version."""
    others = {name: value for name, value in values.items() if name not in ("v", "c")}
    whole = {"v": values.get("v"), "c": _checksum(values, pixel_digest)} | others
    text = json.dumps(whole, separators=(",", ":")).encode("ascii")
    return text + b" " * (len(text) % 2)


def _checksum(values: dict[str, Any], pixel_digest: bytes) -> str:
    """First 6 bytes of the SHA-256 of the other values, sorted by key and written without white space, and
    the pixel digest behind them."""
    others = {name: value for name, value in values.items() if name != "c"}
    canonical = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return _letters(hashlib.sha256(canonical.encode("ascii") + pixel_digest).digest()[:_CHECKSUM])


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) > TEXT_LIMIT:
        raise PrivateBlockDamaged(f"the manifest is {len(raw)} bytes long, more than any manifest is")
    try:
        values = json.loads(raw.rstrip(b" \0").decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PrivateBlockDamaged("the manifest is not readable JSON") from error
    if not isinstance(values, dict):
        raise PrivateBlockDamaged("the manifest is not a JSON object")
    return values


# ------------------------------------------------------------------ the forms of the values
class Form(NamedTuple):
    """How a field stands in the text. `read` raises ValueError or TypeError for anything else."""

    key: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _letters(raw: bytes) -> str:
    """base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def _digest(key: str, size: int) -> Form:
    def read(value: Any) -> str:
        raw = base64.urlsafe_b64decode(_text(value) + "=" * (-len(value) % 4))
        if len(raw) != size or _letters(raw) != value:
            raise ValueError(f"not a digest of {size} bytes")
        return raw.hex()

    return Form(key, lambda digest: _letters(bytes.fromhex(digest)), read)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _count(value: Any) -> int:
    if not _is_count(value):
        raise ValueError("not a count")
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(_text, value))


def _facts(value: Any) -> dict[str, Any]:
    plain = (str, int, float, bool)
    if not isinstance(value, dict) or not all(isinstance(fact, plain) for fact in value.values()):
        raise TypeError("not an object of plain values")
    return dict(value)


def _place(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("not two numbers")
    return tuple(map(_count, value))


def _encoding(value: Any) -> str:
    if value not in ENCODINGS.values():
        raise ValueError("no encoding")
    return str(value)


def _vr(value: Any) -> str:
    if len(_text(value)) != 2 or not (value.isascii() and value.isupper()):
        raise ValueError("no VR")
    return str(value)


def _time(value: Any) -> str:
    return datetime.fromtimestamp(_count(value), UTC).isoformat(timespec="seconds")


FORMS = {
    "received_digest": _digest("d", 32),
    "file_meta_digest": _digest("m", FILE_META_DIGEST),
    "time": Form("t", lambda time: int(datetime.fromisoformat(time).timestamp()), _time),
    "library_version": Form("w", str, _text),
    "restored_digest": _digest("r", RESTORED_DIGEST),
    "transfer_syntax": Form("s", str, _text),
    "received_as": Form("f", str, _text),
    "received_uid": Form("u", str, _text),
    "bytes_before": Form("b", int, _count),
    "encoding": Form("encoding", str, _encoding),
    "pixel_vr": Form("vr", str, _vr),
    "pixel_header": Form("header", bytes.hex, lambda value: bytes.fromhex(_text(value))),
    "pixel_length": Form("length", int, _count),
    "place": Form("place", list, _place),
    "dropped": Form("dropped", list, _texts),
    "note": Form("note", str, _text),
    "lossy": Form("lossy", dict, _facts),
}
"""Keys of one letter stand in everyday objects; those in words are for the odd ones."""
