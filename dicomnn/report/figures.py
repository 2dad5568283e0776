"""Pictures of a report: original, reconstruction, amplified difference, histogram of the errors.

Pictures are PNG bytes from a small writer of our own (zlib is all it takes), drawings are SVG text.
Arrays in, bytes out: no DICOM, no file.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomnn.report.quality import Window

MOST_FIGURES = 12
LARGEST_SIDE = 480
PICTURES = ("original_png", "decoded_png", "difference_png")


@dataclass(frozen=True)
class FrameSample:
    """One frame to show: stored values (rows, columns), signed or unsigned integers.

    ``decoded`` None means: identical by digest; ``values`` then are the decoded pixels and stand for
    both. ``inverted`` is true for MONOCHROME1, where small values are bright (PS3.3 C.7.6.3.1.2).
    """

    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    role: str
    """'worst', 'hardest', 'only' or 'middle' (see ``choose``)."""
    title: str
    values: np.ndarray
    window: Window
    decoded: np.ndarray | None = None
    inverted: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawn sample; ``identical`` when no value differs, ``shrink`` how many pixels became one."""

    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    role: str
    title: str
    rows: int
    columns: int
    identical: bool
    by_digest: bool
    max_error: int
    amplification: float
    shrink: int
    original_png: bytes
    decoded_png: bytes
    difference_png: bytes
    histogram: tuple[tuple[float, float, int], ...]
    """(from, to, pixels) of each bar, errors decoded - original in stored units, both ends included."""

    def stored(self) -> dict[str, Any]:
        """All of it, pictures as base64: for keeping a drawn figure when the original will be gone."""
        pictures = {name: b64encode(getattr(self, name)).decode("ascii") for name in PICTURES}
        return self.to_json() | pictures

    @classmethod
    def from_stored(cls, data: Mapping[str, Any]) -> Figure:
        """Inverse of ``stored``; keys that this version does not know are left out."""
        known = {key: data[key] for key in cls.__dataclass_fields__}
        known |= {name: b64decode(data[name]) for name in PICTURES}
        known["histogram"] = tuple((low, high, count) for low, high, count in data["histogram"])
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """What the figure shows, without the pictures."""
        return {"series_instance_uid": self.series_instance_uid, "sop_instance_uid": self.sop_instance_uid,
                "frame": self.frame, "role": self.role, "title": self.title, "rows": self.rows,
                "columns": self.columns, "identical": self.identical, "by_digest": self.by_digest,
                "max_error": self.max_error, "amplification": self.amplification, "shrink": self.shrink,
                "histogram": [list(bar) for bar in self.histogram]}


@dataclass(frozen=True)
class Candidate:
    """An instance that could be shown.

    ``badness``: larger is worse; its first element is 0 where no value differs, so that what follows
    (bits per pixel) then says how hard the instance was to code.
    """

    series_instance_uid: str
    sop_instance_uid: str
    frames: int
    badness: tuple[float, ...]
    worst_frame: int | None = None


@dataclass(frozen=True)
class Choice:
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    role: str


