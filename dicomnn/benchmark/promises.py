"""Promises of the lossy tier, kept or not: every frame of a folder that may be coded with loss.

What the codec says about itself is not believed: the payload is decoded once more, and what was promised is
computed here, from the definitions, with nothing of `codec/lossy/promise.py` or `codec/distortion.py`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dicomnn.benchmark.folder import Item, Series, Unit
from dicomnn.benchmark.lossy import container_bytes
from dicomnn.benchmark.planes import Opened, opened_unit
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.codec.lossy.promise import Promise, Scale, keep
from dicomnn.codec.sample import stored_values
from dicomnn.dicom.attributes import ImagePixel, read_image_pixel
from dicomnn.dicom.caps import strictest
from dicomnn.errors import DicomnnError
from dicomnn.flow.pool import Tell, run_jobs
from dicomnn.shelf import default_lossy_shelf

SHARES_OF_CAP = (0.6, 0.8, 1.0)
PSNR_OF_12_BITS = (60, 70, 80)
"""dB with MAX 4095: a root mean square of 4.1, 1.3 and 0.4; of other depths 6.02 a bit more."""
SSIMS = ("0.98", "0.99", "0.999")
SLACK = 1e-9
"""Of a figure, for sums in another order."""
ABOVE = 1.01
"""A ratio above the cap by less is the last step of a search, not another image."""


@dataclass(frozen=True)
class Outcome:
    """A promise on one object. `state`: 'kept', 'escalated' (no step keeps it on every frame, so a profile
    with a bound has to serve), 'broken' or 'failed' (`detail` says how). `reached`: of the frame that is
    furthest down, measured here; `ratio` counts Bits Stored. `over_cap`: kept, but smaller than the cap of
    its modality allows, so a node has to take a finer step, which keeps a promise of quality too.
    """

    name: str
    source: str
    group: str
    modality: str
    promise: str
    frames: int
    state: str
    reached: float | None = None
    claimed: float | None = None
    ratio: float | None = None
    over_cap: bool = False
    tried: int = 0
    detail: str = ""


@dataclass
class Campaign:
    """`left_out`: reason and number of objects that may not be coded with loss. `failed`: name, sentence."""

    outcomes: list[Outcome] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    item: Item
    unit: Unit
    group: str
    promises: tuple[str, ...] = ()
    """By default those of `promises_of`."""


@dataclass(frozen=True)
class Done:
    name: str
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""


def promises_of(modality: str, bits: int) -> tuple[str, ...]:
    """What is promised for images of a modality that has a cap, with so many bits stored."""
    cap = strictest(modality)
    assert cap is not None, modality
    return (
        *(f"ratio={share * cap:g}" for share in SHARES_OF_CAP),
        *(f"psnr={round(decibels + 6.02 * (bits - 12))}" for decibels in PSNR_OF_12_BITS),
        *(f"ssim={similarity}" for similarity in SSIMS),
    )


def run(
    series: Sequence[Series], *, jobs: int, done: Callable[[Done, int], None] | None = None
) -> Campaign:
    """Every measured unit of every object that may be coded with loss, by `jobs` worker processes. `done` is
    called with each object's result and how many are left.
    """
    found = Campaign()
    planned = []
    for one in series:
        items = {item.name: item for item in one.items}
        for unit in one.units:
            item = items[unit.name]
            why = "" if item.bounded else "loss is forbidden for this kind of image"
            if not why and strictest(item.modality) is None:
                why = f"no guideline has a ratio for {item.modality or 'no modality'}"
            if why:
                found.left_out[why] = found.left_out.get(why, 0) + 1
            else:
                planned.append(Job(item, unit, one.group))
    planned.sort(key=lambda job: -job.unit.pixels)
    left = len(planned)
    for result in run_jobs(planned, _work, workers=min(jobs, max(1, left)), died=_died):
        left -= 1
        found.outcomes += result.outcomes
        if result.problem:
            found.failed.append((result.name, result.problem))
        if done is not None:
            done(result, left)
    return found


def _died(job: Job, why: str) -> Done:
    return Done(job.unit.name, problem=why)


def _work(job: Job, tell: Tell) -> Done:
    try:
        with tempfile.TemporaryDirectory(prefix="dicomnn-bench-") as place:
            with opened_unit(job.unit, Path(place)) as opened:
                outcomes = _outcomes(job, opened, default_lossy_shelf().newest())
        return Done(job.unit.name, tuple(outcomes))
    except DicomnnError as error:
        return Done(job.unit.name, problem=error.sentence())
    except Exception as error:  # one object is one line of the list
        return Done(job.unit.name, problem=f"{type(error).__name__}: {error}")


@dataclass(frozen=True, eq=False)
class _Frames:
    """An object's frames as planes, each with its scale; Bits Stored and Bits Allocated."""

    planes: list[np.ndarray]
    scales: list[Scale]
    bits: int
    allocated: int


