"""Rate-distortion curves of the lossy tier beside the lossy standards, series by series.

Every point is a real codestream that was decoded. Rates are bytes of whole files of one frame: container and
header of ours, main header of the others. PSNR refers to the frame's own range, its largest value less its
smallest; windowed figures to 8 bits through a window that runs from the 1st to the 99th percentile of the
frame's values above its least one (padding and empty background), as the planes alone tell no clinical one.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dicomnn.benchmark.bdrate import bd_rate
from dicomnn.benchmark.folder import look
from dicomnn.benchmark.lossy_peers import lossy_peer
from dicomnn.benchmark.planes import opened_unit
from dicomnn.codec.distortion import max_error, noise_power, psnr, ssim
from dicomnn.codec.lossy.frame import COARSEST, decode_frame, encode_frame, index_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.codec.lossy.promise import windowed
from dicomnn.codec.lossy.wavelet import analyse, levels_of
from dicomnn.errors import DicomnnError

LOWEST, HIGHEST = 0.1, 1.0
"""Bits per pixel between which curves are compared."""
OURS = "dicomnn"
PEERS = ("jpeg2000", "jxl", "jxl-srgb")
QUALITIES = ("psnr", "windowed_psnr", "windowed_ssim")
_MARGIN = 1.25
_STRIDE = 40


@dataclass(frozen=True)
class Point:
    """One codestream. `noise`: power above a 3x3 mean, decoded by original, outside of the least value."""

    rate: float
    setting: float
    psnr: float
    windowed_psnr: float
    windowed_ssim: float
    max_error: int
    noise: float
    encode_seconds: float
    decode_seconds: float


@dataclass
class Curves:
    """Of one frame of a series; by codec. `problem`: why there are none."""

    series: str
    group: str
    frame: str
    shape: tuple[int, int] = (0, 0)
    window: tuple[float, float] = (0.0, 0.0)
    points: dict[str, list[Point]] = field(default_factory=dict)
    problem: str = ""

    def bd_rate(self, peer: str, quality: str) -> float | None:
        """Of ours against `peer`; SSIM enters as -log10(1 - SSIM), which grows evenly with the rate."""

        def curve(codec: str) -> list[tuple[float, float]]:
            return [(p.rate, _even(quality, getattr(p, quality))) for p in self.points.get(codec, [])]

        return bd_rate(curve(OURS), curve(peer), lowest=LOWEST, highest=HIGHEST)


def _even(quality: str, value: float) -> float:
    return -math.log10(max(1 - value, 1e-9)) if quality == "windowed_ssim" else value


def window_of(plane: np.ndarray) -> tuple[float, float]:
    """1st and 99th percentile of the values above the least one."""
    values = plane[plane > plane.min()]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    return float(low), float(max(high, low + 1))


def point(
    plane: np.ndarray, decoded: np.ndarray, size: int, setting: float, seconds: tuple[float, float]
) -> Point:
    """The figures of a decoded plane (rows, columns) whose file has `size` bytes."""
    window, where = window_of(plane), plane > plane.min()
    shown, shown_decoded = windowed(plane, window), windowed(decoded, window)
    before = noise_power(plane, where)
    return Point(
        8 * size / plane.size,
        setting,
        psnr(plane, decoded, float(max(1, int(plane.max()) - int(plane.min())))),
        psnr(shown, shown_decoded, 255.0),
        ssim(shown, shown_decoded, 255.0),
        max_error(plane, decoded),
        noise_power(decoded, where) / before if before else 1.0,
        *seconds,
    )


def ours(plane: np.ndarray, model: LossyModel) -> list[Point]:
    """Points from a little above HIGHEST to a little below LOWEST."""
    points: list[Point] = []
    quality = _first_quality(plane)
    while quality <= COARSEST:
        start = time.process_time()
        stream = encode_frame(plane, quality, model)
        encoded = time.process_time()
        payload = build([stream], [decode_frame(stream, plane.shape, model)], model)
        between = time.process_time()
        decoded = decode(payload, lambda _: model)[0]
        seconds = (encoded - start, time.process_time() - between)
        points.append(point(plane, decoded, len(payload), float(quality), seconds))
        if points[-1].rate < LOWEST / _MARGIN:
            break
        quality += _STRIDE
    return points


def _first_quality(plane: np.ndarray) -> int:
    """A step at which some 28 % of the coefficients are not zero: a little above one bit per pixel."""
    sizes = np.sort(np.abs(analyse(plane - np.float32(plane.mean()), levels_of(*plane.shape))).ravel())
    return index_of(float(sizes[int(0.72 * sizes.size)]) / 0.6)


def theirs(plane: np.ndarray, key: str) -> list[Point]:
    """Points of a peer, from the coarsest setting on, until past HIGHEST."""
    peer, points = lossy_peer(key), []
    for setting in peer.settings:
        start = time.process_time()
        stream = peer.encode(plane, setting)
        encoded = time.process_time()
        if 8 * len(stream) / plane.size < LOWEST / _MARGIN / 2:
            continue
        decoded = peer.decode(stream, int(plane.max()))
        seconds = (encoded - start, time.process_time() - encoded)
        points.append(point(plane, decoded, len(stream), setting, seconds))
        if points[-1].rate > HIGHEST * _MARGIN:
            break
    return points


def alike(
    curves: Curves, plane: np.ndarray, model: LossyModel, rate: float
) -> dict[str, tuple[np.ndarray, float]]:
    """By codec: what ours makes of a plane nearest to `rate`, and the others nearest to the bytes of that;
    with the bits per pixel of each.
    """
    mine = min(curves.points[OURS], key=lambda p: abs(math.log(p.rate / rate)))
    stream = encode_frame(plane, int(mine.setting), model)
    found = {OURS: (decode_frame(stream, plane.shape, model), mine.rate)}
    for key, points in curves.points.items():
        if key != OURS and points:
            nearest = min(points, key=lambda p: abs(math.log(p.rate / mine.rate)))
            peer = lossy_peer(key)
            coded = peer.encode(plane, nearest.setting)
            found[key] = (peer.decode(coded, int(plane.max())), nearest.rate)
    return found


def run(
    folder: Path,
    model: LossyModel,
    *,
    peers: Sequence[str] = PEERS,
    sources: Sequence[str] = (),
    exclude: Sequence[str] = (),
    done: Callable[[Curves], None] | None = None,
    seen: Callable[[Curves, np.ndarray], None] | None = None,
) -> list[Curves]:
    """The middle frame of every series below `folder`. A frame that cannot be measured has a `problem`; of
    the others `seen` gets the plane.
    """
    found = []
    for series in look(folder, sources=sources, exclude=exclude, most=1).series:
        for unit in series.units:
            curves = Curves(series.key, series.group, unit.name)
            try:
                with tempfile.TemporaryDirectory(prefix="dicomnn-bench-") as place:
                    with opened_unit(unit, Path(place)) as opened:
                        plane = next(opened.planes()).astype(np.uint16)
                curves.shape, curves.window = (plane.shape[0], plane.shape[1]), window_of(plane)
                if int(plane.max()) == 0:
                    raise DicomnnError("all values are equal")
                curves.points[OURS] = ours(plane, model)
                for key in peers:
                    curves.points[key] = theirs(plane, key)
                if seen is not None:
                    seen(curves, plane)
            except DicomnnError as error:
                curves.problem = str(error)
            found.append(curves)
            if done is not None:
                done(curves)
    return found


@dataclass(frozen=True)
class Mean:
    """BD-rates of ours against a peer over the frames of a group that have one."""

    group: str
    peer: str
    quality: str
    count: int
    mean: float
    median: float
    worst: float


def means(found: Sequence[Curves]) -> list[Mean]:
    """For all groups, peers and qualities that have any frame."""
    groups = [*dict.fromkeys(curves.group for curves in found), "all"]
    peers = [*dict.fromkeys(key for curves in found for key in curves.points if key != OURS)]
    rows = []
    for group in groups:
        members = [curves for curves in found if group in ("all", curves.group)]
        for peer in peers:
            for quality in QUALITIES:
                rates = [rate for c in members if (rate := c.bd_rate(peer, quality)) is not None]
                if rates:
                    rows.append(
                        Mean(
                            group,
                            peer,
                            quality,
                            len(rates),
                            float(np.mean(rates)),
                            float(np.median(rates)),
                            max(rates),
                        )
                    )
    return rows
