"""bounded:N keeps its bound, makes a new object that says so, and is refused where loss is forbidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicomnn.coded import stored as stored_module
from dicomnn.coded.restore import restore
from dicomnn.errors import VerificationFailed


def restored(source: Path, kit: Any) -> tuple[pydicom.Dataset, Any]:
    back = source.with_suffix(".back")
    result = restore(source.with_suffix(".coded"), back, kit.no_models)
    return pydicom.dcmread(back), result


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_every_stored_value_is_within_the_bound_and_the_object_is_a_new_one(
    syntax: Any, tmp_path: Path, kit: Any
) -> None:
    words = kit.smooth_image(2, 61, 47)
    native = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    source = kit.make_file(tmp_path / "a.dcm", words, syntax=native, changes={"SmallestImagePixelValue": 1})
    original = pydicom.dcmread(source)
    if syntax == RLELossless:
        original.compress(RLELossless, generate_instance_uid=False)
        original.save_as(source, enforce_file_format=True)
    sealed = kit.seal(source, profile="bounded:3")
    assert (sealed.kind, sealed.profile, sealed.manifest.exact) == ("coded", "bounded:3", "bounded"), (
        sealed.detail
    )
    back, result = restored(source, kit)
    error = np.abs(back.pixel_array.astype(int) - words).max()
    assert 0 < error == sealed.distortion.max_error <= 3
    assert back.SOPInstanceUID != original.SOPInstanceUID == sealed.manifest.original_sop_instance_uid
    assert back.file_meta.MediaStorageSOPInstanceUID == back.SOPInstanceUID
    assert back.file_meta.TransferSyntaxUID == native
    assert (back.LossyImageCompression, back.ImageType[0]) == ("01", "DERIVED")
    assert float(back.LossyImageCompressionRatio) == pytest.approx(
        sealed.pixel_bytes / sealed.payload_bytes, rel=1e-3
    )
    assert back.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert back.SmallestImagePixelValue == back.pixel_array.min()
    assert back.PatientName == original.PatientName and back.RescaleIntercept == original.RescaleIntercept
    assert result.exact == "bounded" and result.surroundings_intact and "within 3" in result.explanation
    assert sealed.bytes_after == source.with_suffix(".coded").stat().st_size


def test_bounded_is_smaller_than_lossless(ct: Path, kit: Any) -> None:
    exact = kit.seal(ct).payload_bytes
    assert kit.seal(ct, profile="bounded:4").payload_bytes < 0.8 * exact


@pytest.mark.parametrize(
    "modality, sop_class, changes",
    [
        ("MG", "1.2.840.10008.5.1.4.1.1.1.2", {}),
        ("PT", "1.2.840.10008.5.1.4.1.1.128", {}),
        ("CT", "1.2.840.10008.5.1.4.1.1.2", {"LossyImageCompression": "01"}),
        ("CT", "1.2.840.10008.5.1.4.1.1.2", {"SOPInstanceUID": ""}),
    ],
)
def test_where_loss_is_forbidden_or_cannot_be_marked_lossless_is_applied_and_said(
    modality: str, sop_class: str, changes: dict[str, str], tmp_path: Path, kit: Any
) -> None:
    source = kit.make_file(
        tmp_path / "a.dcm",
        kit.smooth_image(),
        modality=modality,
        sop_class=sop_class,
        changes={key: value for key, value in changes.items() if value},
    )
    if "SOPInstanceUID" in changes:  # a file that names itself only in its File Meta
        raw = source.read_bytes()
        uid = b"\x08\x00\x18\x00UI\x1a\x00"
        start = raw.index(uid)
        source.write_bytes(raw[:start] + raw[start + len(uid) + 26 :])
    sealed = kit.seal(source, profile="bounded:2")
    assert (sealed.kind, sealed.profile, sealed.manifest.exact) == ("coded", "lossless", "data-set")
    assert "bounded:2 was asked for" in sealed.note == sealed.manifest.note
    restored(source, kit)
    assert source.with_suffix(".back").read_bytes() == source.read_bytes()


def test_a_decoder_that_breaks_the_bound_is_found_out(
    ct: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = stored_module.decode_frames

    def wrong(payload: memoryview, models: Any, *, threads: int = 1) -> Any:
        for frame in genuine(payload, models, threads=threads):
            frame = frame.copy()
            frame[5, 5] += 9
            yield frame

    monkeypatch.setattr(stored_module, "decode_frames", wrong)
    with pytest.raises(VerificationFailed, match="more than 2"):
        kit.seal(ct, profile="bounded:2")
    assert not ct.with_suffix(".coded").exists()


def test_bits_outside_of_bits_stored_stay_exact(tmp_path: Path, kit: Any) -> None:
    words = kit.smooth_image()
    words[0, 10:20] |= 0x8000
    source = kit.make_file(tmp_path / "a.dcm", words)
    assert kit.seal(source, profile="bounded:2").kind == "coded"
    restored(source, kit)
    back = np.frombuffer(source.with_suffix(".back").read_bytes()[-words.nbytes :], "<u2").reshape(
        words.shape
    )
    assert np.array_equal(back & 0xF000, words & 0xF000)
    assert np.abs((back & 0xFFF).astype(int) - (words & 0xFFF)).max() <= 2


def test_the_sign_that_is_extended_above_bits_stored_follows_its_value_across_zero(
    tmp_path: Path, kit: Any
) -> None:
    values = kit.smooth_image().astype(np.int16) - 1900
    assert np.count_nonzero(np.abs(values) <= 4) > 5, "values near zero, where an error changes the sign"
    source = kit.make_file(tmp_path / "a.dcm", values.view(np.uint16), signed=True)
    assert kit.seal(source, profile="bounded:4").kind == "coded"
    restored(source, kit)
    back = np.frombuffer(source.with_suffix(".back").read_bytes()[-values.nbytes :], "<i2").reshape(
        values.shape
    )
    assert 0 < np.abs(back.astype(int) - values).max() <= 4
