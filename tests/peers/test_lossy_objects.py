"""Lossy objects in the hands of others: as valid as what came, and marked as DCMTK marks its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.peers.programs import call

pytestmark = pytest.mark.peers

DICOMNN = Path(sys.executable).with_name("dicomnn")
SAMPLES = ("ct_head/ct_01.dcm", "mr_brain/t1_02.dcm", "mr_brain/t2_01.dcm",
           "mr_flow_bigendian/velocity.dcm", "mr_multiframe/mr_enhanced.dcm", "dx_chest/chest_pa.dcm")
PROFILE = "lossy:ratio=4"

DIFFER = {
    "SOPInstanceUID": "each made a UID of its own",
    "DerivationDescription": "free text: each says what it did",
    "LossyImageCompressionMethod": "theirs is ISO_10918_1; no defined term covers ours (docs/lossy.md)",
    "LossyImageCompressionRatio": "theirs counts the bits of the values that it coded, ours Bits Stored",
    "PixelData": "other codecs",
}
"""Elements that may differ between our object and that of dcmcjpeg, and why."""
THEIRS = {
    "RescaleIntercept": "dcmcjpeg shifts values so that JPEG can hold them; our stored values do not move",
    "RescaleSlope": "the same",
    "BitsAllocated": "its JPEG has 8 or 12 bits", "BitsStored": "the same", "HighBit": "the same",
    "PixelRepresentation": "its JPEG holds unsigned values",
    "WindowCenter": "adapted to its shifted values where there is no rescale", "WindowWidth": "the same",
    "WindowCenterWidthExplanation": "the same",
    "PlanarConfiguration": "written for a single sample, where it means nothing",
    "SmallestImagePixelValue": "removed, where ours is corrected",
    "LargestImagePixelValue": "removed, where ours is corrected",
    "PixelPaddingValue": "of the values before its shift: left out",
}
"""Elements that dcmcjpeg changes beside the marks, and why it must."""
OURS = {"SmallestImagePixelValue": "corrected: the values have changed",
        "LargestImagePixelValue": "corrected: the values have changed"}
"""Elements that ours changes beside the marks."""


def errors(path: Path) -> list[str]:
    """What dciodvfy calls an error, without the numbers in it; it tells by these, not by its exit code."""
    return sorted(line for line in call("dciodvfy", path).stdout.splitlines() if line.startswith("Error"))


@pytest.fixture(scope="module")
def restored(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples, coded with loss and fetched back: what every reader gets."""
    top = tmp_path_factory.mktemp("lossy")
    for name in SAMPLES:
        (top / "before" / name).parent.mkdir(parents=True, exist_ok=True)
        (top / "before" / name).write_bytes((sample_data / name).read_bytes())
    done = call(DICOMNN, "compress", "--profile", PROFILE, "--effort", "fast", top / "before", top / "coded")
    assert done.returncode == 0, done.stdout
    done = call(DICOMNN, "restore", top / "coded", top / "back")
    assert done.returncode == 0, done.stdout
    for name in SAMPLES:
        assert dcmread(top / "back" / name).get("LossyImageCompression") == "01", name
    return top


@pytest.mark.parametrize("name", SAMPLES)
def test_dciodvfy_finds_no_error_that_the_original_had_not(
        name: str, restored: Path, sample_data: Path, tmp_path: Path) -> None:
    before, after = errors(sample_data / name), errors(restored / "back" / name)
    if name.startswith("mr_multiframe"):
        # dicom3tools wants no acquisition attributes in an enhanced image that is DERIVED, as a lossy one has
        # to be (PS3.3 C.7.6.1.1.2): it says the same of what dcmcjpeg makes.
        call("dcmcjpeg", "+ee", sample_data / name, tmp_path / "theirs.dcm")
        before = errors(tmp_path / "theirs.dcm")
    assert after == before
    coded = set(errors(restored / "coded" / name)) - set(before)
    assert all("pixel" in line.lower() or "7fe0" in line.lower() for line in coded), coded


def changes(before: Dataset, after: Dataset) -> set[str]:
    keywords = {element.keyword for element in before} | {element.keyword for element in after}
    return {word for word in keywords if before.get(word) != after.get(word)}


@pytest.mark.parametrize("process", ["+ee", "+eb"], ids=["extended", "baseline"])
@pytest.mark.parametrize("name", ["ct_head/ct_01.dcm", "mr_brain/t1_02.dcm", "dx_chest/chest_pa.dcm"])
def test_the_bookkeeping_is_that_of_dcmcjpeg_field_by_field(
        process: str, name: str, restored: Path, sample_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.dcm"
    dataset = dcmread(sample_data / name)
    dataset.add_new("SmallestImagePixelValue", "US", 0)
    dataset.add_new("LargestImagePixelValue", "US", (1 << dataset.BitsStored) - 1)
    dataset.save_as(source)
    done = call("dcmcjpeg", process, source, tmp_path / "theirs.dcm")
    assert done.returncode == 0, done.stdout
    done = call(DICOMNN, "compress", "--profile", PROFILE, "--effort", "fast", source, tmp_path / "coded.dcm")
    assert done.returncode == 0, done.stdout
    call(DICOMNN, "restore", tmp_path / "coded.dcm", tmp_path / "ours.dcm")
    ours, theirs = dcmread(tmp_path / "ours.dcm"), dcmread(tmp_path / "theirs.dcm")
    assert ours.LossyImageCompressionMethod == "DICOMNN_LOSSY", "refused instead of coded"
    by_us, by_them = changes(dataset, ours), changes(dataset, theirs)
    marks = by_us & by_them - {"SmallestImagePixelValue", "LargestImagePixelValue"}
    assert marks == {"SOPInstanceUID", "ImageType", "DerivationDescription", "SourceImageSequence",
                     "DerivationCodeSequence", "LossyImageCompression", "LossyImageCompressionRatio",
                     "LossyImageCompressionMethod", "PixelData"} & (by_us | by_them)
    assert by_us - marks <= set(OURS) and by_them - marks <= set(THEIRS), (by_us ^ by_them)
    for word in marks - set(DIFFER):
        assert ours.get(word) == theirs.get(word), word
    assert ours.DerivationDescription.startswith("Compressed by dicomnn with loss")
    for made in (ours, theirs):
        assert made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID != dataset.SOPInstanceUID
        assert float(made.LossyImageCompressionRatio) > 1 and 0 < len(made.DerivationDescription) <= 1024
    assert ours.SmallestImagePixelValue == ours.pixel_array.min()
    assert ours.LargestImagePixelValue == ours.pixel_array.max()