def _outcomes(job: Job, opened: Opened, model: LossyModel) -> list[Outcome]:
    frames = _frames(opened, model)
    found = []
    for text in job.promises or promises_of(job.item.modality, frames.bits):
        about = (job.item.name, job.item.source, job.group, job.item.modality, text, len(frames.planes))
        try:
            found.append(_outcome(about, Promise.parse(text), frames, model))
        except Exception as error:  # a codec's fault belongs to its promise; the others are tried
            found.append(Outcome(*about, "failed", detail=f"{type(error).__name__}: {error}"))
    return found


def _frames(opened: Opened, model: LossyModel) -> _Frames:
    pixel = read_image_pixel(opened.mapping.buffer, opened.layout)
    bits, allocated = opened.sample_format.bits_stored, opened.sample_format.bits_allocated
    planes, windows = [], []
    for words in opened.words():
        values = stored_values(words, opened.sample_format)
        planes.append((values - values.min()).astype(np.uint16))
        windows.append(window_in(pixel, int(values.min())))
    overhead = math.ceil(container_bytes(planes, model) / len(planes))
    scales = [Scale(float(2**bits - 1), window, overhead, allocated // 8) for window in windows]
    return _Frames(planes, scales, bits, allocated)


def _outcome(
    about: tuple[str, str, str, str, str, int], promise: Promise, frames: _Frames, model: LossyModel
) -> Outcome:
    kept = []
    for plane, scale in zip(frames.planes, frames.scales, strict=True):
        found = keep(promise, plane, model, scale)
        if found is None:
            return Outcome(*about, "escalated")
        kept.append(found)
    payload = build([frame.stream for frame in kept], [frame.plane for frame in kept], model)
    decoded = decode(payload, default_lossy_shelf().get)
    pixels = sum(plane.size for plane in frames.planes)
    if promise.kind == "ratio":
        reached = pixels * frames.allocated / 8 / len(payload)
    else:
        parts = zip(frames.planes, decoded, frames.scales, strict=True)
        reached = min(figure(promise.kind, plane, back, s.full, s.window) for plane, back, s in parts)
    ratio = pixels * frames.bits / 8 / len(payload)
    return Outcome(
        *about,
        "kept" if reached >= promise.value - SLACK * abs(promise.value) else "broken",
        reached,
        min(frame.reached for frame in kept),
        ratio,
        ratio > (strictest(about[3]) or 0.0) * ABOVE,
        max(frame.tried for frame in kept),
    )


def window_in(pixel: ImagePixel | None, least: int) -> tuple[float, float] | None:
    """The file's own window in values of a plane whose stored values begin at `least`: where the linear
    function of PS3.3 C.11.2.1.2 turns black and white. None without a usable one.
    """
    if pixel is None or pixel.window_center is None or pixel.window_width is None or pixel.window_width <= 1:
        return None
    slope = 1.0 if pixel.rescale_slope is None else pixel.rescale_slope
    if slope <= 0:
        return None
    half, intercept = (pixel.window_width - 1) / 2, pixel.rescale_intercept or 0.0
    middle = pixel.window_center - 0.5
    low, high = ((middle + part - intercept) / slope - least for part in (-half, half))
    return low, high


# ------------------------------------------------------------------ measured from the definitions
def figure(
    kind: str, plane: np.ndarray, decoded: np.ndarray, full: float, window: tuple[float, float] | None
) -> float:
    """'psnr': dB with MAX `full`; 'ssim': of 8 bits through `window`, or over `full` without one; 'ratio':
    NaN (it belongs to the whole object).
    """
    if kind == "psnr":
        error = float(np.mean((plane.astype(np.float64) - decoded.astype(np.float64)) ** 2))
        return math.inf if error == 0 else 20 * math.log10(full) - 10 * math.log10(error)
    if kind != "ssim":
        return math.nan
    if window is None:
        return similarity(plane.astype(np.float64), decoded.astype(np.float64), full)
    return similarity(_grey(plane, window), _grey(decoded, window), 255.0)


def _grey(plane: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    low, high = window
    return np.floor(np.interp(plane.astype(np.float64), [low, high], [0.0, 255.0]) + 0.5)


def similarity(a: np.ndarray, b: np.ndarray, reach: float) -> float:
    """SSIM of Wang et al. 2004 with flat windows of 7x7 (less in smaller images), unbiased covariances,
    constants 0.01 and 0.03, mean over all windows that lie in the image.
    """
    side = min(7, *a.shape)
    side -= 1 - side % 2
    if np.array_equal(a, b):
        return 1.0

    def mean(values: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(values, side, axis=0).mean(axis=-1)
        return np.asarray(np.lib.stride_tricks.sliding_window_view(windows, side, axis=1).mean(axis=-1))

    count, c1, c2 = side * side, (0.01 * reach) ** 2, (0.03 * reach) ** 2
    unbiased = count / (count - 1)
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = unbiased * (mean(a * a) - mean_a**2), unbiased * (mean(b * b) - mean_b**2)
    both = unbiased * (mean(a * b) - mean_a * mean_b)
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))
