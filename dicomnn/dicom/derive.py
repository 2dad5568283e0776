"""The bookkeeping of an image that is no longer exact (PS3.3 C.7.6.1.1.2, C.7.6.1.1.5, C.12.4).

A lossy version is a new object: new SOP Instance UID, marked lossy for ever, naming its source. Only the
elements concerned are written anew; every other byte of the data set stays as it was received.
"""

from __future__ import annotations

import copy
import io
import uuid
import warnings
from dataclasses import dataclass

from pydicom import Dataset, Sequence
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dicomnn.dicom.scan import Buffer, Layout
from dicomnn.dicom.splice import cut, with_meta_uid
from dicomnn.dicom.walk import Element
from dicomnn.errors import DataSetMalformed

METHOD = "DICOMNN_BOUNDED"  # Lossy Image Compression Method; our own terms, as none is defined for these
LOSSY_TIER = "DICOMNN_LOSSY"
UNCOMPRESSED_PREDECESSOR = ("121320", "Uncompressed predecessor")  # CID 7202
LOSSY_COMPRESSION = ("113040", "Lossy Compression")  # CID 7203
LONGEST_DESCRIPTION = 1024  # ST

CHARSET, IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE = 0x00080005, 0x00080008, 0x00080016, 0x00080018
DESCRIPTION, SOURCES, CODES = 0x00082111, 0x00082112, 0x00089215
FRAME_TYPE, SHARED, PER_FRAME = 0x00089007, 0x52009229, 0x52009230
DERIVATION_IMAGE, EVIDENCE, STUDY, SERIES = 0x00089124, 0x00089154, 0x0020000D, 0x0020000E
SIGN, SMALLEST, LARGEST = 0x00280103, 0x00280106, 0x00280107
LOSSY, RATIO, LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
MEDIA_STORAGE_INSTANCE = 0x00020003
SIGNATURES = 0xFFFAFFFA  # void as soon as a pixel changes
_READ = frozenset({CHARSET, IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, DESCRIPTION, SOURCES, CODES, SHARED,
                   PER_FRAME, EVIDENCE, STUDY, SERIES, SIGN, SMALLEST, LARGEST, LOSSY, RATIO, LOSSY_METHOD})


@dataclass(frozen=True)
class LossyFacts:
    """What was done to the pixels.

    `bound`: largest allowed error in stored values; of the lossy tier 0, and `promise` is what was promised
    ('ratio=8'). `ratio`: bytes before by bytes after, of the lossy tier stored bits before by bits after.
    `smallest` and `largest`: stored values of the decoded pixels. `sop_instance_uid`: of the new object.
    """

    bound: int
    ratio: float
    smallest: int
    largest: int
    sop_instance_uid: str
    method: str = METHOD
    promise: str = ""

    @property
    def sentence(self) -> str:
        if self.promise:
            return (f"Compressed by dicomnn with loss, {self.promise} promised and kept on every frame, "
                    f"ratio {self.ratio:.4g}:1 of the bits stored")
        unit = "unit" if self.bound == 1 else "units"
        return (f"Compressed by dicomnn, every stored value within {self.bound} {unit} of its source, "
                f"ratio {self.ratio:.4g}:1")


@dataclass(frozen=True)
class Derived:
    """The bytes around the new Pixel Data: `before_dataset` (preamble and File Meta), `head`, `tail`."""

    before_dataset: bytes
    head: bytes
    tail: bytes
    sop_instance_uid: str


