"""What a manifest promises to readers of other versions, and to those who get damaged ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dicomnn.coded.manifest import Manifest, checked_text
from dicomnn.errors import PrivateBlockDamaged, UnsupportedFormatVersion

MANIFEST = Manifest(
    format_version=1,
    library_version="1",
    time="2025-01-01T00:00:00+00:00",
    profile="lossless",
    effort="default",
    model_id="",
    exact="data-set",
    bytes_before=10,
    bytes_after=9,
    pixel_bytes=4,
    payload_length=3,
    pixel_digest="a" * 64,
    dataset_digest="b" * 64,
    original_dataset_digest="b" * 64,
    file_meta_digest="c" * 64,
    dataset_length=8,
    pixel_data_offset=2,
    pixel_data_length=4,
    transfer_syntax="1.2.840.10008.1.2.1",
    explicit=True,
    little_endian=True,
    original_transfer_syntax="1.2.840.10008.1.2.1",
    dropped=("7fe00001",),
    note="für später",
)


def changed(**values: Any) -> bytes:
    return checked_text(json.loads(MANIFEST.to_bytes()) | values)


def test_manifest_is_read_back_as_written_and_fits_a_dicom_element() -> None:
    raw = MANIFEST.to_bytes()
    assert len(raw) % 2 == 0
    assert Manifest.from_bytes(raw) == Manifest.from_bytes(raw + b" \0") == MANIFEST


def test_keys_of_a_later_minor_version_are_ignored() -> None:
    assert Manifest.from_bytes(changed(colour="blue")) == MANIFEST


def test_another_layout_of_the_same_json_is_the_same_manifest() -> None:
    assert Manifest.from_bytes(json.dumps(json.loads(MANIFEST.to_bytes()), indent=3).encode()) == MANIFEST


def test_the_text_is_ascii_because_character_sets_change_on_the_way() -> None:
    assert MANIFEST.to_bytes().isascii()


def test_a_changed_value_is_found_by_the_checksum() -> None:
    raw = MANIFEST.to_bytes()
    assert raw.count(b'"pixel_data_offset": 2') == 1
    with pytest.raises(PrivateBlockDamaged, match="checksum"):
        Manifest.from_bytes(raw.replace(b'"pixel_data_offset": 2', b'"pixel_data_offset": 3'))


def test_a_later_format_version_is_refused_with_a_cure() -> None:
    with pytest.raises(UnsupportedFormatVersion, match="version 2") as caught:
        Manifest.from_bytes(changed(format_version=2))
    assert "newer dicomnn" in caught.value.cure


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[1]",
        b"\xff\xfe",
        b'{"format_version": 1}',
        b'{"format_version": true}',
        b"{" * 5000,
        changed(bytes_before="10"),
        changed(bytes_before=-1),
        changed(exact="perhaps"),
        changed(dropped="x"),
        changed(explicit=1),
        changed(profile=None),
        b" " * ((1 << 20) + 1),
    ],
)
def test_anything_but_a_manifest_is_a_damaged_block(raw: bytes) -> None:
    with pytest.raises(PrivateBlockDamaged):
        Manifest.from_bytes(raw)
