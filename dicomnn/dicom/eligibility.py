"""What may be coded, and, where something may not, why: one table of reason codes.

A file that is not coded is kept byte for byte under one of these codes; that is a normal outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dicomnn.dicom.attributes import Attributes, ImagePixel
from dicomnn.dicom.caps import MEASUREMENTS, MQSA, NO_SECOND, STRICTEST, Cap, cap_of
from dicomnn.dicom.scan import Layout
from dicomnn.dicom.splice import choose_group
from dicomnn.dicom.syntaxes import Syntax, syntax
from dicomnn.errors import DataSetMalformed, DicomnnError

REASONS: dict[str, str] = {
    "profile-keep": "The profile for this instance is keep: it stays as it was received.",
    "already-coded": "The object already holds a private block of dicomnn: it is not coded twice.",
    "not-dicom": "The bytes are no DICOM file and no data set that can be recognised.",
    "malformed": "The data set breaks off or cannot be followed before its pixel data end.",
    "nested-too-deep": "Sequences are nested more than 32 deep: no reader should follow them.",
    "no-pixel-data": "The object has no pixel data: a report, a plan, a directory or the like.",
    "float-pixels": "The pixels are floating point numbers; only integers are coded.",
    "deflated-dataset": "The whole data set is deflated: its bytes could not be given back unchanged.",
    "unknown-syntax": "The transfer syntax is unknown to this version.",
    "already-lossy": "The transfer syntax allows loss: such pixels are never compressed a second time.",
    "syntax-mismatch": "The data set is not written in the transfer syntax that it names.",
    "undecodable": "The compressed frames cannot be decoded, or not without doubt about the result.",
    "colour": "The image has more than one sample per pixel; only single-sample images are coded.",
    "one-bit": "The pixels are single bits; only 8 and 16 bit words are coded.",
    "bits-32": "The pixels have more than 16 bits; only 8 and 16 bit words are coded.",
    "packed-12": "The pixels are packed, 12 bits each; only 8 and 16 bit words are coded.",
    "geometry-invalid": "Rows, Columns or Bits Allocated are missing, doubtful or impossible.",
    "frames-inconsistent": "Number Of Frames is not a positive number or does not agree with the pixel data.",
    "pixel-data-empty": "The Pixel Data element is empty.",
    "pixel-data-short": "The Pixel Data element holds fewer bytes than the image needs.",
    "too-large": "The uncompressed pixels would not fit into one DICOM element (4 GiB).",
    "no-private-group": "The file's own private elements leave no group for the coded pixels.",
    "bounded-forbidden": "Loss is not allowed for this kind of image: it is coded without loss instead.",
    "lossy-forbidden": "No lossy profile is allowed for this image: it is coded without loss instead.",
    "lossy-above-cap": "The rule asks for a higher ratio than is allowed: it is coded without loss instead.",
    "lossy-body-part": "The body part is not known, and the highest ratio allowed depends on it: it is coded "
                       "without loss instead.",
    "lossy-no-cap": "No highest ratio is known for this kind of image: it is coded without loss instead.",
    "lossy-pixels": "The lossy tier does not take pixels of this form: it is coded without loss instead.",
    "promise-not-kept": "The lossy tier cannot keep the promise on every frame.",
    "no-gain": "With loss it would not be smaller than without.",
    "no-lossy-model": "There is no model of the lossy tier.",
    "not-smaller": "Coding did not make the object smaller.",
    "decompressed": "A person asked for it to be stored as it was received.",
    "failed": "Coding failed repeatedly; the original is kept, see the log.",
}

# Lossless only, whatever a rule says. Stored values that are measurements, masks, or regulated by law.
LOSSLESS_MODALITIES = {
    "MG": "mammography", "PT": "PET: the stored values are measurements",
    "NM": "nuclear medicine: the stored values are measurements", "RTDOSE": "dose values are measurements",
    "SEG": "a segmentation", "PR": "a presentation state", "SR": "a structured report", "KO": "a key object",
    "RWV": "a real world value mapping", "RTSTRUCT": "contours", "RTPLAN": "a plan", "REG": "a registration",
    "FID": "fiducials",
}
_STORAGE = "1.2.840.10008.5.1.4.1.1."
LOSSLESS_CLASSES = {  # prefixes of SOP Class UIDs (PS3.4 annex B.5)
    _STORAGE + "1.2": "mammography", _STORAGE + "1.2.1": "mammography",
    _STORAGE + "13.1.3": "breast tomosynthesis", _STORAGE + "13.1.4": "breast projections",
    _STORAGE + "13.1.5": "breast projections",
    _STORAGE + "128": "PET: the stored values are measurements",
    _STORAGE + "128.1": "PET: the stored values are measurements",
    _STORAGE + "130": "PET: the stored values are measurements",
    _STORAGE + "20": "nuclear medicine: the stored values are measurements",
    _STORAGE + "481.2": "dose values are measurements", _STORAGE + "30": "a parametric map",
    _STORAGE + "66": "raw data or a registration", _STORAGE + "66.4": "a segmentation",
    _STORAGE + "66.5": "a segmentation", _STORAGE + "66.7": "a label map",
    _STORAGE + "67": "real world values",
}
LOSSLESS_CLASS_FAMILIES = {_STORAGE + "11.": "a presentation state", _STORAGE + "88.": "a structured object"}
LOSSY_MARKS = (0x00282112, 0x00282114)  # Lossy Image Compression Ratio and Method
LARGEST_VALUE = 0xFFFFFFFE


@dataclass(frozen=True)
class Verdict:
    """`frame_bytes`, `frames` and `trailing_bytes` (beyond the frames, native input) hold when `eligible`.

    `profile_kind` is what may be done: 'bounded' and 'lossy' fall to 'lossless' where no loss is allowed, and
    `note` then says why. `detail` says what the table's sentence leaves open. `cap`: of a lossy profile.
    """

    eligible: bool
    reason: str | None
    frame_bytes: int = 0
    frames: int = 0
    trailing_bytes: int = 0
    profile_kind: str = "keep"
    note: str | None = None
    detail: str = ""
    cap: Cap | None = None

    @property
    def sentence(self) -> str:
        """The reason (or the note) for an operator, '' when there is nothing to say."""
        code = self.reason or self.note
        return "" if code is None else REASONS[code] + (f" ({self.detail})" if self.detail else "")


def reason_of(error: DicomnnError) -> str:
    """The reason code for a file that could not be scanned or decoded."""
    return error.code if error.code in REASONS else "failed"


def judge(layout: Layout, image_pixel: ImagePixel | None, attributes: Attributes, *, profile_kind: str,
          promise: tuple[str, float] = ("", 0.0), caps: str = STRICTEST) -> Verdict:
    """Whether the object may be coded with a profile of this kind ('keep', 'lossless', 'bounded' or 'lossy').

    `promise`: figure and value of a lossy profile, held against the caps of the table `caps`.
    """
    kind = syntax(layout.transfer_syntax)
    refused = _refused(layout, kind, profile_kind) or _bad_image(layout, kind, image_pixel)
    if refused is not None or image_pixel is None:
        return refused or _no("geometry-invalid")
    verdict = _measured(layout, kind, image_pixel)
    if not verdict.eligible or profile_kind not in ("bounded", "lossy"):
        return replace(verdict, profile_kind=profile_kind) if verdict.eligible else verdict
    forbidden = _lossless_only(layout, image_pixel, attributes)
    if forbidden and profile_kind == "lossy":
        cap = Cap(None, "", _guideline(forbidden), caps, "lossy-forbidden", _guideline(forbidden))
    elif forbidden:
        return replace(verdict, profile_kind="lossless", note="bounded-forbidden", detail=forbidden)
    elif profile_kind == "bounded":
        return replace(verdict, profile_kind="bounded")
    else:
        cap = cap_of(attributes, *promise, caps, rescale_type=image_pixel.rescale_type or "")
    if cap.reason:
        return replace(verdict, profile_kind="lossless", note=cap.reason, detail=cap.why, cap=cap)
    return replace(verdict, profile_kind="lossy", cap=cap)


def _guideline(forbidden: str) -> str:
    """Why no loss is allowed, with whose rule that is."""
    if "mammography" in forbidden or "breast" in forbidden:
        return f"{forbidden}: {MQSA}"
    if "before" in forbidden:
        return f"{forbidden}: {NO_SECOND}"
    return f"{forbidden}: {MEASUREMENTS}" if "measurements" in forbidden or "map" in forbidden else forbidden


def _no(reason: str, detail: str = "") -> Verdict:
    return Verdict(False, reason, detail=detail)


def _refused(layout: Layout, kind: Syntax, profile_kind: str) -> Verdict | None:
    """What the surroundings and the transfer syntax say."""
    pixel_data, broken = layout.pixel_data, layout.broken
    if layout.block_creators:
        return _no("already-coded")
    if profile_kind == "keep":
        return _no("profile-keep")
    if not kind.known:
        return _no("unknown-syntax", layout.transfer_syntax)
    if kind.deflated:
        return _no("deflated-dataset")
    if pixel_data is None:
        if layout.find(0x7FE00008) or layout.find(0x7FE00009):
            return _no("float-pixels")
        return _no("no-pixel-data") if broken is None else _no("malformed", broken.why)
    if (layout.explicit, layout.little_endian) != (kind.explicit, kind.little_endian):
        return _no("syntax-mismatch", f"it names {kind.name}")
    if kind.encapsulated and kind.lossless is not True:
        return _no("already-lossy", kind.name)
    if kind.encapsulated != pixel_data.undefined_length:
        return _no("syntax-mismatch", f"Pixel Data are not as {kind.name} wants them")
    if kind.encapsulated and broken is not None and broken.element is pixel_data:
        return _no("malformed", broken.why)
    if not kind.decodable:
        return _no("undecodable", f"no decoder for {kind.name}")
    try:
        choose_group(layout)
    except DataSetMalformed:
        return _no("no-private-group")
    return None


def _bad_image(layout: Layout, kind: Syntax, image: ImagePixel | None) -> Verdict | None:
    """What the Image Pixel module says."""
    if image is None:
        return _no("geometry-invalid", "there is no Image Pixel module")
    one_sample = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", None)
    if image.samples_per_pixel != 1 and (image.samples_per_pixel is not None
                                         or image.photometric_interpretation not in one_sample):
        return _no("colour", image.photometric_interpretation or "")
    by_bits = {1: "one-bit", 12: "packed-12"}
    bits = image.bits_allocated
    if bits in by_bits:
        return _no(by_bits[bits])
    if bits is not None and bits > 16:
        return _no("bits-32", f"{bits} bits")
    if bits not in (8, 16) or not image.rows or not image.columns:
        return _no("geometry-invalid", f"{image.columns} x {image.rows} pixels of {bits} bits")
    if image.number_of_frames is not None and image.number_of_frames < 1:
        return _no("frames-inconsistent")
    return None


def _measured(layout: Layout, kind: Syntax, image: ImagePixel) -> Verdict:
    """What the lengths say."""
    pixel_data = layout.pixel_data
    if pixel_data is None or not image.rows or not image.columns or not image.bits_allocated:
        return _no("geometry-invalid")
    frames = 1 if image.number_of_frames is None else image.number_of_frames
    frame_bytes = image.rows * image.columns * image.bits_allocated // 8
    wanted, there = frames * frame_bytes, pixel_data.end - pixel_data.value_start
    trailing = 0
    if kind.encapsulated:
        if wanted > LARGEST_VALUE:
            return _no("too-large", f"{wanted} bytes")
    elif there == 0:
        return _no("pixel-data-empty")
    elif there < wanted or pixel_data.truncated:
        said = f", the element says {pixel_data.length}" if pixel_data.truncated else ""
        return _no("pixel-data-short", f"{there} of {wanted} bytes{said}")
    elif there - wanted >= frame_bytes and there - wanted > 1:
        return _no("frames-inconsistent", f"{frames} frames are {wanted} bytes, {there} are there")
    else:
        trailing = there - wanted
    return Verdict(True, None, frame_bytes, frames, trailing)


def _lossless_only(layout: Layout, image: ImagePixel, attributes: Attributes) -> str | None:
    """Why no loss is allowed, None when it is."""
    modality, sop_class = attributes.modality, attributes.sop_class_uid
    if modality is None or sop_class is None:
        return "Modality or SOP Class is missing, so the kind of image cannot be told"
    if attributes.sop_instance_uid is None:
        return "without SOP Instance UID a lossy version could not name its source"
    if modality in LOSSLESS_MODALITIES:
        return LOSSLESS_MODALITIES[modality]
    if sop_class in LOSSLESS_CLASSES:
        return LOSSLESS_CLASSES[sop_class]
    for family, why in LOSSLESS_CLASS_FAMILIES.items():
        if sop_class.startswith(family):
            return why
    marked = any((element := layout.find(tag)) is not None and element.end > element.value_start
                 for tag in LOSSY_MARKS)
    if image.lossy_image_compression not in (None, "00") or marked:
        return "it went through lossy compression before"
    if image.photometric_interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        return "the stored values are indices into a palette, or of unknown meaning"
    return None
