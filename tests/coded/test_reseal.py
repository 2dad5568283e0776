"""A coded object that is coded again stands for the same original, byte for byte, or nothing was done."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from dicomnn.codec.payload import Payload
from dicomnn.codec.profile import Profile
from dicomnn.coded import proving
from dicomnn.coded import stored as stored_module
from dicomnn.coded.reseal import reseal
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import seal
from dicomnn.coded.sealed import Sealed
from dicomnn.coded.stored import StoredObject
from dicomnn.errors import NotCoded, PayloadCorrupt, VerificationFailed
from dicomnn.shelf import Shelf, default_shelf
from tests.coded.test_seal import CASES, padding


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return default_shelf()


def lift(shelf: Shelf, source: Path, target: Path, **options: Any) -> Sealed:
    """Coded anew with the model, which the objects of these tests were coded without."""
    return reseal(source, target, model=shelf.newest(), models=shelf.get,
                  **({"effort": "fast"} | options))  # fmt: skip


class Stopped(datetime):
    """A clock that stands, because a manifest says when it was made."""

    @classmethod
    def now(cls, tz: Any = None) -> Stopped:
        return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)


@pytest.mark.parametrize("case", CASES)
def test_the_new_object_is_the_one_that_the_original_would_have_given(
    case: str, tmp_path: Path, kit: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "datetime", Stopped)
    shape, bits, options = CASES[case]
    words = kit.smooth_image(*shape, bits=bits)
    source = kit.make_file(tmp_path / "a.dcm", words.astype(np.uint8) if bits == 8 else words, **options)
    first = kit.seal(source, tmp_path / "a.first")
    again = lift(shelf, tmp_path / "a.first", tmp_path / "a.again")
    assert (again.kind, again.reason) == ("coded", None)
    assert again.bytes_after == (tmp_path / "a.again").stat().st_size < first.bytes_after
    direct = seal(source, tmp_path / "a.direct", profile=Profile("lossless"), model=shelf.newest(),
                  models=shelf.get, effort="fast")  # fmt: skip
    assert again.manifest == direct.manifest
    assert (tmp_path / "a.again").read_bytes() == (tmp_path / "a.direct").read_bytes()
    restored = restore(tmp_path / "a.again", tmp_path / "back.dcm", shelf.get)
    assert (tmp_path / "back.dcm").read_bytes() == source.read_bytes() and restored.file_identical


def test_what_was_encapsulated_is_still_known_to_have_been(tmp_path: Path, kit: Any, shelf: Shelf) -> None:
    packed = pydicom.dcmread(
        kit.make_file(tmp_path / "native.dcm", kit.smooth_image(2, 63, 33), tail=padding)
    )
    packed.compress(RLELossless, generate_instance_uid=False, encapsulate_ext=True)
    packed.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    assert kit.seal(tmp_path / "rle.dcm").kind == "coded"
    again = lift(shelf, tmp_path / "rle.coded", tmp_path / "rle.again")
    old = StoredObject(tmp_path / "rle.coded").manifest
    assert again.kind == "coded" and again.manifest is not None
    for name in ("bytes_before", "original_transfer_syntax", "dropped", "exact", "dataset_digest",
                 "original_dataset_digest", "file_meta_digest", "dataset_length"):  # fmt: skip
        assert getattr(again.manifest, name) == getattr(old, name), name
    for name in ("coded", "again"):
        restore(tmp_path / f"rle.{name}", tmp_path / f"{name}.dcm", shelf.get)
    assert (tmp_path / "again.dcm").read_bytes() == (tmp_path / "coded.dcm").read_bytes()


def test_it_can_be_coded_again_and_again(coded: Path, ct: Path, tmp_path: Path, shelf: Shelf) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert lift(shelf, coded, one).kind == "coded"
    made = lift(shelf, one, two, effort="max")
    last = two if made.kind == "coded" else one
    restore(last, tmp_path / "back.dcm", shelf.get)
    assert (tmp_path / "back.dcm").read_bytes() == ct.read_bytes()


@pytest.mark.parametrize("effort", ["default", "max"])
def test_what_does_not_become_smaller_is_left(effort: str, coded: Path, tmp_path: Path, kit: Any) -> None:
    before = coded.read_bytes()
    same = reseal(coded, tmp_path / "x", model=None, models=kit.no_models, effort=effort)
    assert (same.kind, same.reason, same.bytes_after) == ("kept", "not-smaller", len(before))
    assert coded.read_bytes() == before and not (tmp_path / "x").exists()


def test_a_lossy_object_is_left_alone(ct: Path, tmp_path: Path, kit: Any, shelf: Shelf) -> None:
    assert kit.seal(ct, profile="bounded:4").manifest.exact == "bounded"
    sealed = lift(shelf, ct.with_suffix(".coded"), tmp_path / "x", effort="max")
    assert (sealed.kind, sealed.reason) == ("kept", "lossy") and not (tmp_path / "x").exists()


@pytest.mark.parametrize("how", ["syntax", "element", "byte"])
def test_what_was_changed_on_a_trip_is_left_alone(
    how: str, coded: Path, tmp_path: Path, shelf: Shelf
) -> None:
    dataset = pydicom.dcmread(coded)
    if how == "syntax":
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        dataset.PatientID = "COERCED"
    if how == "byte":
        coded.write_bytes(coded.read_bytes().replace(b"P1", b"P2", 1))
    else:
        dataset.save_as(coded, implicit_vr=how == "syntax", little_endian=True)
    sealed = lift(shelf, coded, tmp_path / "x")
    assert (sealed.kind, sealed.reason) == ("kept", "surroundings-changed")


def test_file_meta_of_another_archive_is_not_taken_for_the_originals(
    coded: Path, tmp_path: Path, shelf: Shelf
) -> None:
    raw = coded.read_bytes()
    changed = raw.replace(b"1.2.826.0.1.3680043.10.2", b"1.2.826.0.1.3680043.10.9", 1)
    coded.write_bytes(changed)
    assert lift(shelf, coded, tmp_path / "x").kind == "coded"
    restored = restore(tmp_path / "x", tmp_path / "back.dcm", shelf.get)
    assert restored.surroundings_intact and not restored.file_identical


def test_a_damaged_object_is_an_error_and_nothing_is_written(
    coded: Path, tmp_path: Path, shelf: Shelf
) -> None:
    raw = bytearray(coded.read_bytes())
    raw[raw.index(b"DNNP") + 400] ^= 1
    coded.write_bytes(raw)
    with pytest.raises(PayloadCorrupt) as raised:
        lift(shelf, coded, tmp_path / "x")
    assert str(coded) in str(raised.value) and not (tmp_path / "x").exists()


def test_an_ordinary_file_is_not_coded(ct: Path, tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(NotCoded):
        lift(shelf, ct, tmp_path / "x")


@pytest.mark.parametrize("damage", ["pixels", "bytes"])
def test_an_object_that_does_not_decode_to_the_same_is_never_called_coded(
    damage: str, coded: Path, tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    decode = stored_module.decode_frames

    def wrong(*arguments: Any, **options: Any) -> Any:
        asked.append(1)
        for frame in decode(*arguments, **options):
            yield frame ^ 1 if len(asked) == 2 else frame      # the second is the proof

    def spoil(self: Payload, file: Any) -> None:
        raw = bytearray(bytes(self))
        raw[-5] ^= 0x10
        file.write(raw)

    if damage == "pixels":
        monkeypatch.setattr(stored_module, "decode_frames", wrong)
    else:
        monkeypatch.setattr(Payload, "write_to", spoil)
    with pytest.raises(VerificationFailed):
        lift(shelf, coded, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_progress_counts_decoding_too_and_ends_at_its_total(
    coded: Path, tmp_path: Path, shelf: Shelf
) -> None:
    told: list[tuple[int, int]] = []
    lift(shelf, coded, tmp_path / "x", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == 3 * 64 * 48 * 2
    assert told == sorted(told)