def new_uid() -> str:
    """A UID that nobody else has: 2.25 and a random UUID as a decimal number (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def derive(dataset: Dataset, facts: LossyFacts) -> Dataset:
    """A copy of `dataset` (its Pixel Data, if any, is not looked at) as that of the lossy version.

    Raises DataSetMalformed when the source cannot be named: no SOP Class or SOP Instance UID.
    """
    source_class, source = str(dataset.get("SOPClassUID", "")), str(dataset.get("SOPInstanceUID", ""))
    if not source_class or not source:
        raise DataSetMalformed("without SOP Class and Instance UID a lossy version cannot name its source")
    result = copy.deepcopy(dataset)
    result.SOPInstanceUID = facts.sop_instance_uid
    result.ImageType = _derived(dataset.get("ImageType"))
    _append(result, LOSSY_METHOD, "CS", facts.method)
    _append(result, RATIO, "DS", f"{facts.ratio:.4f}"[:16])
    result.LossyImageCompression = "01"
    before = str(dataset.get("DerivationDescription", "") or "").strip()
    room = LONGEST_DESCRIPTION - len(facts.sentence) - 2
    result.DerivationDescription = f"{before[:room]}; {facts.sentence}" if before else facts.sentence
    origin = Dataset()
    origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID = source_class, source
    origin.PurposeOfReferenceCodeSequence = Sequence([_code(*UNCOMPRESSED_PREDECESSOR)])
    result.SourceImageSequence = Sequence([*(dataset.get("SourceImageSequence") or []), origin])
    codes = list(dataset.get("DerivationCodeSequence") or [])
    if not any(str(item.get("CodeValue", "")) == LOSSY_COMPRESSION[0] for item in codes):
        codes.append(_code(*LOSSY_COMPRESSION))
    result.DerivationCodeSequence = Sequence(codes)
    for tag, value in ((SMALLEST, facts.smallest), (LARGEST, facts.largest)):
        if tag in dataset:
            signed = dataset.get("PixelRepresentation") == 1
            result[tag] = DataElement(tag, "SS" if signed else "US", value)
    _mark_frames(result)
    _derivation_group(result, facts.sentence, origin)
    return result


def derived_surroundings(buffer: Buffer, layout: Layout, facts: LossyFacts) -> Derived:
    """What stands before and behind the Pixel Data of the lossy version, in the original's own encoding.

    Retired group lengths of the groups concerned and digital signatures are left out: they would be wrong.
    Raises DataSetMalformed when the elements concerned cannot be read or there is no Pixel Data.
    """
    pieces = cut(buffer, layout)
    pixel_data = layout.pixel_data
    assert pixel_data is not None  # cut has seen to it
    view = memoryview(buffer)
    before = [element for element in layout.elements if element.end <= pixel_data.start]
    changed = _changed(view, layout, before, facts)
    groups = {tag >> 16 for tag in changed}
    head = bytearray()
    waiting = sorted(changed)
    for element in before:
        while waiting and waiting[0] < element.tag:
            head += changed[waiting.pop(0)]
        if element.tag in changed:
            if waiting and waiting[0] == element.tag:
                head += changed[waiting.pop(0)]
        elif element.tag & 0xFFFF or element.group not in groups:
            head += view[element.start:element.end]
    for tag in waiting:
        head += changed[tag]
    tail = bytearray(pieces.tail)
    for element in reversed(layout.elements):
        if element.tag == SIGNATURES and element.start >= pixel_data.end:
            del tail[element.start - pixel_data.end:element.end - pixel_data.end]
    meta = bytes(view[:layout.dataset_start])
    if any(element.tag == MEDIA_STORAGE_INSTANCE for element in layout.meta_elements):
        meta = with_meta_uid(buffer, layout, MEDIA_STORAGE_INSTANCE, facts.sop_instance_uid)
    return Derived(meta, bytes(head), bytes(tail), facts.sop_instance_uid)


def _changed(view: memoryview, layout: Layout, before: list[Element], facts: LossyFacts) -> dict[int, bytes]:
    """The elements that differ in the lossy version, by tag, as bytes of the data set's encoding."""
    raw = b"".join(view[element.start:element.end] for element in before if element.tag in _READ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            old = read_dataset(io.BytesIO(raw), is_implicit_VR=not layout.explicit,
                               is_little_endian=layout.little_endian)
            new = derive(old, facts)
            encodings = convert_encodings(new.get("SpecificCharacterSet", "") or "")
            elements = {int(element.tag): element for element in new
                        if element.tag not in old or old[element.tag] != element}
            return {tag: _bytes(element, layout, encodings) for tag, element in elements.items()}
        except DataSetMalformed:
            raise
        except Exception as error:
            raise DataSetMalformed(f"the marks of a lossy version cannot be written: {error}") from error


def _bytes(element: DataElement, layout: Layout, encodings: list[str]) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = not layout.explicit, layout.little_endian
    single = Dataset()
    single.add(element)
    write_dataset(out, single, encodings)
    return out.getvalue()


def _derived(image_type: object) -> list[str]:
    """Image Type with value 1 DERIVED, the others as they were."""
    values = [image_type] if isinstance(image_type, str) else list(image_type or [])  # type: ignore[call-overload]
    return ["DERIVED", *(str(value) for value in values[1:])] if len(values) > 1 else ["DERIVED", "SECONDARY"]


def _append(dataset: Dataset, tag: int, vr: str, value: str) -> None:
    """One more value per generation, in order."""
    old = dataset[tag].value if tag in dataset else None
    values = [] if old in (None, "") else [old] if isinstance(old, (str, float, int)) else list(old)
    dataset[tag] = DataElement(tag, vr, [*values, value] if values else value)


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _mark_frames(dataset: Dataset) -> None:
    """Frame Type of enhanced multi-frame images follows Image Type (PS3.3 C.8.16.1.1)."""
    for tag in (SHARED, PER_FRAME):
        for groups in dataset[tag].value if tag in dataset else []:
            for macro in list(groups):
                for item in macro.value if macro.VR == "SQ" else []:
                    if FRAME_TYPE in item:
                        item[FRAME_TYPE].value = _derived(item[FRAME_TYPE].value)


def _derivation_group(dataset: Dataset, sentence: str, origin: Dataset) -> None:
    """The same for enhanced multi-frame images, where the source is named in a functional group
    (PS3.3 C.7.6.16.2.6): with that of the frames where they have one, else shared by all."""
    frames = list(dataset[PER_FRAME].value or []) if PER_FRAME in dataset else []
    if not frames:
        return
    groups = frames
    if not any(DERIVATION_IMAGE in frame for frame in frames):
        if not dataset.get("SharedFunctionalGroupsSequence"):
            dataset.SharedFunctionalGroupsSequence = Sequence([Dataset()])
        groups = list(dataset.SharedFunctionalGroupsSequence)[:1]
    for group in groups:
        step = Dataset()
        step.DerivationDescription = sentence
        step.SourceImageSequence = Sequence([copy.deepcopy(origin)])
        step.DerivationCodeSequence = Sequence([_code(*LOSSY_COMPRESSION)])
        group.DerivationImageSequence = Sequence([*(group.get("DerivationImageSequence") or []), step])
    study, series = (str(dataset.get(name, "")) for name in ("StudyInstanceUID", "SeriesInstanceUID"))
    if study and series:    # what a functional group refers to is listed here too (PS3.3 C.8.13.2.1)
        instance, within, evidence = Dataset(), Dataset(), Dataset()
        instance.ReferencedSOPClassUID = origin.ReferencedSOPClassUID
        instance.ReferencedSOPInstanceUID = origin.ReferencedSOPInstanceUID
        within.SeriesInstanceUID, within.ReferencedSOPSequence = series, Sequence([instance])
        evidence.StudyInstanceUID, evidence.ReferencedSeriesSequence = study, Sequence([within])
        earlier = dataset.get("SourceImageEvidenceSequence") or []
        dataset.SourceImageEvidenceSequence = Sequence([*earlier, evidence])
