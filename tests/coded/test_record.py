"""What the text of the private block promises to later readers, and to those who get a damaged one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomnn.codec.decode import decode, read_header
from dicomnn.coded.record import FORMS, Record, checked_text
from dicomnn.errors import PrivateBlockDamaged, UnsupportedFormatVersion

PIXELS = bytes(range(32))
"""Digest of the pixels in the payload beside the text."""
PAGE = (Path(__file__).parents[2] / "docs/object.md").read_text()
LEAN = Record("ab" * 32, "cd" * 9, "2025-01-01T00:00:00+00:00", "0.1.0")
FULL = replace(
    LEAN,
    restored_digest="ef" * 16,
    transfer_syntax="1.2.840.10008.1.2",
    received_as="1.2.840.10008.1.2.4.70",
    received_uid="1.2.3",
    bytes_before=10,
    encoding="EB",
    pixel_vr="UN",
    pixel_header=b"\xe0\x7f\x10\x00\x08\x00\x00\x00",
    pixel_length=8,
    place=(2, 80),
    dropped=("7fe00001",),
    note="für später",
    lossy={"promise": "psnr=45", "reached_worst": 45.01, "worst_frame": 3},
)


def changed(**values: Any) -> bytes:
    return checked_text(json.loads(FULL.to_bytes(PIXELS)) | values, PIXELS)


def without(key: str) -> bytes:
    values = json.loads(FULL.to_bytes(PIXELS))
    del values[key]
    return checked_text(values, PIXELS)


@pytest.mark.parametrize("record", [LEAN, FULL], ids=["lean", "full"])
def test_a_record_is_read_back_as_written_and_fits_a_dicom_element(record: Record) -> None:
    raw = record.to_bytes(PIXELS)
    assert len(raw) % 2 == 0 and raw.isascii()
    assert Record.from_bytes(raw, PIXELS) == Record.from_bytes(raw + b" \0", PIXELS) == record


def test_a_record_beside_the_payload_of_other_pixels_is_refused() -> None:
    with pytest.raises(PrivateBlockDamaged, match="checksum"):
        Record.from_bytes(LEAN.to_bytes(PIXELS), PIXELS[::-1])


def test_the_full_record_of_this_test_leaves_nothing_at_its_default() -> None:
    assert all(getattr(FULL, field.name) != field.default for field in fields(Record))
    assert set(json.loads(FULL.to_bytes(PIXELS))) == {"v", "c"} | {form.key for form in FORMS.values()}


def test_the_text_is_the_one_that_the_documentation_shows() -> None:
    """The page's example was made with a shell, by its own recipe, of the words below."""
    record = Record(hashlib.sha256(b"data set").hexdigest(), hashlib.sha256(b"meta").hexdigest()[:18],
                    "2025-01-02T03:04:05+00:00", "0.1.0")  # fmt: skip
    text = record.to_bytes(hashlib.sha256(b"pixels").digest()).decode()
    assert f"\n`{text.rstrip()}`\n" in PAGE


def test_the_documentation_has_every_key() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:yes)? ?\|", PAGE, re.MULTILINE)) == set(
        json.loads(FULL.to_bytes(PIXELS))
    )


