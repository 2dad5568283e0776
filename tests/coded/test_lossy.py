"""lossy:* keeps its promise on every frame, within the cap, or says why another profile was applied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicomnn.codec import lossy_image
from dicomnn.codec.distortion import psnr, ssim
from dicomnn.codec.lossy import payload as frames_of
from dicomnn.codec.lossy.promise import windowed
from dicomnn.codec.profile import Profile
from dicomnn.coded.pixels import Pixels
from dicomnn.coded.restore import check, frame, region
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.caps import DRG, STRICTEST
from dicomnn.errors import DicomnnError, PayloadCorrupt, VerificationFailed
from dicomnn.shelf import Shelf
from tests.coded.promised import SHELF, back, noisy, sealed_as


# ------------------------------------------------------------------ promises
@pytest.mark.parametrize("promise", ["ratio=4", "psnr=45", "ssim=0.95"])
@pytest.mark.parametrize(
    "kind", ["explicit", "implicit", "big", "rle", "signed", "eight", "many", "monochrome1", "high-bit"]
)
def test_what_is_promised_is_reached_on_every_frame_of_every_kind_of_image(
    promise: str, kind: str, tmp_path: Path, kit: Any
) -> None:
    syntax: Any = {"implicit": ImplicitVRLittleEndian, "big": ExplicitVRBigEndian}.get(
        kind, ExplicitVRLittleEndian
    )
    bits = 8 if kind == "eight" else 12
    words = noisy(3 if kind == "many" else 1, bits=bits)
    changes: dict[str, Any] = {"WindowCenter": "1100", "WindowWidth": "1500", "BodyPartExamined": "HEAD"}
    if kind == "eight":
        words = words.astype(np.uint8)
        changes |= {"WindowCenter": "-900", "WindowWidth": "200"}
    if kind == "signed":
        words = (words.astype(np.int16) - 2048).view(np.uint16)
        changes |= {"WindowCenter": "-1000", "WindowWidth": "1500"}
    if kind == "monochrome1":
        changes["PhotometricInterpretation"] = "MONOCHROME1"
    if kind == "high-bit":
        words = words << 4
        changes |= {"HighBit": 15}
    source = kit.make_file(
        tmp_path / "a.dcm",
        words,
        syntax=syntax,
        vr="OB" if kind == "eight" else "OW",
        bits_stored=bits,
        signed=kind == "signed",
        changes=changes,
    )
    original = pydicom.dcmread(source)
    if kind == "rle":
        original.compress(RLELossless, generate_instance_uid=False)
        original.save_as(source, enforce_file_format=True)
    sealed = sealed_as(source, f"lossy:{promise}")
    assert (sealed.profile, sealed.manifest.exact) == (f"lossy:{promise}", "lossy"), sealed
    record = sealed.lossy
    assert (record.outcome, record.cap, record.asked_by) == ("kept", 5.0, "this test")
    derived = back(source)

    def stored(dataset: pydicom.Dataset) -> np.ndarray:
        if kind == "high-bit":
            raw = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64)
            assert not (raw & 15).any()
            return raw.reshape(words.shape) >> 4
        return dataset.pixel_array.astype(np.int64).reshape(words.shape)

    figures = []
    for before, after in zip(stored(original), stored(derived), strict=True):
        assert (before != after).any()
        if promise.startswith("psnr"):
            figures.append(psnr(before, after, float((1 << bits) - 1)))
        elif promise.startswith("ssim"):
            window = (record.window_low, record.window_high)
            figures.append(ssim(windowed(before, window), windowed(after, window), 255.0))
    wanted = Profile.parse(f"lossy:{promise}").value
    if figures:
        assert min(figures) >= wanted and record.reached_worst == pytest.approx(min(figures), rel=1e-5)
        assert record.reached_mean == pytest.approx(np.mean(figures), rel=1e-5)
        assert figures[record.worst_frame - 1] == min(figures)
    assert record.ratio_bits_stored == pytest.approx(words.size * bits / 8 / sealed.payload_bytes, rel=1e-5)
    assert record.ratio_bytes == pytest.approx(words.nbytes / sealed.payload_bytes, rel=1e-5)
    if promise.startswith("ratio"):
        assert record.ratio_bits_stored >= wanted and record.highest_ratio < 1.1 * wanted
    else:
        assert record.highest_ratio <= 5
    assert sealed.distortion.max_error > 0 and sealed.payload_bytes < record.lossless_bytes


def test_the_window_is_the_objects_own_in_stored_values_and_in_the_record(tmp_path: Path, kit: Any) -> None:
    changes = {"WindowCenter": ["40", "600"], "WindowWidth": ["80", "1600"], "RescaleSlope": "2"}
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes=changes)
    record = sealed_as(source, "lossy:ssim=0.9").lossy
    # Center 40, width 80, LINEAR: black at 0 HU, white at 79 HU; stored = (HU + 1024) / 2.
    assert (record.window_low, record.window_high) == (512.0, 551.5)
    assert (record.window_center, record.window_width, record.window_source) == (40.0, 80.0, "object")


@pytest.mark.parametrize("kind", ["no window", "modality lut"])
def test_without_a_usable_window_it_is_made_from_the_values_without_padding(
    kind: str, tmp_path: Path, kit: Any
) -> None:
    words = noisy()
    words[:, :20] = 0
    changes: dict[str, Any] = {"PixelPaddingValue": 0}
    if kind == "modality lut":
        item = pydicom.Dataset()
        item.LUTDescriptor, item.ModalityLUTType, item.LUTData = [2, 0, 16], "US", b"\0\0\1\0"
        item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
        changes |= {"WindowCenter": "40", "WindowWidth": "80", "ModalityLUTSequence": [item]}
    source = kit.make_file(tmp_path / "a.dcm", words, changes=changes)
    record = sealed_as(source, "lossy:ssim=0.9").lossy
    low, high = np.percentile(words[words != 0], (1, 99))
    assert record.window_source == "values"
    assert (record.window_low, record.window_high) == (pytest.approx(low), pytest.approx(high))


def test_a_promise_of_quality_is_bound_by_the_cap_as_well(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes={"BodyPartExamined": "CHEST"})
    strict = sealed_as(source, "lossy:psnr=30").lossy
    assert 4.5 < strict.highest_ratio <= strict.cap == 5 and strict.reached_worst > 30
    adopted = sealed_as(source, "lossy:psnr=30", caps=DRG).lossy
    assert 7 < adopted.highest_ratio <= adopted.cap == 8 and adopted.caps == DRG
    assert "adopted" in adopted.guideline and strict.caps == STRICTEST


def test_what_jpeg_2000_would_have_needed_and_the_noise_are_told_for_the_worst_frame(
    tmp_path: Path, kit: Any
) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(2), changes={"BodyPartExamined": "CHEST"})
    record = sealed_as(source, "lossy:psnr=38", compare=True).lossy
    assert 0.5 < record.jpeg2000_bytes / record.worst_frame_bytes < 3
    assert 0 < record.noise_after < record.noise_before


# ------------------------------------------------------------------ the object
def test_the_marks_of_the_new_object(tmp_path: Path, kit: Any) -> None:
    changes = {"SmallestImagePixelValue": 1, "LargestImagePixelValue": 4095, "BodyPartExamined": "HEAD"}
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes=changes)
    original = pydicom.dcmread(source)
    sealed = sealed_as(source, "lossy:ratio=4")
    dataset = back(source)
    assert dataset.SOPInstanceUID != original.SOPInstanceUID == sealed.manifest.original_sop_instance_uid
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "DICOMNN_LOSSY")
    ratio = float(dataset.LossyImageCompressionRatio)
    assert ratio == pytest.approx(sealed.lossy.ratio_bits_stored, abs=1e-3)
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert "ratio=4 promised and kept" in dataset.DerivationDescription
    assert dataset.DerivationCodeSequence[0].CodeValue == "113040"
    assert (dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue) == (
        dataset.pixel_array.min(), dataset.pixel_array.max())  # fmt: skip
    changed = {"SOPInstanceUID", "LossyImageCompression", "LossyImageCompressionMethod", "ImageType",
               "PixelData", "LossyImageCompressionRatio", "SourceImageSequence", "DerivationDescription",
               "DerivationCodeSequence", "SmallestImagePixelValue", "LargestImagePixelValue"}  # fmt: skip
    for element in original:
        assert element.keyword in changed or dataset[element.tag] == element, element
    assert not {element.keyword for element in dataset} - {element.keyword for element in original} - changed


def test_frames_and_regions_need_no_other_frame(
    tmp_path: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(4))
    sealed_as(source, "lossy:psnr=45")
    wanted = back(source).pixel_array
    decoded, genuine = [], frames_of.decode_one
    monkeypatch.setattr(frames_of, "decode_one", lambda p, m, n: decoded.append(n) or genuine(p, m, n))
    coded = source.with_suffix(".coded")
    assert np.array_equal(frame(coded, 2, SHELF.get), wanted[2])
    assert np.array_equal(region(coded, 1, 10, 20, 30, 40, SHELF.get), wanted[1][10:40, 20:60])
    with Pixels(coded, SHELF.get) as pixels:
        assert np.array_equal(pixels.words(3), wanted[3])
    assert decoded == [2, 1, 3]
    with StoredObject(coded) as stored:
        assert stored.frame_bytes().shape == (4,) and stored.frame_bytes().min() > 100


def test_damage_is_a_typed_error_and_other_frames_still_decode(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(3, 40, 33))
    sealed_as(source, "lossy:ratio=3")
    coded = source.with_suffix(".coded")
    raw, wanted = coded.read_bytes(), back(source).pixel_array
    start = raw.index(lossy_image.MAGIC)
    with StoredObject(coded) as stored:
        length, lengths = len(stored.payload), stored.frame_bytes()
        layout = lossy_image.parse(stored.payload)
    random = np.random.default_rng(1)
    for place in [0, 4, 5, 6, 9, 13, 20, 50, 57, *random.integers(60, length - 1, 60).tolist()]:
        damaged = bytearray(raw)
        damaged[start + place] ^= 1 << int(random.integers(8))
        coded.write_bytes(damaged)
        with pytest.raises(DicomnnError):
            check(coded, SHELF.get, strict=True)
    last = start + layout.stop - int(lengths[-1]) + 40
    damaged = bytearray(raw)
    damaged[last] ^= 4
    coded.write_bytes(damaged)
    with pytest.raises(PayloadCorrupt, match="frame 2|checksum|lossy|words") as caught:
        frame(coded, 2, SHELF.get)
    assert caught.value.where == "frame 2"
    assert np.array_equal(frame(coded, 0, SHELF.get), wanted[0])
    for size in (0, 10, 60, length // 2, length - 2):
        with pytest.raises(DicomnnError):
            list(lossy_image.decode_frames(memoryview(raw[start : start + size]), SHELF.get))


@pytest.mark.parametrize("promise", ["psnr=45", "ssim=0.9"])
def test_a_decoder_that_breaks_the_promise_is_found_out(
    promise: str, tmp_path: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomnn.coded import stored as stored_module

    source = kit.make_file(tmp_path / "a.dcm", noisy())
    genuine = stored_module.decode_frames

    def wrong(payload: memoryview, models: Any, *, threads: int = 1) -> Any:
        for words in genuine(payload, models, threads=threads):
            yield words[::-1].copy()

    monkeypatch.setattr(stored_module, "decode_frames", wrong)
    with pytest.raises(VerificationFailed, match=promise):
        sealed_as(source, f"lossy:{promise}")
    assert not source.with_suffix(".coded").exists()


def test_a_copy_of_the_model_by_its_id_is_all_that_restoring_needs(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy())
    sealed = sealed_as(source, "lossy:ratio=4")
    data = SHELF.model_bytes(sealed.manifest.model_id)
    alone = Shelf((), extra=lambda model_id: data if model_id == sealed.manifest.model_id else None)
    assert check(source.with_suffix(".coded"), alone.get, strict=True).exact == "lossy"
    with pytest.raises(DicomnnError, match="not on the shelf"):
        check(source.with_suffix(".coded"), Shelf(()).get)
    shutil.rmtree(tmp_path)
