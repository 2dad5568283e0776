"""A promise about a lossy frame, and the coarsest quantisation that keeps it: searched, decoded, measured.

Nothing is promised from a prediction: the figure that comes back was measured on what the decoder made of
the very bytes that come back with it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from dicomnn.errors import UsageError

from ..distortion import psnr, ssim
from .frame import COARSEST, decode_frame, encode_frame, index_of
from .model import LossyModel

KINDS = ("ratio", "psnr", "ssim")
LARGEST_SPAN = 16384
"""Steps in the span of a plane: 32 times so many are within the largest magnitude, with room to spare."""


@dataclass(frozen=True)
class Promise:
    """`ratio`: native bytes by coded bytes, at least; `psnr`: dB over the full scale, at least; `ssim`: at
    least, in the window where one is given.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"'{self.kind}' is no promise; they are ratio=R, psnr=P and ssim=S.")
        top = {"ratio": 1000.0, "psnr": 150.0, "ssim": 1.0}[self.kind]
        if not (0 < self.value <= top and math.isfinite(self.value)) or (
            self.kind == "ratio" and self.value < 1
        ):
            raise UsageError(f"The promise {self.kind}={self.value:g} is out of range.")

    @classmethod
    def parse(cls, text: str) -> Promise:
        """`'ratio=10'`, `'psnr=45'` or `'ssim=0.98'`. Raises UsageError."""
        match = re.fullmatch(r"(ratio|psnr|ssim)=([0-9]{1,6}(?:\.[0-9]{1,6})?)", text.strip())
        if match is None:
            raise UsageError(f"'{text}' is no promise; they are ratio=R, psnr=P and ssim=S.")
        return cls(match.group(1), float(match.group(2)))

    def __str__(self) -> str:
        return f"{self.kind}={self.value:g}"


@dataclass(frozen=True)
class Scale:
    """What the figures refer to. `full`: the maximum of PSNR, 2^BitsStored - 1 of the image. `window`: lower
    and upper end of the values that SSIM looks at (shown as 0..255), in values of the plane; None: all of
    them, SSIM over `full`. `overhead`: bytes of the container that a frame bears. `allocated`: bytes a pixel.
    """

    full: float
    window: tuple[float, float] | None = None
    overhead: int = 0
    allocated: int = 2


@dataclass(frozen=True, eq=False)
class Kept:
    """`stream` at step number `quality` decodes to `plane`, whose figure is `reached`."""

    stream: bytes
    quality: int
    plane: np.ndarray
    reached: float
    tried: int


def windowed(plane: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Values as a screen shows them: int64 0..255, `window` from black to white."""
    low, high = window
    shown = (plane.astype(np.float64) - low) * (255.0 / max(high - low, 1e-9))
    return np.floor(np.clip(shown, 0.0, 255.0) + 0.5).astype(np.int64)


def reached(promise: Promise, plane: np.ndarray, decoded: np.ndarray, size: int, scale: Scale) -> float:
    """The promised figure of a decoded plane whose stream has `size` bytes."""
    if promise.kind == "ratio":
        return plane.size * scale.allocated / (size + scale.overhead)
    if promise.kind == "psnr":
        return psnr(plane, decoded, scale.full)
    if scale.window is None:
        return ssim(plane, decoded, scale.full)
    return ssim(windowed(plane, scale.window), windowed(decoded, scale.window), 255.0)


def finest_of(plane: np.ndarray) -> int:
    """The finest step number at which every coefficient of a plane fits the classes of magnitude: the lowest
    band has up to 32 times its span, and so has what is coded of it.
    """
    return index_of((int(plane.max()) - int(plane.min())) / LARGEST_SPAN)


def keep(promise: Promise, plane: np.ndarray, model: LossyModel, scale: Scale) -> Kept | None:
    """The coarsest stream of a plane (rows, columns) uint16 that keeps a promise of quality, or the finest
    that keeps a ratio; None where no step does, and another profile has to serve.

    Quality falls and ratio grows with the step, but for small waves; the search halves the range of steps, so
    beside a wave a step a little coarser may do as well. What is returned was measured in any case.
    """
    found: dict[int, Kept] = {}

    def at(quality: int) -> Kept:
        if quality not in found:
            stream = encode_frame(plane, quality, model)
            decoded = decode_frame(stream, plane.shape, model)
            figure = reached(promise, plane, decoded, len(stream), scale)
            found[quality] = Kept(stream, quality, decoded, figure, len(found) + 1)
        return found[quality]

    def kept(quality: int) -> bool:
        return at(quality).reached >= promise.value

    # `good` keeps the promise, `bad` does not; ratio is kept by coarse steps, quality by fine ones.
    finest = finest_of(plane)
    good, bad = (COARSEST, finest) if promise.kind == "ratio" else (finest, COARSEST)
    if not kept(good):
        return None
    if kept(bad):
        return _counted(at(bad), len(found))
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if kept(middle) else (good, middle)
    return _counted(at(good), len(found))


def _counted(kept: Kept, tried: int) -> Kept:
    return Kept(kept.stream, kept.quality, kept.plane, kept.reached, tried)
