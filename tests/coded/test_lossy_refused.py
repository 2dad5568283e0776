"""Where a lossy profile is refused or cannot be kept: what is applied instead, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomnn.coded.restore import restore
from dicomnn.errors import PromiseNotKept
from tests.coded.promised import SHELF, back, noisy, sealed_as

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
