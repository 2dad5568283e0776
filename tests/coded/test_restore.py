"""What a coded object gives back after a trip, after damage, and to those who want a part of it."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomnn.codec.payload import VERSION
from dicomnn.coded.record import checked_text
from dicomnn.coded.restore import check, frame, open_dataset, region, restore, stored_frames
from dicomnn.coded.stored import StoredObject
from dicomnn.errors import (
    DicomnnError,
    NotCoded,
    PayloadCorrupt,
    PayloadError,
    PayloadImplausible,
    PrivateBlockDamaged,
    RestoreMismatch,
    UnknownModel,
    UnsupportedFormatVersion,
)

PAYLOAD, MANIFEST = (0x7FE11001, 0x7FE11002)


def edited(coded: Path, change: Any, **options: Any) -> Path:
    """The object after another archive has read it, changed it and written it anew."""
    dataset = pydicom.dcmread(coded)
    change(dataset)
    target = coded.with_suffix(".travelled")
    pydicom.dcmwrite(target, dataset, **options)
    return target


def spliced(coded: Path, old: bytes, new: bytes) -> Path:
    raw = coded.read_bytes()
    assert raw.count(old) == 1 and len(old) == len(new)
    coded.write_bytes(raw.replace(old, new))
    return coded


def payload_of(coded: Path) -> tuple[int, int]:
    """(offset, length) of the payload in the file."""
    raw = coded.read_bytes()
    start = raw.index(b"DNNP")
    return start, struct.unpack_from("<L", raw, start - 4)[0]


# ------------------------------------------------------------------ forms of the way back
def test_the_data_set_alone_is_what_c_store_carries(ct: Path, coded: Path, kit: Any) -> None:
    stream = io.BytesIO()
    restored = restore(coded, stream, kit.no_models, form="data-set")
    start = ct.read_bytes().index(b"\x08\x00\x05\x00CS")
    assert stream.getvalue() == ct.read_bytes()[start:]
    assert restored.digest == kit.sha256(stream.getvalue()) and restored.size == len(stream.getvalue())


def test_a_stream_gets_the_whole_file(ct: Path, coded: Path, kit: Any) -> None:
    stream = io.BytesIO()
    restore(coded, stream, kit.no_models)
    assert stream.getvalue() == ct.read_bytes()


def test_frames_and_regions_are_had_alone(tmp_path: Path, kit: Any) -> None:
    words = kit.smooth_image(3, 300, 280)
    kit.seal(kit.make_file(tmp_path / "a.dcm", words))
    coded = tmp_path / "a.coded"
    assert np.array_equal(frame(coded, 1, kit.no_models), words[1])
    assert np.array_equal(region(coded, 2, 250, 251, 20, 10, kit.no_models), words[2, 250:270, 251:261])
    assert all(np.array_equal(a, b) for a, b in zip(stored_frames(coded, kit.no_models), words, strict=True))


def test_a_dataset_of_either_form_has_the_pixels(ct: Path, coded: Path, kit: Any) -> None:
    ours, theirs = open_dataset(coded, kit.no_models), open_dataset(ct, kit.no_models)
    assert ours == theirs and ours.PixelData == theirs.PixelData
    assert np.array_equal(ours.pixel_array, theirs.pixel_array)


def test_a_bare_data_set_can_be_opened_with_its_pixels(ct: Path, tmp_path: Path, kit: Any) -> None:
    raw = ct.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(raw[raw.index(b"\x08\x00\x05\x00CS") :])
    assert np.array_equal(open_dataset(bare, kit.no_models).pixel_array, pydicom.dcmread(ct).pixel_array)


def test_an_ordinary_file_is_said_not_to_be_coded(ct: Path, tmp_path: Path, kit: Any) -> None:
    with pytest.raises(NotCoded):
        restore(ct, tmp_path / "out", kit.no_models)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ after a trip through another archive
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_another_transfer_syntax_keeps_the_pixels_and_is_explained(
    syntax: Any, coded: Path, ct: Path, kit: Any
) -> None:
    def to_syntax(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    travelled = edited(
        coded,
        to_syntax,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    back = travelled.with_suffix(".back")
    restored = restore(travelled, back, kit.no_models)
    assert restored.exact == "pixels" and not restored.surroundings_intact
    assert "Explicit VR Little Endian" in restored.explanation and syntax.name in restored.explanation
    opened = pydicom.dcmread(back)
    assert opened.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(opened.pixel_array, pydicom.dcmread(ct).pixel_array)


def test_an_element_changed_by_another_archive_is_told_and_strictly_refused(
    coded: Path, ct: Path, kit: Any
) -> None:
    travelled = edited(coded, lambda dataset: setattr(dataset, "PatientID", "another"))
    back = travelled.with_suffix(".back")
    restored = restore(travelled, back, kit.no_models)
    assert restored.exact == "pixels" and "changed after coding" in restored.explanation
    assert pydicom.dcmread(back).PatientID == "another"
    assert pydicom.dcmread(back).PixelData == pydicom.dcmread(ct).PixelData
    back.unlink()
    with pytest.raises(RestoreMismatch):
        restore(travelled, back, kit.no_models, strict=True)
    assert not back.exists() and not list(back.parent.glob(".*.part"))


def test_a_renumbered_block_of_unknown_vrs_restores_exactly(coded: Path, ct: Path, kit: Any) -> None:
    def renumber(dataset: pydicom.Dataset) -> None:
        values = {tag & 0xFF: dataset[tag].value for tag in (PAYLOAD, MANIFEST)}
        for tag in (PAYLOAD, MANIFEST, 0x7FE10010):
            del dataset[tag]
        dataset.add_new(0x7FE30042, "LO", "DICOMNN")
        for low, value in values.items():
            raw = value.encode() if isinstance(value, str) else value
            dataset.add_new(0x7FE34200 | low, "UN", raw + b" " * (len(raw) % 2))

    travelled = edited(coded, renumber)
    restored = restore(travelled, travelled.with_suffix(".back"), kit.no_models)
    assert restored.surroundings_intact and restored.exact == "data-set"
    assert travelled.with_suffix(".back").read_bytes() == ct.read_bytes()


@pytest.mark.parametrize("tag", [PAYLOAD, MANIFEST, 0x7FE10010])
def test_a_block_that_lost_a_part_is_named_with_a_cure(tag: int, coded: Path, kit: Any) -> None:
    travelled = edited(coded, lambda dataset: dataset.__delitem__(tag))
    with pytest.raises((PrivateBlockDamaged, NotCoded)) as caught:
        restore(travelled, travelled.with_suffix(".back"), kit.no_models)
    assert caught.value.cure and caught.value.subject == str(travelled)
    assert not travelled.with_suffix(".back").exists()


# ------------------------------------------------------------------ damage and lies
def test_any_flipped_byte_is_an_error_or_told_and_never_reaches_the_target(
    coded: Path, ct: Path, kit: Any
) -> None:
    raw, target = coded.read_bytes(), coded.with_suffix(".back")
    start, length = payload_of(coded)
    positions = {*range(start - 40, start + 160, 3), *range(start + length - 8, len(raw), 5)}
    for position in sorted(positions):
        coded.write_bytes(raw[:position] + bytes([raw[position] ^ 0x01]) + raw[position + 1 :])
        try:
            restored = restore(coded, target, kit.no_models)
        except DicomnnError:
            assert not target.exists(), position
            continue
        pixels = ct.read_bytes()[-64 * 48 * 2 :]
        assert target.read_bytes().endswith(pixels), position
        assert start + length <= position or position < start, position
        if restored.exact == "data-set":
            assert target.read_bytes() == ct.read_bytes(), position
        target.unlink()


def test_a_flipped_bit_in_a_tile_names_the_tile(coded: Path, kit: Any) -> None:
    raw = bytearray(coded.read_bytes())
    start, length = payload_of(coded)
    raw[start + length - 9] ^= 4
    coded.write_bytes(raw)
    with pytest.raises(PayloadCorrupt, match="frame 0 tile 0") as caught:
        check(coded, kit.no_models)
    assert caught.value.where == "frame 0 tile 0"


def test_a_claim_of_huge_frames_is_refused_before_anything_is_allocated(coded: Path, kit: Any) -> None:
    raw = bytearray(coded.read_bytes())
    start, _ = payload_of(coded)
    struct.pack_into("<2H", raw, start + 12, 65535, 65535)
    raw[start + 22 : start + 26] = struct.pack("<L", 10000)
    coded.write_bytes(raw)
    with pytest.raises(PayloadError) as caught:
        check(coded, kit.no_models)
    assert isinstance(caught.value, PayloadImplausible) or caught.value.where == "header"


def test_a_manifest_of_a_newer_format_is_refused(coded: Path, kit: Any) -> None:
    with pytest.raises(UnsupportedFormatVersion) as caught:
        check(spliced(coded, b'{"v":2,', b'{"v":7,'), kit.no_models)
    assert "newer dicomnn" in caught.value.sentence()


def test_a_payload_of_a_newer_format_is_refused(coded: Path, kit: Any) -> None:
    with pytest.raises(UnsupportedFormatVersion):
        check(spliced(coded, b"DNNP" + bytes([VERSION]), b"DNNP\x63"), kit.no_models)


def test_a_payload_that_needs_an_unknown_model_says_which(
    coded: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomnn.coded import stored

    def asks(payload: Any, models: Any, *, threads: int = 1) -> Any:
        yield models("0123456789abcdef0123456789abcdef")

    monkeypatch.setattr(stored, "decode_frames", asks)
    with pytest.raises(UnknownModel, match="0123456789abcdef") as caught:
        check(coded, kit.no_models)
    assert "models/" in caught.value.cure


@pytest.mark.parametrize("rows", [64, 32])
def test_the_payload_of_another_image_is_refused(rows: int, tmp_path: Path, coded: Path, kit: Any) -> None:
    """Both objects are whole in themselves; only together they are wrong."""
    other = kit.make_file(tmp_path / "other.dcm", kit.smooth_image(1, rows, 48, seed=3))
    kit.seal(other)
    theirs = bytes(pydicom.dcmread(tmp_path / "other.coded")[PAYLOAD].value)
    travelled = edited(coded, lambda dataset: dataset.add_new(PAYLOAD, "OB", theirs))
    with pytest.raises(PrivateBlockDamaged, match="the payload is not the one"):
        check(travelled, kit.no_models)


def retold(coded: Path, **values: Any) -> Path:
    """The object with other values in its manifest, whose checksum is right again."""
    told = json.loads(pydicom.dcmread(coded)[MANIFEST].value) | values
    with StoredObject(coded) as stored:
        text = checked_text(told, stored.header.pixel_digest).decode()
    return edited(coded, lambda dataset: dataset.add_new(MANIFEST, "UT", text))


def test_bytes_beyond_the_frames_that_are_not_there_are_missed(coded: Path, kit: Any) -> None:
    with pytest.raises(PrivateBlockDamaged, match="beyond the frames"):
        check(retold(coded, length=64 * 48 * 2 + 2), kit.no_models)


def test_a_payload_with_more_pixels_than_the_original_is_refused(coded: Path, kit: Any) -> None:
    with pytest.raises(PrivateBlockDamaged, match="more than"):
        check(retold(coded, length=64 * 48 * 2 - 2), kit.no_models)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_an_object_that_was_cut_off_is_refused(share: float, coded: Path, kit: Any) -> None:
    raw = coded.read_bytes()
    coded.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(DicomnnError):
        restore(coded, coded.with_suffix(".back"), kit.no_models)
    assert not coded.with_suffix(".back").exists()


def test_nothing_reaches_a_stream_before_the_last_digest(coded: Path, kit: Any) -> None:
    raw = bytearray(coded.read_bytes())
    start, length = payload_of(coded)
    raw[start + length - 9] ^= 4
    coded.write_bytes(raw)
    stream = io.BytesIO()
    with pytest.raises(PayloadCorrupt):
        restore(coded, stream, kit.no_models)
    assert stream.getvalue() == b""


def test_a_closed_object_lets_its_file_go(coded: Path) -> None:
    with StoredObject(coded) as stored:
        assert stored.header.rows == 64
    coded.unlink()
    assert ExplicitVRLittleEndian == stored.manifest.transfer_syntax


def test_an_original_header_that_speaks_of_another_length_is_refused(coded: Path, kit: Any) -> None:
    with pytest.raises(PrivateBlockDamaged, match="the original element had"):
        check(retold(coded, header="e07f10004f57010002180000"), kit.no_models)


@pytest.mark.parametrize("header", ["", "e07f", "e07f10004f5700000018", "e07f12004f57000000180000"])
def test_what_is_no_header_of_pixel_data_is_refused(header: str, coded: Path, kit: Any) -> None:
    if header:
        with pytest.raises(PrivateBlockDamaged, match="original Pixel Data header"):
            check(retold(coded, header=header), kit.no_models)
    else:
        assert check(retold(coded, header=header), kit.no_models).exact == "data-set"


@pytest.mark.parametrize("place", [[0, 0], [10**9, 5], [7, 6400], [0, 1 << 70]])
def test_a_wrong_place_of_pixel_data_does_no_harm(place: list[int], coded: Path, kit: Any) -> None:
    assert check(retold(coded, place=place), kit.no_models).exact == "data-set"