def choose(candidates: Iterable[Candidate], most: int = MOST_FIGURES) -> list[Choice]:
    """Worst and middle frame of each series, in the order given, at most ``most``.

    Every series gets its worst frame before any gets its middle one; a single frame is shown once.
    Where no value of a series differs, nothing is worst: the role is then 'hardest'; 'only' where the
    series has one frame.
    """
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.series_instance_uid, []).append(candidate)
    worst, middle = [], []
    for uid, group in groups.items():
        bad = max(group, key=lambda candidate: candidate.badness)
        shown = (bad.sop_instance_uid, bad.worst_frame or (bad.frames + 1) // 2)
        total = sum(candidate.frames for candidate in group)
        worst.append(Choice(uid, *shown, "only" if total == 1 else "worst" if bad.badness[0] else "hardest"))
        place = (total - 1) // 2
        for candidate in group:
            if place < candidate.frames:
                if (candidate.sop_instance_uid, place + 1) != shown:
                    middle.append(Choice(uid, candidate.sop_instance_uid, place + 1, "middle"))
                break
            place -= candidate.frames
    chosen = (worst + middle)[:most]
    place_of = {uid: number for number, uid in enumerate(groups)}
    return sorted(chosen, key=lambda choice: (place_of[choice.series_instance_uid], choice.role == "middle"))


def draw(sample: FrameSample) -> Figure:
    """Render a sample. The difference is black where nothing differs, orange where the decoded value is
    larger, blue where it is smaller, and as strong as the largest error of the frame is full colour."""
    values = sample.values.astype(np.int64)
    error = np.zeros_like(values) if sample.decoded is None else sample.decoded.astype(np.int64) - values
    largest = int(np.max(np.abs(error)))
    shrink = max(1, -(-max(values.shape) // LARGEST_SIDE))
    original = png(grey(values, sample.window, sample.inverted, shrink))
    decoded = original if largest == 0 else png(grey(values + error, sample.window, sample.inverted, shrink))
    amplification = 255.0 / largest if largest else 0.0
    strength = np.rint(_shrink_extreme(error, shrink) * amplification)
    colour = np.zeros((*strength.shape, 3), np.uint8)
    colour[..., 0] = np.clip(strength, 0, 255)
    colour[..., 2] = np.clip(-strength, 0, 255)
    colour[..., 1] = np.clip(np.abs(strength), 0, 255) * 0.45
    return Figure(
        sample.series_instance_uid, sample.sop_instance_uid, sample.frame, sample.role, sample.title,
        values.shape[0], values.shape[1], identical=largest == 0, by_digest=sample.decoded is None,
        max_error=largest, amplification=amplification, shrink=shrink, original_png=original,
        decoded_png=decoded, difference_png=png(colour), histogram=bars(error))


def grey(values: np.ndarray, window: Window, inverted: bool, shrink: int = 1) -> np.ndarray:
    """Stored values through a linear window to uint8, ``shrink`` x ``shrink`` pixels averaged into one."""
    shown = np.clip((values - window.low) / window.width, 0.0, 1.0)
    rows, columns = (side // shrink * shrink for side in shown.shape)
    if shrink > 1 and rows and columns:
        blocks = shown[:rows, :columns].reshape(rows // shrink, shrink, columns // shrink, shrink)
        shown = blocks.mean(axis=(1, 3))
    levels = np.rint(255.0 * shown).astype(np.uint8)
    return 255 - levels if inverted else levels


def _shrink_extreme(error: np.ndarray, shrink: int) -> np.ndarray:
    """Blocks of an error image by their largest error, so that shrinking hides none.

    Edges that do not fill a block are padded, then cut to the size that ``grey`` gives.
    """
    if shrink == 1:
        return error
    rows, columns = (side // shrink for side in error.shape)
    if not rows or not columns:
        return error
    padded = np.pad(error, [(0, -side % shrink) for side in error.shape])
    blocks = padded.reshape(padded.shape[0] // shrink, shrink, padded.shape[1] // shrink, shrink)
    high, low, total = blocks.max(axis=(1, 3)), blocks.min(axis=(1, 3)), blocks.sum(axis=(1, 3))
    # Where both signs reach as far, the sum decides, then a chessboard: no colour may win by rule.
    board = np.indices(high.shape).sum(axis=0) % 2 == 0
    upward = (high > -low) | ((high == -low) & ((total > 0) | ((total == 0) & board)))
    return np.where(upward, high, low)[:rows, :columns]


def bars(error: np.ndarray, most: int = 41) -> tuple[tuple[float, float, int], ...]:
    """Histogram of integer errors: one bar per value, or ``most`` equally wide ones over the range."""
    largest = int(np.max(np.abs(error)))
    width = -(-(2 * largest + 1) // most)
    width += 1 - width % 2  # odd, so that one bar is centred on 0
    reach = -(-(largest - width // 2) // width) if largest > width // 2 else 0
    counts = np.bincount((error.ravel() + reach * width + width // 2) // width, minlength=2 * reach + 1)
    half = width // 2
    return tuple((float((place - reach) * width - half), float((place - reach) * width + half), int(count))
                 for place, count in enumerate(counts))


def png(image: np.ndarray) -> bytes:
    """PNG (ISO/IEC 15948) of uint8 (rows, columns) grey or (rows, columns, 3) RGB."""
    rows, columns = image.shape[:2]
    samples = 1 if image.ndim == 2 else 3
    lines = np.ascontiguousarray(image).reshape(rows, columns * samples)
    above = np.vstack([np.zeros_like(lines[:1]), lines[:-1]])
    filtered = np.hstack([np.full((rows, 1), 2, np.uint8), lines - above])  # filter type 2, Up
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0 if samples == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")))
