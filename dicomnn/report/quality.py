"""How well pixels came back: what is known, and from where it is known.

Three sources, never mixed up in a report: *digest* (the decoded pixels have the digest of the original
ones, so the error is 0 by proof, not by computation), *measured* (both were there when the object was
coded) and *bound* (the original is gone; only the guaranteed largest error is known).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Similarity = Callable[[np.ndarray, np.ndarray, float], float]
BASES = ("digest", "measured", "bound")


@dataclass(frozen=True)
class Window:
    """A linear window in STORED units: values from ``low`` to ``high`` are shown from black to white."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    @classmethod
    def from_dicom(cls, center: float, width: float, slope: float = 1.0, intercept: float = 0.0) -> Window:
        """From Window Center and Width in modality units (PS3.3 C.11.2.1.2, LINEAR) and the rescale.

        A width below 1 counts as 1, a slope of 0 as 1: such headers exist and must not stop a report.
        """
        slope = slope or 1.0
        half = (max(width, 1.0) - 1.0) / 2.0
        ends = ((center - 0.5 - half - intercept) / slope, (center - 0.5 + half - intercept) / slope)
        low, high = min(ends), max(ends)
        return cls(low, high if high > low else low + 1.0)

    @classmethod
    def from_values(cls, values: np.ndarray, padding: int | None = None) -> Window:
        """Percentiles 1 and 99 of the stored values, padding left out: for images without a window."""
        kept = values if padding is None else values[values != padding]
        if kept.size == 0:
            return cls(0.0, 1.0)
        low, high = (float(value) for value in np.percentile(kept, (1.0, 99.0)))
        return cls(low, high if high > low else low + 1.0)


