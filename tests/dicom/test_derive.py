"""A lossy version is marked as one: what DCMTK's dcmcjpeg writes, and nothing else changed."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, Sequence

from dicomnn.dicom.derive import (
    LONGEST_DESCRIPTION,
    METHOD,
    LossyFacts,
    derive,
    derived_surroundings,
    new_uid,
)
from dicomnn.dicom.scan import scan
from dicomnn.dicom.splice import cut
from dicomnn.errors import DataSetMalformed
from tests.dicom.made import EXPLICIT, IMPLICIT, NATIVE, Writer, encapsulated, image, part10

FACTS = LossyFacts(bound=2, ratio=7.25, smallest=-5, largest=900, sop_instance_uid="2.25.42")

# What dcmcjpeg 3.6.7 (+ee, lossy) changed or added in sample_data/ct_thorax/ct_01.dcm, apart from the
# elements that describe its own pixels (bits stored, sign, rescale).
DCMCJPEG_WRITES = {
    "ImageType",
    "SOPInstanceUID",
    "DerivationDescription",
    "SourceImageSequence",
    "DerivationCodeSequence",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
}
ABOUT_ITS_PIXELS = {
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelPaddingValue",
    "PixelData",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
}


def lossy(raw: bytes, facts: LossyFacts = FACTS) -> bytes:
    """The derived file, with the old pixels for simplicity."""
    layout = scan(raw)
    made, pieces = derived_surroundings(raw, layout, facts), cut(raw, layout)
    return made.before_dataset + made.head + pieces.element_header + bytes(pieces.value) + made.tail


def read(raw: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(raw), force=True)


def changed(old: Dataset, new: Dataset) -> set[str]:
    return {element.keyword for element in new if element.tag not in old or old[element.tag] != element}


def codes(dataset: Dataset) -> dict[str, object]:
    """The marks that must agree with DCMTK's, value by value."""
    source = dataset.SourceImageSequence[-1]
    purpose = source.PurposeOfReferenceCodeSequence[0]
    return {
        "image type": list(dataset.ImageType),
        "lossy": dataset.LossyImageCompression,
        "source": (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID),
        "purpose": (purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning),
        "derivation": [
            (i.CodeValue, i.CodingSchemeDesignator, i.CodeMeaning) for i in dataset.DerivationCodeSequence
        ],
        "new uid": dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID,
    }


def test_the_marks_are_those_that_dcmcjpeg_writes(sample_data: Path, tmp_path: Path) -> None:
    path = sample_data / "ct_thorax" / "ct_01.dcm"
    old, ours = pydicom.dcmread(path), read(lossy(path.read_bytes()))
    assert changed(old, ours) == DCMCJPEG_WRITES
    assert codes(ours) == {
        "image type": ["DERIVED", *old.ImageType[1:]],
        "lossy": "01",
        "source": (old.SOPClassUID, old.SOPInstanceUID),
        "purpose": ("121320", "DCM", "Uncompressed predecessor"),
        "derivation": [("113040", "DCM", "Lossy Compression")],
        "new uid": True,
    }
    program = shutil.which("dcmcjpeg")
    if program is None:
        return  # the recorded lists above stand in for it
    subprocess.run([program, "+ee", path, tmp_path / "theirs.dcm"], check=True, capture_output=True)
    theirs = pydicom.dcmread(tmp_path / "theirs.dcm")
    assert changed(old, theirs) - ABOUT_ITS_PIXELS == DCMCJPEG_WRITES
    assert codes(theirs) == codes(ours)
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod", "DerivationDescription"):
        assert theirs[keyword].VR == ours[keyword].VR and theirs[keyword].VM == ours[keyword].VM


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("bare", [False, True])
def test_every_other_byte_stays_as_it_was_received(syntax: str, bare: bool) -> None:
    writer = Writer.of(syntax)
    private = writer.element(0x00290010, "LO", "THEIRS") + writer.element(
        0x00291010, "UN", b"\x9d\xff\0\1" * 7
    )
    after = writer.element(0xFFFCFFFC, "OB", b"\0" * 4)
    raw = image(syntax, before=private, after=after, bare=bare)
    made = lossy(raw)
    old, new = scan(raw), scan(made)
    assert (new.explicit, new.little_endian, new.broken) == (old.explicit, old.little_endian, None)
    assert new.sop_instance_uid == "2.25.42" and new.file_meta_sop_instance_uid == (
        None if bare else "2.25.42"
    )
    was = {e.tag: raw[e.start : e.end] for e in old.elements}
    now = {e.tag: made[e.start : e.end] for e in new.elements}
    assert set(was) <= set(now) and list(now) == sorted(now)
    assert {tag for tag in was if now[tag] != was[tag]} == {0x00080018}
    assert set(now) - set(was) == {
        0x00080008,
        0x00082111,
        0x00082112,
        0x00089215,
        0x00282110,
        0x00282112,
        0x00282114,
    }


