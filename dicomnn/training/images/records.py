"""What the catalogue knows: a file, a plane of it, what was left out. Plain data, to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass

LEFT_OUT = {
    "not-an-image": "Neither DICOM nor another format that is read here, or DICOM without an image.",
    "no-reader": "The format needs SimpleITK: pip install 'dicomnn[train]'.",
    "unreadable": "The file cannot be read or decoded.",
    "colour": "More than one sample per pixel.",
    "bits": "Not 8 to 16 bit whole numbers.",
    "lossy": "The pixels went through lossy compression: their noise is a codec's, not a scanner's.",
    "deflated": "A deflated data set: unpack it first.",
    "too-small": "Fewer than 16 rows or columns.",
    "nearly-constant": "Nearly all neighbouring pixels are equal: a mask, a chart or an empty image.",
    "noise-like": "Neighbouring pixels have nothing to do with each other: random numbers, not an image.",
    "ramp": "Every pixel follows from its neighbours without any noise: a counting pattern, not an image.",
    "duplicate": "The same pixels were catalogued before.",
}
"""Why a file or plane is no training data."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that holds planes to train on. ``patient``, ``study`` and ``series`` are digests or ''.

    ``kind``: dicom, coded, volume or picture. ``bits``: bits stored (or of the data type); ``signed`` as
    stored. ``size`` and ``changed`` (modification time, ns) tell a file from a later one of the same name.
    Where a DICOM slice lies, as far as it says: ``stack``: the direction of its stack, rounded, as text;
    ``position``: mm along it; ``spacing``: Spacing Between Slices, mm; ``instance``: its number.
    """

    path: str
    size: int
    changed: int
    kind: str
    source: str
    modality: str
    group: str
    manufacturer: str
    model: str
    kernel: str
    device: str
    patient: str
    study: str
    series: str
    rows: int
    columns: int
    frames: int
    bits: int
    signed: bool
    stack: str = ""
    position: float | None = None
    spacing: float | None = None
    instance: int | None = None

    @property
    def scanner(self) -> str:
        """Device and reconstruction kernel: what makes images look alike."""
        return f"{self.device} {self.kernel.lower()}".strip()


@dataclass(frozen=True, slots=True)
class Measures:
    """What a plane (minimum subtracted) looks like.

    ``noise``: robust standard deviation of the noise in stored units. ``correlation``: of neighbouring
    pixels. ``changing``: share of neighbouring pixels that differ. ``values``: distinct values; ``peak``:
    the largest. ``packed``: whether squeezing unused values out pays, as the codec decides it.
    """

    digest: str
    noise: float
    correlation: float
    changing: float
    values: int
    peak: int
    packed: bool


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A frame of a file, as much of it as it takes to read it. ``kind`` as in ImageFile."""

    path: str
    kind: str
    frame: int

    @property
    def key(self) -> str:
        return key_of(self.path, self.frame)


@dataclass(frozen=True, slots=True)
class PlaneRecord:
    """One frame of a file, measured. ``before``: the plane of its series that comes before it, if any."""

    file: ImageFile
    frame: int
    measures: Measures
    before: Neighbour | None = None

    @property
    def key(self) -> str:
        return key_of(self.file.path, self.frame)


def key_of(path: str, frame: int) -> str:
    """The name of a plane."""
    return f"{path}#{frame}"


@dataclass(frozen=True)
class LeftOut:
    """A file (frame -1) or one of its frames, and the code of LEFT_OUT that keeps it out of training."""

    path: str
    frame: int
    reason: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        return LEFT_OUT[self.reason] + (f" ({self.detail})" if self.detail else "")


class NotUsable(Exception):
    """Raised by readers: the file or frame is left out, with a code of LEFT_OUT."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