@pytest.mark.parametrize("bits, shape", [(12, (1, 64, 48)), (8, (3, 21, 33))])
def test_who_has_only_the_page_and_the_payload_decoder_gets_every_byte_back(
    bits: int, shape: tuple[int, int, int], tmp_path: Path, kit: Any
) -> None:
    words = kit.smooth_image(*shape, bits=bits)
    source = kit.make_file(tmp_path / "a.dcm", words.astype("u1") if bits == 8 else words, bits_stored=bits,
                           vr="OB" if bits == 8 else "OW")  # fmt: skip
    assert kit.seal(source).kind == "coded"
    raw = (tmp_path / "a.coded").read_bytes()
    block = pydicom.dcmread(tmp_path / "a.coded").private_block(0x7FE1, "DICOMNN")
    payload, text = bytes(block[0x01].value), block[0x02].value
    told = json.loads(text)
    others = json.dumps({key: told[key] for key in sorted(told) if key != "c"}, separators=(",", ":"))
    checksum = hashlib.sha256(others.encode() + read_header(payload).pixel_digest).digest()[:6]
    assert base64.urlsafe_b64encode(checksum).decode() == told["c"]
    begin = raw.index(b"\xe1\x7f\x10\x00LO\x08\x00DICOMNN ")
    end = raw.index(text.encode()) + len(text) + len(text) % 2
    value = decode(payload, kit.no_models).astype("u1" if bits == 8 else np.dtype("<u2")).tobytes()
    value += b"\0" * (len(value) % 2)
    header = b"\xe0\x7f\x10\x00" + (b"OB" if bits == 8 else b"OW") + b"\0\0"
    header += len(value).to_bytes(4, "little")
    start = raw.index(b"\x08\x00\x05\x00CS")
    back = raw[start:begin] + header + value + raw[end:]
    digest = base64.urlsafe_b64encode(hashlib.sha256(back).digest()).decode().rstrip("=")
    assert digest == told["d"]
    assert source.read_bytes().endswith(back)


def test_keys_of_a_later_minor_version_are_ignored() -> None:
    assert Record.from_bytes(changed(colour="blue"), PIXELS) == FULL


def test_another_layout_of_the_same_json_is_the_same_record() -> None:
    assert Record.from_bytes(json.dumps(json.loads(FULL.to_bytes(PIXELS)), indent=3).encode(), PIXELS) == FULL


@pytest.mark.parametrize("key", ["b", "m", "d", "t", "place", "note"])
def test_a_changed_value_is_found_by_the_checksum(key: str) -> None:
    values = json.loads(FULL.to_bytes(PIXELS))
    values[key] = {int: 7, str: "x" * 43, list: [1, 2]}[type(values[key])]
    with pytest.raises(PrivateBlockDamaged, match="checksum"):
        Record.from_bytes(json.dumps(values).encode(), PIXELS)


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_version_is_refused_with_a_cure(version: int) -> None:
    with pytest.raises(UnsupportedFormatVersion, match=f"version {version}") as caught:
        Record.from_bytes(changed(v=version), PIXELS)
    assert "newer dicomnn" in caught.value.cure


@pytest.mark.parametrize("key", ["d", "m", "t", "w"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(PrivateBlockDamaged, match=f"lacks '{key}'"):
        Record.from_bytes(without(key), PIXELS)


@pytest.mark.parametrize(
    "values",
    [
        {"b": "10"},
        {"b": -1},
        {"b": True},
        {"d": "short"},
        {"d": "A" * 42 + "B"},
        {"d": "!" * 43},
        {"d": 5},
        {"m": None},
        {"r": "A" * 43},
        {"t": 10**15},
        {"t": 10**400},
        {"t": 1.5},
        {"dropped": "x"},
        {"dropped": [1]},
        {"encoding": "XX"},
        {"encoding": []},
        {"header": "xyz"},
        {"length": -1},
        {"note": 1},
        {"place": [1]},
        {"place": [1, -1]},
        {"s": None},
        {"vr": "ö"},
        {"vr": "Öß"},
        {"vr": "OWL"},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_form_is_a_damaged_block_that_names_the_key(values: dict[str, Any]) -> None:
    with pytest.raises(PrivateBlockDamaged, match=f"'{next(iter(values))}'"):
        Record.from_bytes(changed(**values), PIXELS)


@pytest.mark.parametrize(
    "raw",
    [b"", b"not json", b"[1]", b"\xff\xfe", b'{"v": 2}', b'{"v": true}', b'{"v": "2"}', b'{"d": "x"}',
     b"{" * 5000, b" " * ((1 << 20) + 1)],  # fmt: skip
)
def test_anything_but_a_record_is_a_damaged_block(raw: bytes) -> None:
    with pytest.raises(PrivateBlockDamaged):
        Record.from_bytes(raw, PIXELS)
