"""Frames of an image coded so that a promise holds on every one of them, and no ratio exceeds a cap.

Ratios count the bits that are stored in a sample, not those that its word has (docs/decisions/0042).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dicomnn.codec import lossy_image, planes
from dicomnn.codec.distortion import noise_power
from dicomnn.codec.lossy import payload as frames_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.promise import Kept, Promise, Scale, keep, reached
from dicomnn.codec.parallel import in_order
from dicomnn.codec.payload import Payload
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat, little_endian_bytes
from dicomnn.errors import PromiseNotKept, SamplesInvalid

NOTHING_LOST = 150.0
"""dB of a frame without any difference."""
_FINER = (0.995, 0.985, 0.96, 0.92, 0.85, 0.7, 0.5)
_PROBE = b"\0" * 64


@dataclass(frozen=True)
class FrameFigures:
    """Of one frame: `reached`, the promised figure; `size` in bytes, with its share of the header; `ratio`
    by the bits that are stored; `exact`: no value changed; `noise`: power before and after."""

    reached: float
    size: int
    ratio: float
    exact: bool
    noise: tuple[float, float]


@dataclass(frozen=True)
class Promised:
    """A payload that keeps its promise, and the figures of each frame."""

    payload: Payload
    frames: list[FrameFigures]

    @property
    def worst(self) -> int:
        """Number, from 0, of the frame whose figure is the lowest."""
        return min(range(len(self.frames)), key=lambda number: self.frames[number].reached)


@dataclass
class Aim:
    """What every frame has to keep. `window`: for SSIM, in values as `planes.split` gives them (offset
    binary); None: all values. `cap`: no frame that has any loss may have a higher ratio."""

    profile: Profile
    sample_format: SampleFormat
    frames: int
    window: tuple[float, float] | None = None
    cap: float | None = None
    overhead: int = 0
    """Bytes of headers that a frame bears; `encode_promised` finds it."""

    @property
    def full(self) -> float:
        return float(self.sample_format.mask)

    def ratio(self, pixels: int, size: int) -> float:
        """By the bits that are stored, of a frame of so many pixels in `size` bytes."""
        return pixels * self.sample_format.bits_stored / (8 * size)

    def promise(self) -> Promise:
        """As `lossy/promise.py` knows it: there a ratio counts bytes, two a pixel."""
        value = self.profile.value
        if self.profile.figure == "ratio":
            value *= 16 / self.sample_format.bits_stored
        return Promise(self.profile.figure, value)

    def scale(self, minimum: int) -> Scale:
        window = None if self.window is None else (self.window[0] - minimum, self.window[1] - minimum)
        return Scale(self.full, window, self.overhead, 2)

    def figure(self, before: np.ndarray, after: np.ndarray, size: int) -> float:
        """The promised figure of any decoded frame of values in `size` bytes; nothing lost is 150 dB."""
        if self.profile.figure == "ratio":
            return self.ratio(before.size, size)
        plain = Promise(self.profile.figure, self.profile.value)
        return min(NOTHING_LOST, reached(plain, before, after, size, self.scale(0)))


def encode_promised(
    frames: np.ndarray,
    aim: Aim,
    model: LossyModel,
    *,
    decoded: np.ndarray | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Promised:
    """The payload of `frames`, raw words (frames, rows, columns), as many as `aim` says.

    `decoded` (frames, rows, columns) uint16 takes the decoded planes, so that a big image need not be held in
    memory; `progress(done, total)` counts frames. Raises PromiseNotKept, with the frame, as soon as one
    cannot keep the promise, and SamplesInvalid where bits outside of the stored value are set.
    """
    aim.overhead = overhead_of(model, aim.frames)
    store = np.empty(frames.shape, np.uint16) if decoded is None else decoded
    digest, streams, minima, figures = hashlib.sha256(), [], [], []

    def work(number: int, _: int) -> tuple[Kept, int, FrameFigures]:
        plane, minimum = plane_of(frames[number], aim.sample_format, number)
        kept = _kept(plane, minimum, aim, model, number)
        return kept, minimum, _figures(plane, kept, aim)

    for number, (kept, minimum, found) in enumerate(
        in_order(aim.frames, work, tiles_each=1, threads=threads)
    ):
        streams.append(kept.stream)
        minima.append(minimum)
        figures.append(found)
        store[number] = kept.plane
        back = planes.join(kept.plane + np.uint16(minimum), None, aim.sample_format)
        digest.update(little_endian_bytes(back))
        if progress is not None:
            progress(number + 1, aim.frames)
    inner = frames_of.build(streams, list(store), model)
    parts = lossy_image.build(
        aim.sample_format, aim.profile, digest.digest(), np.array(minima, np.uint16), inner
    )
    return Promised(Payload(parts), figures)


def plane_of(words: np.ndarray, sample_format: SampleFormat, number: int = 0) -> tuple[np.ndarray, int]:
    """Values above the least one, and that. Raises SamplesInvalid where other bits of the words are set."""
    values, side = planes.split(words, sample_format)
    if side is not None:
        raise SamplesInvalid(
            f"bits outside of Bits Stored are set in frame {number + 1} (an overlay, or what is no image)",
            cure="Code it without loss: those bits come back exactly then.",
        )
    minimum = int(values.min())
    return values - np.uint16(minimum), minimum


def _kept(plane: np.ndarray, minimum: int, aim: Aim, model: LossyModel, number: int) -> Kept:
    scale = aim.scale(minimum)
    kept = keep(aim.promise(), plane, model, scale)
    if kept is None:
        raise PromiseNotKept(f"frame {number + 1} does not reach {aim.profile.promise} at any step")
    if aim.cap is None or aim.profile.figure == "ratio" or _within(kept, plane, aim):
        return kept
    for part in _FINER:
        finer = keep(Promise("ratio", max(1.0, part * aim.cap * 16 / aim.sample_format.bits_stored)), plane,
                     model, scale)
        if finer is None:
            continue
        figure = reached(aim.promise(), plane, finer.plane, len(finer.stream), scale)
        found = Kept(finer.stream, finer.quality, finer.plane, figure, kept.tried + finer.tried)
        if _within(found, plane, aim) and figure >= aim.profile.value:
            return found
    raise PromiseNotKept(
        f"frame {number + 1} exceeds the highest ratio that is allowed, {aim.cap:g}, at every step that has "
        "any loss"
    )


def _within(kept: Kept, plane: np.ndarray, aim: Aim) -> bool:
    assert aim.cap is not None
    ratio = aim.ratio(plane.size, len(kept.stream) + aim.overhead)
    return ratio <= aim.cap or np.array_equal(kept.plane, plane)


def _figures(plane: np.ndarray, kept: Kept, aim: Aim) -> FrameFigures:
    size = len(kept.stream) + aim.overhead
    ratio = aim.ratio(plane.size, size)
    figure = ratio if aim.profile.figure == "ratio" else min(NOTHING_LOST, kept.reached)
    where = plane > 0
    return FrameFigures(
        figure if math.isfinite(figure) else NOTHING_LOST,
        size,
        ratio,
        bool(np.array_equal(kept.plane, plane)),
        (noise_power(plane, where), noise_power(kept.plane, where)),
    )


def overhead_of(model: LossyModel, frames: int) -> int:
    """Bytes of all headers that a frame among so many bears, rounded up."""
    plane = np.zeros((1, 1), np.uint16)
    one, two = (len(frames_of.build([_PROBE] * n, [plane] * n, model)) - n * len(_PROBE) for n in (1, 2))
    inner = one + (frames - 1) * (two - one)
    return -(-(inner + lossy_image.head_size(frames)) // frames)


def each_figure(
    before: Iterable[np.ndarray], after: Iterable[np.ndarray], sizes: list[int], aim: Aim
) -> Iterator[FrameFigures]:
    """The same figures of frames that another profile decoded: raw words, and the bytes of each."""
    for words, back, size in zip(before, after, sizes, strict=True):
        values, _ = planes.split(words, aim.sample_format)
        changed, _ = planes.split(back, aim.sample_format)
        where = values > values.min()
        yield FrameFigures(
            aim.figure(values, changed, size),
            size,
            aim.ratio(values.size, size),
            bool(np.array_equal(values, changed)),
            (noise_power(values, where), noise_power(changed, where)),
        )
