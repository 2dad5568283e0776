"""What is known about a coded object: who made it of what, and what must come back.

``record.py`` has the text that stands in the private block. It is short: what payload, data set and file
say anyway is not said again, and ``StoredObject`` puts both together to this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXACTNESS = ("data-set", "pixels", "bounded", "lossy")
CHANGED = ("bounded", "lossy")
"""Of those, what is no longer the original's pixels: an object of its own, marked as lossy."""


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
    was encapsulated), 'bounded' (every stored value within the bound; the data set is a derived one) or
    'lossy' (a promised figure is reached on every frame; the data set is a derived one)."""
    bytes_before: int
    """Size of the original file; of an object that another archive changed, of the file that comes back."""
    bytes_after: int
    """Size of the coded file as it is."""
    pixel_bytes: int
    payload_length: int
    """Length of the payload without the padding byte that DICOM may add to its element."""
    pixel_digest: str
    """Of the decoded frames as little-endian words."""
    dataset_digest: str
    """Of the data set that restoring gives (from its first element, without preamble and File Meta). Only
    its first 32 digits unless ``exact`` is 'data-set': ask ``gives``."""
    original_dataset_digest: str
    """Of the data set as received; equals ``dataset_digest`` when ``exact`` is 'data-set'."""
    file_meta_digest: str
    """First 18 digits of that of everything in the stored file before the data set."""
    dataset_length: int
    """Length of the data set that restoring gives."""
    pixel_data_offset: int
    """Where its Pixel Data element begins."""
    pixel_data_length: int
    """Length of its Pixel Data value, trailing bytes included."""
    transfer_syntax: str
    """Of the stored file as it was written and of what restoring then gives."""
    explicit: bool
    """Whether the bytes of the data set showed VRs, whatever the transfer syntax says."""
    little_endian: bool
    original_transfer_syntax: str
    original_sop_instance_uid: str = ""
    """Differs from the object's own UID after a lossy derivation."""
    dropped: tuple[str, ...] = ()
    """Elements that describe the encapsulation and left with it, as 'ggggeeee'."""
    note: str = ""
    lossy: Mapping[str, Any] | None = None
    """What a lossy profile promised and what became of it, where one was asked for (`lossy_record.py`)."""

    @property
    def changed(self) -> bool:
        """Whether what comes back is a derived object with other pixels than the original."""
        return self.exact in CHANGED

    def gives(self, digest: str) -> bool:
        """Whether `digest` (SHA-256, 64 digits) is that of the data set which restoring must give."""
        return digest.startswith(self.dataset_digest)