def test_each_generation_appends_its_ratio_method_source_and_sentence() -> None:
    second = read(lossy(lossy(image(EXPLICIT)), LossyFacts(3, 2.5, 0, 1, "2.25.43")))
    assert [float(v) for v in second.LossyImageCompressionRatio] == [7.25, 2.5]
    assert list(second.LossyImageCompressionMethod) == [METHOD, METHOD]
    assert [i.ReferencedSOPInstanceUID for i in second.SourceImageSequence] == ["1.2.3.4", "2.25.42"]
    assert len(second.DerivationCodeSequence) == 1 and second.SOPInstanceUID == "2.25.43"
    assert (
        "within 2 units" in second.DerivationDescription and "within 3 units" in second.DerivationDescription
    )


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("signed", [0, 1])
def test_smallest_and_largest_pixel_value_are_corrected_with_the_sign_of_the_pixels(
    syntax: str, signed: int
) -> None:
    writer = Writer.of(syntax)
    before = writer.element(0x00280106, "SS" if signed else "US", 1) + writer.element(
        0x00280107, "SS" if signed else "US", 2
    )
    facts = LossyFacts(1, 2.0, -7 if signed else 7, 900, "2.25.42")
    new = read(lossy(image(syntax, before=before, PixelRepresentation=signed), facts))
    assert (new.SmallestImagePixelValue, new.LargestImagePixelValue) == (facts.smallest, 900)
    assert "SmallestImagePixelValue" not in read(lossy(image(syntax)))


def test_frame_type_of_an_enhanced_image_follows_image_type() -> None:
    writer = Writer()
    frame_type = writer.sequence(
        0x00189226, [writer.item(writer.element(0x00089007, "CS", "ORIGINAL\\PRIMARY"))]
    )
    shared = writer.sequence(0x52009229, [writer.item(frame_type)], undefined=True)
    new = read(lossy(image(EXPLICIT, before=shared)))
    item = new.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence[0]
    assert list(item.FrameType) == ["DERIVED", "PRIMARY"]


@pytest.mark.parametrize("own", [False, True], ids=["shared", "of each frame"])
def test_an_enhanced_image_names_its_source_in_a_functional_group(own: bool) -> None:
    writer = Writer()
    step = writer.item(writer.element(0x00082111, "ST", "earlier "))
    inside = writer.sequence(0x00089124, [step]) if own else b""
    frames = writer.sequence(0x52009230, [writer.item(inside), writer.item(inside)], undefined=True)
    raw = image(EXPLICIT, before=writer.sequence(0x52009229, [writer.item(b"")]) + frames)
    new = read(lossy(raw))
    shared, each = new.SharedFunctionalGroupsSequence[0], new.PerFrameFunctionalGroupsSequence
    evidence = new.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert evidence.ReferencedSOPInstanceUID == read(raw).SOPInstanceUID
    assert len(each) == 2 and ("DerivationImageSequence" in shared) is not own
    for group in each if own else [shared]:
        steps = group.DerivationImageSequence
        assert len(steps) == (2 if own else 1) and "dicomnn" in steps[-1].DerivationDescription
        source = steps[-1].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == read(raw).SOPInstanceUID
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
        assert steps[-1].DerivationCodeSequence[0].CodeValue == "113040"


def test_signatures_and_retired_group_lengths_that_would_be_wrong_are_left_out() -> None:
    writer = Writer()
    length = writer.element(0x00280000, "UL", 99)
    dataset = image(EXPLICIT, bare=True)
    split = dataset.index(writer.tag(0x00280002))
    signatures = writer.sequence(0xFFFAFFFA, [writer.item(b"")])
    raw = part10(
        EXPLICIT,
        dataset[:split] + length + dataset[split:] + signatures + writer.element(0xFFFCFFFC, "OB", b"\0\0"),
    )
    tags = {element.tag for element in scan(lossy(raw)).elements}
    assert 0x00280000 not in tags and 0xFFFAFFFA not in tags and 0xFFFCFFFC in tags


def test_a_description_in_another_character_set_is_kept_and_appended_to() -> None:
    writer = Writer()
    before = writer.element(0x00082111, "ST", "Größe".encode())
    dataset = writer.element(0x00080005, "CS", "ISO_IR 192") + image(EXPLICIT, bare=True)
    split = dataset.index(writer.tag(0x00100010))
    new = read(lossy(part10(EXPLICIT, dataset[:split] + before + dataset[split:])))
    assert new.DerivationDescription == "Größe; " + FACTS.sentence


def test_a_description_never_grows_beyond_what_its_vr_holds() -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.DerivationDescription = "1.2", "1.3", "x" * 1024
    derived = derive(dataset, FACTS)
    assert len(derived.DerivationDescription) == LONGEST_DESCRIPTION
    assert derived.DerivationDescription.endswith(FACTS.sentence)


def test_the_dataset_given_is_not_changed() -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2", "1.3"
    dataset.SourceImageSequence = Sequence([Dataset()])
    derived = derive(dataset, FACTS)
    assert len(dataset.SourceImageSequence) == 1 and dataset.SOPInstanceUID == "1.3"
    assert len(derived.SourceImageSequence) == 2 and derived.ImageType == ["DERIVED", "SECONDARY"]


@pytest.mark.parametrize("missing", ["SOPClassUID", "SOPInstanceUID"])
def test_an_object_that_cannot_be_named_as_source_is_refused(missing: str) -> None:
    raw = image(IMPLICIT, **{missing: None})
    with pytest.raises(DataSetMalformed, match="cannot name its source"):
        derived_surroundings(raw, scan(raw), FACTS)


def test_new_uids_are_valid_and_differ() -> None:
    uids = {new_uid() for _ in range(100)}
    assert len(uids) == 100 and all(pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.") for uid in uids)


def test_an_encapsulated_source_gives_the_same_marks() -> None:
    raw = encapsulated("1.2.840.10008.1.2.5", [b"\0" * 64])
    made = derived_surroundings(raw, scan(raw), FACTS)
    assert b"DERIVED" in made.head and made.tail == b"" and made.sop_instance_uid == "2.25.42"
