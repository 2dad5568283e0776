"""A sealed object gives the original back, byte for byte, or it is not called coded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicomnn.codec.profile import Profile
from dicomnn.coded import stored as stored_module
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import seal
from dicomnn.coded.stored import StoredObject
from dicomnn.errors import NotDicom, UsageError, VerificationFailed


def signed_words(words: np.ndarray) -> np.ndarray:
    """Sign-extended values around zero: the bits above BitsStored are garbage to the standard, not to us."""
    return (words.astype(np.int32) - 2048).astype(np.int16).view(np.uint16)


def own_group(*groups: int) -> Any:
    def add(dataset: Dataset) -> None:
        for group in groups:
            dataset.private_block(group, "THEIRS", create=True).add_new(1, "OB", b"their own bytes.")

    return add


def padding(dataset: Dataset) -> None:
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * 10)


EIGHT = {"bits_stored": 8}
ODD = (3, 21, 33)
CASES: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "explicit": ((1, 64, 48), 12, {}),
    "implicit": ((1, 64, 48), 12, {"syntax": ImplicitVRLittleEndian}),
    "big-endian": ((1, 64, 48), 12, {"syntax": ExplicitVRBigEndian}),
    "big-endian-frames-trailing": ((3, 64, 48), 12, {"syntax": ExplicitVRBigEndian, "extra": b"abc"}),
    "8-bit-ob": ((1, 64, 48), 8, EIGHT | {"vr": "OB"}),
    "8-bit-ow-odd-frames": (ODD, 8, EIGHT | {"vr": "OW"}),
    "8-bit-ow-odd-frames-big-endian": (ODD, 8, EIGHT | {"syntax": ExplicitVRBigEndian}),
    "8-bit-ob-odd-frames-big-endian": (ODD, 8, EIGHT | {"syntax": ExplicitVRBigEndian, "vr": "OB"}),
    "trailing-bytes": ((2, 64, 48), 12, {"extra": bytes(range(200)) + b"x"}),
    "elements-behind": ((1, 64, 48), 12, {"tail": padding}),
    "own-7fe1": ((1, 64, 48), 12, {"tail": own_group(0x7FE1)}),
    "own-7fe1-7fe3": ((1, 64, 48), 12, {"tail": own_group(0x7FE1, 0x7FE3)}),
    "own-7fe3": ((1, 64, 48), 12, {"tail": own_group(0x7FE3)}),
    "own-7fe1-padding-implicit": (
        (1, 64, 48),
        12,
        {
            "syntax": ImplicitVRLittleEndian,
            "tail": lambda dataset: (own_group(0x7FE1)(dataset), padding(dataset)),
        },
    ),
    "16-bits": ((1, 64, 48), 16, {"bits_stored": 16}),
}


@pytest.mark.parametrize("case", CASES)
def test_native_objects_come_back_byte_for_byte(case: str, tmp_path: Path, kit: Any) -> None:
    shape, bits, options = CASES[case]
    words = kit.smooth_image(*shape, bits=bits)
    source = kit.make_file(tmp_path / "a.dcm", words.astype(np.uint8) if bits == 8 else words, **options)
    sealed = kit.seal(source)
    assert sealed.kind == "coded", sealed.detail
    assert sealed.manifest.exact == "data-set"
    assert sealed.bytes_after == source.with_suffix(".coded").stat().st_size == sealed.manifest.bytes_after
    restored = restore(source.with_suffix(".coded"), tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes()
    assert restored.file_identical and restored.surroundings_intact and restored.exact == "data-set"


def native(path: Path, kit: Any, **options: Any) -> Path:
    return kit.make_file(path, kit.smooth_image(), **options)


def packed(path: Path, kit: Any) -> Path:
    dataset = pydicom.dcmread(native(path, kit))
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize(
    "syntax, most",
    [
        (ExplicitVRLittleEndian, 160),
        (ImplicitVRLittleEndian, 176),
        (ExplicitVRBigEndian, 186),
        (RLELossless, 230),
    ],
    ids=["explicit", "implicit", "big-endian", "encapsulated"],
)
def test_the_private_block_is_small_beside_its_payload(
    syntax: Any, most: int, tmp_path: Path, kit: Any
) -> None:
    """Everything that is there because of us: creator, headers of elements, manifest."""
    path = tmp_path / "a.dcm"
    sealed = kit.seal(packed(path, kit) if syntax == RLELossless else native(path, kit, syntax=syntax))
    with StoredObject(tmp_path / "a.coded") as stored:
        size = sum(end - start for start, end in stored.block.positions) - sealed.payload_bytes
    assert size <= most


@pytest.mark.parametrize("vr", ["OB", "UN", "US"])
@pytest.mark.parametrize("bits", [8, 12])
def test_an_unusual_vr_of_pixel_data_comes_back(vr: str, bits: int, tmp_path: Path, kit: Any) -> None:
    words = kit.smooth_image(bits=bits)
    source = kit.make_file(
        tmp_path / "a.dcm", words.astype(np.uint8) if bits == 8 else words, bits_stored=bits
    )
    raw, size = source.read_bytes(), words.size * (1 if bits == 8 else 2)
    header = b"\xe0\x7f\x10\x00" + vr.encode()
    header += size.to_bytes(2, "little") if vr == "US" else b"\0\0" + size.to_bytes(4, "little")
    source.write_bytes(raw[: raw.rindex(b"\xe0\x7f\x10\x00OW")] + header + raw[-size:])
    sealed = kit.seal(source)
    assert sealed.kind == "coded", sealed.detail
    restore(tmp_path / "a.coded", tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes()


def test_an_odd_value_without_its_padding_comes_back(tmp_path: Path, kit: Any) -> None:
    words = kit.smooth_image(3, 21, 33, bits=8).astype(np.uint8)
    source = kit.make_file(tmp_path / "a.dcm", words, bits_stored=8)
    raw = source.read_bytes()
    length = raw.rindex((words.size + 1).to_bytes(4, "little"), 0, len(raw) - words.size)
    source.write_bytes(raw[:length] + words.size.to_bytes(4, "little") + raw[length + 4 : -1])
    assert kit.seal(source).kind == "coded"
    restore(tmp_path / "a.coded", tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes()


def test_reserved_bytes_of_the_header_come_back(ct: Path, tmp_path: Path, kit: Any) -> None:
    ct.write_bytes(ct.read_bytes().replace(b"\xe0\x7f\x10\x00OW\0\0", b"\xe0\x7f\x10\x00OW\1\2"))
    assert kit.seal(ct).kind == "coded"
    restore(ct.with_suffix(".coded"), tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == ct.read_bytes()


def test_bits_outside_of_bits_stored_come_back(tmp_path: Path, kit: Any) -> None:
    words = signed_words(kit.smooth_image()) | np.uint16(0)
    words[0, 3:9, :] |= 0x4000
    source = kit.make_file(tmp_path / "a.dcm", words, signed=True)
    assert kit.seal(source).kind == "coded"
    restore(tmp_path / "a.coded", tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes()


def test_garbage_behind_the_data_set_comes_back(ct: Path, tmp_path: Path, kit: Any) -> None:
    ct.write_bytes(ct.read_bytes() + b"\xff" * 37)
    assert kit.seal(ct).kind == "coded"
    restore(ct.with_suffix(".coded"), tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == ct.read_bytes()


def test_a_bare_data_set_comes_back(ct: Path, tmp_path: Path, kit: Any) -> None:
    raw = ct.read_bytes()
    start = raw.index(b"\x08\x00\x05\x00CS")
    ct.write_bytes(raw[start:])
    assert kit.seal(ct).kind == "coded"
    restore(ct.with_suffix(".coded"), tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == raw[start:]


def test_the_stored_object_is_a_dicom_file_that_keeps_every_other_element(coded: Path, ct: Path) -> None:
    mine, theirs = pydicom.dcmread(coded), pydicom.dcmread(ct)
    assert "PixelData" not in mine
    assert mine[0x7FE1, 0x0010].value == "DICOMNN"
    del theirs.PixelData
    assert [element for element in mine if element.tag.group < 0x7FE0] == list(theirs)


def test_losslessly_encapsulated_pixels_come_back_uncompressed_and_the_rest_unchanged(
    tmp_path: Path, kit: Any
) -> None:
    words = kit.smooth_image(2, 63, 33)
    native = kit.make_file(tmp_path / "native.dcm", words, tail=padding)
    packed = pydicom.dcmread(native)
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    sealed = kit.seal(tmp_path / "rle.dcm")
    assert sealed.kind == "coded", sealed.detail
    assert sealed.manifest.exact == "pixels" and sealed.manifest.original_transfer_syntax == RLELossless
    restored = restore(tmp_path / "rle.coded", tmp_path / "back.dcm", kit.no_models)
    back = pydicom.dcmread(tmp_path / "back.dcm")
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (
        back.file_meta.FileMetaInformationGroupLength
        == pydicom.dcmread(native).file_meta.FileMetaInformationGroupLength
    )
    assert np.array_equal(back.pixel_array, words)
    assert "RLE Lossless" in restored.explanation and not restored.file_identical
    del back.PixelData, packed.PixelData
    assert back == packed


def test_encapsulated_objects_that_do_not_become_smaller_are_kept(tmp_path: Path, kit: Any) -> None:
    flat = np.zeros((1, 8, 8), np.uint16)
    packed = pydicom.dcmread(kit.make_file(tmp_path / "a.dcm", flat))
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    sealed = kit.seal(tmp_path / "rle.dcm")
    assert (sealed.kind, sealed.reason) == ("kept", "not-smaller")


def test_noise_is_kept_because_it_does_not_become_smaller(tmp_path: Path, kit: Any) -> None:
    noise = np.random.default_rng(2).integers(0, 1 << 16, (1, 40, 40)).astype(np.uint16)
    sealed = kit.seal(kit.make_file(tmp_path / "a.dcm", noise, bits_stored=16))
    assert (sealed.kind, sealed.reason, sealed.manifest) == ("kept", "not-smaller", None)
    assert not (tmp_path / "a.coded").exists()


@pytest.mark.parametrize(
    "case, reason",
    [
        ("deflated", "deflated-dataset"),
        ("colour", "colour"),
        ("short", "pixel-data-short"),
        ("lying", "frames-inconsistent"),
    ],
)
def test_what_cannot_be_coded_is_kept_with_its_reason(
    case: str, reason: str, tmp_path: Path, kit: Any
) -> None:
    words, path = kit.smooth_image(), tmp_path / "a.dcm"
    if case == "deflated":
        kit.make_file(path, words, syntax=DeflatedExplicitVRLittleEndian)
    elif case == "colour":
        kit.make_file(path, words, changes={"SamplesPerPixel": 3, "PlanarConfiguration": 0, "Rows": 16})
    elif case == "short":
        kit.make_file(path, words, changes={"Rows": 65})
    else:
        kit.make_file(path, words, changes={"NumberOfFrames": 0})
    sealed = kit.seal(path)
    assert (sealed.kind, sealed.reason) == ("kept", reason)
    assert sealed.detail and not (tmp_path / "a.coded").exists()


def test_profile_keep_keeps(ct: Path, kit: Any) -> None:
    assert kit.seal(ct, profile="keep").reason == "profile-keep"


def test_a_coded_object_is_not_coded_again(coded: Path, kit: Any) -> None:
    assert kit.seal(coded, coded.with_suffix(".twice")).reason == "already-coded"


def test_what_is_not_dicom_is_said_to_be_so(tmp_path: Path, kit: Any) -> None:
    (tmp_path / "a.txt").write_text("hello, this is no image at all")
    with pytest.raises(NotDicom):
        kit.seal(tmp_path / "a.txt")


@pytest.mark.parametrize("damage", ["pixel", "header"])
def test_a_wrong_decoder_is_found_out_and_nothing_is_left(
    damage: str, ct: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = stored_module.decode_frames

    def wrong(payload: memoryview, models: Any, *, threads: int = 1) -> Any:
        for frame in genuine(payload, models, threads=threads):
            frame = frame.copy()
            frame[-1, -1] ^= 1
            yield frame

    if damage == "pixel":
        monkeypatch.setattr(stored_module, "decode_frames", wrong)
    else:
        header = StoredObject._pixel_header
        monkeypatch.setattr(StoredObject, "_pixel_header", lambda self: header(self).replace(b"OW", b"OB"))
    with pytest.raises(VerificationFailed, match="frame 0" if damage == "pixel" else "data set"):
        kit.seal(ct)
    assert not ct.with_suffix(".coded").exists()


def test_bytes_spoilt_on_their_way_to_the_disk_are_found_out(
    ct: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomnn.codec.payload import Payload

    def spoil(self: Payload, file: Any) -> None:
        raw = bytearray(bytes(self))
        raw[-5] ^= 0x10
        file.write(raw)

    monkeypatch.setattr(Payload, "write_to", spoil)
    with pytest.raises(VerificationFailed):
        kit.seal(ct)
    assert not ct.with_suffix(".coded").exists()


def test_progress_ends_at_its_total_and_never_goes_back(ct: Path, kit: Any) -> None:
    told: list[tuple[int, int]] = []
    kit.seal(ct, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == 2 * 64 * 48 * 2
    assert told == sorted(told)


def test_facts_are_plain_json(ct: Path, kit: Any) -> None:
    import json

    facts = json.loads(json.dumps(kit.seal(ct).facts()))
    assert facts["kind"] == "coded" and sum(facts["tiles"].values()) == 1
    assert facts["ratio"] == pytest.approx(facts["bytes_before"] / facts["bytes_after"], abs=1e-3)


def test_a_profile_is_required(ct: Path, tmp_path: Path, kit: Any) -> None:
    with pytest.raises(UsageError):
        seal(
            ct,
            tmp_path / "x",
            profile=Profile.parse("lossless"),
            model=None,
            models=kit.no_models,
            effort="huge",
        )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("place", ["before", "behind"])
def test_elements_out_of_order_come_back_where_they_stood(
    place: str, ct: Path, tmp_path: Path, kit: Any
) -> None:
    raw = ct.read_bytes()
    pixel_data = raw.index(b"\xe0\x7f\x10\x00OW")
    late, early = b"\xe5\x7f\x10\x00LO\x06\x00THEIRS", b"\x08\x00\x70\x00LO\x04\x00made"
    ct.write_bytes(raw + early if place == "behind" else raw[:pixel_data] + late + raw[pixel_data:])
    sealed = kit.seal(ct)
    assert sealed.kind == "coded", sealed.detail
    restore(ct.with_suffix(".coded"), tmp_path / "back.dcm", kit.no_models)
    assert (tmp_path / "back.dcm").read_bytes() == ct.read_bytes()


def test_the_offset_table_of_the_encapsulated_form_goes_and_is_recorded(tmp_path: Path, kit: Any) -> None:
    packed = pydicom.dcmread(kit.make_file(tmp_path / "native.dcm", kit.smooth_image(2)))
    packed.compress(RLELossless, generate_instance_uid=False, encapsulate_ext=True)
    packed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    assert "ExtendedOffsetTable" in packed
    sealed = kit.seal(tmp_path / "rle.dcm")
    assert sealed.manifest.dropped == ("7fe00001", "7fe00002")
    restore(tmp_path / "rle.coded", tmp_path / "back.dcm", kit.no_models)
    back = pydicom.dcmread(tmp_path / "back.dcm")
    assert "ExtendedOffsetTable" not in back and "ExtendedOffsetTableLengths" not in back
    assert np.array_equal(back.pixel_array, kit.smooth_image(2))
