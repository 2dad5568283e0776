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
from dicomnn.coded.lossy import LossyRule
from dicomnn.coded.pixels import Pixels
from dicomnn.coded.restore import check, frame, region, restore
from dicomnn.coded.seal import Sealed, seal
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.caps import DRG, STRICTEST
from dicomnn.errors import DicomnnError, PayloadCorrupt, PromiseNotKept, VerificationFailed
from dicomnn.shelf import Shelf, default_shelf

SHELF = default_shelf()


def sealed_as(source: Path, profile: str, **rule: Any) -> Sealed:
    """`source` sealed beside it as <name>.coded, without a learned model of the lossless tier."""
    asked = {"model": SHELF.lossy.newest(), "asked_by": "this test", "compare": False} | rule
    return seal(
        source,
        source.with_suffix(".coded"),
        profile=Profile.parse(profile),
        model=None,
        models=SHELF.get,
        effort="fast",
        lossy=LossyRule(**asked),
    )


def back(source: Path) -> pydicom.Dataset:
    target = source.with_suffix(".back")
    restore(source.with_suffix(".coded"), target, SHELF.get, strict=True)
    return pydicom.dcmread(target)


def noisy(frames: int = 1, rows: int = 96, columns: int = 80, *, bits: int = 12, seed: int = 3) -> np.ndarray:
    """(frames, rows, columns): textured enough that the caps do not decide."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    top = (1 << bits) - 1
    images = [
        top * (0.5 + 0.2 * np.sin((x + 5 * f) / 13.0) * np.cos(y / 17.0) + random.normal(0, 1 / 40, x.shape))
        for f in range(frames)
    ]
    return np.clip(np.rint(images), 0, top).astype(np.uint16)


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


# ------------------------------------------------------------------ refusals
STORAGE = "1.2.840.10008.5.1.4.1.1."
CASES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("mammography", {"Modality": "MG"}, "psnr=60", "lossy-forbidden", "21 CFR 900.12"),
    ("tomosynthesis", {"SOPClassUID": STORAGE + "13.1.3"}, "psnr=60", "lossy-forbidden", "21 CFR"),
    ("PET", {"Modality": "PT"}, "ratio=2", "lossy-forbidden", "measurements"),
    ("nuclear medicine", {"Modality": "NM"}, "ratio=2", "lossy-forbidden", "measurements"),
    ("dose", {"Modality": "RTDOSE"}, "ratio=2", "lossy-forbidden", "measurements"),
    ("parametric map", {"SOPClassUID": STORAGE + "30"}, "ratio=2", "lossy-forbidden", "map"),
    ("segmentation", {"SOPClassUID": STORAGE + "66.4"}, "ratio=2", "lossy-forbidden", "segment"),
    ("presentation", {"SOPClassUID": STORAGE + "11.1"}, "ratio=2", "lossy-forbidden", "present"),
    ("planning CT", {"StudyDescription": "RT planning"}, "ratio=2", "lossy-forbidden", "RCR 2008"),
    ("second generation", {"LossyImageCompression": "01"}, "psnr=60", "lossy-forbidden", "2009;181:629"),
    ("its ratio alone", {"LossyImageCompressionRatio": "7"}, "psnr=60", "lossy-forbidden", "2009;181:629"),
    ("above the cap", {}, "ratio=6", "lossy-above-cap", "5:1"),
    ("no body part", {"Modality": "DX", "BodyPartExamined": ""}, "psnr=60", "lossy-body-part", "Body Part"),
    ("no row", {"Modality": "OT"}, "psnr=60", "lossy-no-cap", "no guideline"),
    ("palette", {"PhotometricInterpretation": "PALETTE COLOR"}, "psnr=60", "lossy-forbidden", "palette"),
]


@pytest.mark.parametrize(("name", "changes", "promise", "reason", "words"), CASES, ids=[c[0] for c in CASES])
def test_a_refused_instance_is_stored_without_loss_with_the_reason_and_the_guideline(
    name: str, changes: dict[str, Any], promise: str, reason: str, words: str, tmp_path: Path, kit: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("something was coded with loss before it was refused")

    monkeypatch.setattr("dicomnn.coded.lossy.encode_promised", never)
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes={"BodyPartExamined": "CHEST"} | changes)
    sealed = sealed_as(source, f"lossy:{promise}")
    assert (sealed.kind, sealed.profile, sealed.manifest.exact) == ("coded", "lossless", "data-set")
    record = sealed.lossy
    assert (record.outcome, record.applied, record.reason) == ("refused", "lossless", reason)
    assert words in record.reason_text and record.reason_text in sealed.note == sealed.manifest.note
    assert f"lossy:{promise} was asked for" in sealed.note
    assert sealed.manifest.lossy == record.to_json()
    restore(source.with_suffix(".coded"), source.with_suffix(".back"), SHELF.get, strict=True)
    assert source.with_suffix(".back").read_bytes() == source.read_bytes()


def test_what_comes_back_of_a_lossy_object_is_never_coded_with_loss_again(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes={"BodyPartExamined": "CHEST"})
    sealed_as(source, "lossy:ratio=4")
    first = tmp_path / "first.dcm"
    restore(source.with_suffix(".coded"), first, SHELF.get)
    again = sealed_as(first, "lossy:ratio=2")
    assert (again.profile, again.lossy.reason) == ("lossless", "lossy-forbidden")
    assert "RöFo 2009;181:629" in again.lossy.guideline
    bounded = sealed_as(first, "bounded:2")
    assert bounded.profile == "lossless" and bounded.lossy is None


def test_an_object_that_cannot_be_coded_at_all_says_so_in_the_record_too(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy(), changes={"NumberOfFrames": "7"})
    sealed = sealed_as(source, "lossy:ratio=4")
    assert (sealed.kind, sealed.lossy.outcome, sealed.lossy.applied) == ("kept", "refused", "keep")
    assert sealed.lossy.reason == sealed.reason == "pixel-data-short"


# ------------------------------------------------------------------ escalation
def test_overlays_in_the_high_bits_go_without_loss_and_come_back(tmp_path: Path, kit: Any) -> None:
    words = noisy()
    words[0, 10:20] |= 0x8000
    source = kit.make_file(tmp_path / "a.dcm", words)
    sealed = sealed_as(source, "lossy:ratio=4")
    assert (sealed.profile, sealed.lossy.outcome, sealed.lossy.reason) == (
        "lossless", "escalated", "lossy-pixels")  # fmt: skip
    back(source)
    assert source.with_suffix(".back").read_bytes() == source.read_bytes()


def test_where_no_step_reaches_the_ratio_it_goes_without_loss(tmp_path: Path, kit: Any) -> None:
    words = noisy(rows=10, columns=8)
    source = kit.make_file(tmp_path / "a.dcm", words, tail=lambda d: d.add_new(0x7FE10010, "LO", "OTHER"))
    sealed = sealed_as(source, "lossy:ratio=5")
    assert sealed.lossy.reason == "promise-not-kept" and sealed.lossy.applied in ("lossless", "keep")
    assert "frame 1" in sealed.lossy.reason_text


@pytest.mark.parametrize("texture", ["smooth", "noise"])
def test_a_loss_that_saves_nothing_is_not_applied(texture: str, tmp_path: Path, kit: Any) -> None:
    """A smooth image, of which the cap leaves only steps without loss, and noise at nearly none."""
    y, x = np.mgrid[0:96, 0:80]
    words = np.rint(1500 + 9 * x + 5 * y + 0.3 * ((x * y) % 3))[None].astype(np.uint16)
    if texture == "noise":
        words = (3000 + np.random.default_rng(5).integers(0, 6, (1, 96, 80))).astype(np.uint16)
    source = kit.make_file(tmp_path / "a.dcm", words, changes={"BodyPartExamined": "CHEST"})
    sealed = sealed_as(source, "lossy:psnr=40" if texture == "smooth" else "lossy:psnr=95")
    assert (sealed.profile, sealed.lossy.outcome, sealed.lossy.reason) == ("lossless", "escalated", "no-gain")
    assert "bytes with loss" in sealed.lossy.reason_text in sealed.note
    back(source)
    assert source.with_suffix(".back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("promise", "wanted"),
    [("psnr=55", 8), ("psnr=63", 4), ("ssim=0.995", 8), ("ratio=1.5", 1), ("ratio=1.7", 2)],
)
def test_where_the_tier_fails_the_bound_that_keeps_the_promise_is_applied(
    promise: str, wanted: int, tmp_path: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Largest bound for a promise of quality, smallest for a ratio."""

    def fails(*_: Any, **__: Any) -> None:
        raise PromiseNotKept("frame 2 does not reach it at any step")

    monkeypatch.setattr("dicomnn.coded.lossy.encode_promised", fails)
    changes = {"BodyPartExamined": "CHEST", "WindowCenter": "1000", "WindowWidth": "3000"}
    source = kit.make_file(tmp_path / "a.dcm", noisy(2), changes=changes)
    sealed = sealed_as(source, f"lossy:{promise}")
    record = sealed.lossy
    assert (sealed.profile, sealed.manifest.exact) == (f"bounded:{wanted}", "bounded"), record
    assert (record.outcome, record.reason) == ("escalated", "promise-not-kept")
    assert record.applied == sealed.profile
    assert "frame 2" in record.reason_text and f"lossy:{promise} was asked for" in sealed.note
    assert record.reached_worst >= record.value and record.highest_ratio <= record.cap
    before, after = pydicom.dcmread(source), back(source)
    assert np.abs(before.pixel_array.astype(int) - after.pixel_array).max() == wanted
    assert after.LossyImageCompressionMethod == "DICOMNN_BOUNDED"


def test_without_a_model_of_the_lossy_tier_nothing_is_lost(tmp_path: Path, kit: Any) -> None:
    source = kit.make_file(tmp_path / "a.dcm", noisy())
    sealed = sealed_as(source, "lossy:ratio=4", model=None)
    assert (sealed.profile, sealed.lossy.reason) == ("lossless", "no-lossy-model")


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