@dataclass(frozen=True)
class Quality:
    """Errors of one instance against its original, in stored units.

    ``psnr_db`` is for MAX = ``psnr_max`` = 2**BitsStored - 1; ``psnr_window_db`` for values clipped to
    the clinical window with MAX = ``window_width`` (stored units). ``ssim`` (Wang 2004, windows of 7x7,
    each frame's own range of stored values) is that of the worst frame. PSNR is ``inf`` when nothing
    differs. None: not known. ``max_error_rescaled`` is |slope| * max_error in ``unit`` (HU).
    """

    basis: str
    psnr_max: int | None = None
    mse: float | None = None
    psnr_db: float | None = None
    psnr_window_db: float | None = None
    window_width: float | None = None
    ssim: float | None = None
    max_error: int | None = None
    max_error_rescaled: float | None = None
    unit: str = ""
    worst_frame: int | None = None
    """Counted from 1; the frame with the lowest SSIM, then the largest MSE."""

    @property
    def identical(self) -> bool:
        return self.max_error == 0

    def to_json(self) -> dict[str, Any]:
        """JSON has no infinity: PSNR is null where ``identical`` is true."""
        return {
            "basis": self.basis, "identical": self.identical, "psnr_max": self.psnr_max, "mse": self.mse,
            "psnr_db": _finite(self.psnr_db), "psnr_window_db": _finite(self.psnr_window_db),
            "window_width": self.window_width, "ssim": self.ssim, "max_error": self.max_error,
            "max_error_rescaled": self.max_error_rescaled, "unit": self.unit, "worst_frame": self.worst_frame,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Quality:
        """Inverse of ``to_json``; keys that this version does not know are left out."""
        known = {key: data[key] for key in cls.__dataclass_fields__ if key in data}
        if data.get("identical"):
            known["psnr_db"] = known["psnr_window_db"] = math.inf
        return cls(**known)


def _finite(value: float | None) -> float | None:
    """None for what JSON cannot say."""
    return value if value is not None and math.isfinite(value) else None


def identical(bits_stored: int | None, unit: str = "") -> Quality:
    """The quality that follows from equal digests: no value differs."""
    return Quality("digest", None if bits_stored is None else (1 << bits_stored) - 1, 0.0, math.inf, math.inf,
                   None, 1.0, 0, 0.0 if unit else None, unit)


def within(bound: int, bits_stored: int | None, slope: float | None = None, unit: str = "") -> Quality:
    """Only the guarantee is known: no stored value differs by more than ``bound``."""
    return Quality("bound", None if bits_stored is None else (1 << bits_stored) - 1, max_error=bound,
                   max_error_rescaled=abs(slope) * bound if slope and unit else None, unit=unit)


@dataclass(frozen=True)
class FrameMeasure:
    """Errors of one frame (counted from 1); ``ssim`` is NaN when the frame is too small for it."""

    frame: int
    pixels: int
    mse: float
    mse_window: float
    ssim: float
    max_error: int


def measure_frame(original: np.ndarray, decoded: np.ndarray, window: Window, similarity: Similarity,
                  frame: int = 1) -> FrameMeasure:
    """Compare two frames of stored values, (rows, columns) integers of any width and sign.

    ``similarity(original, decoded, data_range)`` is the codec's SSIM, ``dicomnn.codec.distortion.ssim``:
    one definition for the whole project, handed in because this room does not know the codec.
    """
    error = decoded.astype(np.int64) - original.astype(np.int64)
    low, high = math.floor(window.low), math.ceil(window.high)
    first, second = (np.clip(image.astype(np.int64), low, high) for image in (original, decoded))
    return FrameMeasure(frame, error.size, int(np.square(error).sum()) / error.size,
                        int(np.square(second - first).sum()) / error.size,
                        similarity(original, decoded, _range(original)), int(np.max(np.abs(error))))


def _range(values: np.ndarray) -> float:
    return float(max(1, int(values.max()) - int(values.min())))


def psnr(mse: float, maximum: float) -> float:
    """10 log10(MAX**2 / MSE) in dB; ``inf`` when ``mse`` is 0."""
    return math.inf if mse == 0 else 10.0 * math.log10(maximum**2 / mse)


def summarise(frames: Sequence[FrameMeasure], bits_stored: int, window: Window, slope: float | None = None,
              unit: str = "") -> Quality:
    """One instance from its frames: pooled MSE and PSNR, the lowest SSIM, the largest error.

    ``unit`` (with ``slope``) gives the largest error in that unit too, where Rescale Type says HU.
    """
    pixels = sum(frame.pixels for frame in frames)
    mse = sum(frame.mse * frame.pixels for frame in frames) / pixels
    windowed = sum(frame.mse_window * frame.pixels for frame in frames) / pixels
    worst = min(frames, key=lambda frame: (2.0 if math.isnan(frame.ssim) else frame.ssim, -frame.mse))
    largest = max(frame.max_error for frame in frames)
    maximum = (1 << bits_stored) - 1
    return Quality(
        "measured", maximum, mse, psnr(mse, maximum), psnr(windowed, window.width), window.width,
        None if math.isnan(worst.ssim) else worst.ssim, largest,
        abs(slope) * largest if slope and unit else None, unit, worst.frame)


def pooled(parts: Iterable[tuple[Quality | None, int]]) -> dict[str, Any]:
    """The worst of several instances, given with their pixel counts, as plain JSON values.

    MSE is the mean over all pixels; the other figures are those of the worst instance, as MAX may
    differ between them. A figure is null as soon as one instance does not have it; PSNR also when no
    value differs (``identical``).
    """
    known = [(quality, pixels) for quality, pixels in parts if quality is not None]
    figures: dict[str, Any] = {basis: sum(quality.basis == basis for quality, _ in known) for basis in BASES}
    figures["identical"] = bool(known) and all(quality.identical for quality, _ in known)
    pixels_total = sum(pixels for _, pixels in known)
    squares = [None if quality.mse is None else quality.mse * pixels for quality, pixels in known]
    complete = [value for value in squares if value is not None]
    figures["mse"] = sum(complete) / pixels_total if pixels_total and len(complete) == len(known) else None
    for name, worst in (("psnr_db", min), ("psnr_window_db", min), ("ssim", min), ("max_error", max)):
        values = [getattr(quality, name) for quality, _ in known]
        figures[name] = _finite(worst(values)) if values and None not in values else None
    rescaled = [quality.max_error_rescaled for quality, _ in known]
    units = {quality.unit for quality, _ in known}
    same = len(units) == 1 and "" not in units and None not in rescaled
    figures["max_error_rescaled"] = max(value for value in rescaled if value is not None) if same else None
    figures["unit"] = units.pop() if same else ""
    return figures
