"""What a coded object says about itself: the JSON text of its private block.

The manifest is written for machines that come years later: it names the format, the model and the
digests against which a restored data set is checked. It carries a checksum of itself, over its content and
not its bytes, and is pure ASCII: an archive may convert the character set of the data set around it. Unknown
keys of a later minor version are ignored; a later ``format_version`` is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from dicomnn.errors import PrivateBlockDamaged, UnsupportedFormatVersion

FORMAT_VERSION = 1
EXACTNESS = ("data-set", "pixels", "bounded")
MANIFEST_LIMIT = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """Digests are SHA-256 in lower-case hexadecimal; sizes are bytes; offsets count from the data set."""

    format_version: int
    library_version: str
    time: str
    """UTC, ISO 8601, when the object was coded."""
    profile: str
    effort: str
    model_id: str
    """Empty when no tile needs a model."""
    exact: str
    """What comes back: 'data-set' (every byte), 'pixels' (pixels and every other element; the original
    was encapsulated) or 'bounded' (every stored value within the bound; the data set is a derived one)."""
    bytes_before: int
    """Size of the original file."""
    bytes_after: int
    """Size of the coded file."""
    pixel_bytes: int
    payload_length: int
    """Length of the payload without the padding byte that DICOM may add to its element."""
    pixel_digest: str
    """Of the decoded frames as little-endian words."""
    dataset_digest: str
    """Of the data set that restoring gives (from its first element, without preamble and File Meta)."""
    original_dataset_digest: str
    """Of the data set as received; equals ``dataset_digest`` when ``exact`` is 'data-set'."""
    file_meta_digest: str
    """Of everything in the stored file before the data set."""
    dataset_length: int
    """Length of the data set that restoring gives."""
    pixel_data_offset: int
    """Where its Pixel Data element begins."""
    pixel_data_length: int
    """Length of its Pixel Data value, trailing bytes included."""
    transfer_syntax: str
    """Of the stored file and of what restoring gives."""
    explicit: bool
    """Whether the bytes of the data set show VRs, whatever the transfer syntax says."""
    little_endian: bool
    original_transfer_syntax: str
    original_sop_instance_uid: str = ""
    """Differs from the object's own UID after a lossy derivation."""
    dropped: tuple[str, ...] = ()
    """Elements that describe the encapsulation and left with it, as 'ggggeeee'."""
    note: str = ""

    def to_bytes(self) -> bytes:
        """JSON of one line with its checksum, padded with a space to even length (PS3.5 6.2, UT)."""
        return checked_text(asdict(self))

    @classmethod
    def from_bytes(cls, raw: bytes | memoryview) -> Manifest:
        """Parse and check types.

        Raises PrivateBlockDamaged (not JSON, a key is missing or of the wrong type) and
        UnsupportedFormatVersion (written by a later version).
        """
        values = _object(bytes(raw))
        version = values.get("format_version")
        if not isinstance(version, int) or not _is_count(version):
            raise PrivateBlockDamaged("the manifest names no format version")
        if version > FORMAT_VERSION:
            raise UnsupportedFormatVersion(
                f"the object is of format version {version}, this dicomnn reads up to {FORMAT_VERSION}"
            )
        if values.get("checksum") != _checksum(values):
            raise PrivateBlockDamaged("the manifest does not have the checksum that it names")
        known: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in values:
                if field.name in _OPTIONAL:
                    continue
                raise PrivateBlockDamaged(f"the manifest lacks '{field.name}'")
            known[field.name] = _checked(field.name, str(field.type), values[field.name])
        if known["exact"] not in EXACTNESS:
            raise PrivateBlockDamaged(
                f"the manifest promises '{known['exact']}', which is no known exactness"
            )
        return cls(**known)


_OPTIONAL = ("original_sop_instance_uid", "dropped", "note")


def checked_text(values: dict[str, Any]) -> bytes:
    """The manifest text of `values`, with the checksum that belongs to them."""
    text = json.dumps(values | {"checksum": _checksum(values)}, sort_keys=True).encode("ascii")
    return text + b" " * (len(text) % 2)


def _checksum(values: dict[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the other values in canonical form."""
    others = {name: value for name, value in values.items() if name != "checksum"}
    canonical = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MANIFEST_LIMIT:
        raise PrivateBlockDamaged(f"the manifest is {len(raw)} bytes long, more than any manifest is")
    try:
        values = json.loads(raw.rstrip(b" \0").decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PrivateBlockDamaged("the manifest is not readable JSON") from error
    if not isinstance(values, dict):
        raise PrivateBlockDamaged("the manifest is not a JSON object")
    return values


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _checked(name: str, kind: str, value: object) -> object:
    if kind == "int" and _is_count(value):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise PrivateBlockDamaged(f"the manifest's '{name}' is not of the expected type")
