"""Rate-distortion curves of the lossy tier beside the lossy standards, series by series.

Every point is a real codestream that was decoded. Rates are bytes of whole files of one frame: container and
header of ours, main header of the others. What the figures refer to: `lossy_points`.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dicomnn.benchmark.bdrate import bd_rate
from dicomnn.benchmark.folder import Series, Unit
from dicomnn.benchmark.lossy_peers import LOSSY_PEERS, at_size, lossy_peer
from dicomnn.benchmark.lossy_points import Point, point, range_of, window_of
from dicomnn.benchmark.planes import opened_unit
from dicomnn.benchmark.ratios import interval
from dicomnn.codec.lossy.frame import COARSEST, FINEST, decode_frame, encode_frame
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.errors import DicomnnError

LOWEST, HIGHEST = 0.1, 1.0
"""Bits per pixel between which curves are compared."""
OURS = "dicomnn"
QUALITIES = ("psnr", "windowed_psnr", "windowed_ssim")
SHOWN_RATE = 0.25
"""Bits per pixel of the pictures of tiles."""
_MARGIN = 1.25
_STRIDE = 40


@dataclass
class Curves:
    """Of one frame of a series; by codec. `problem`: why there are none."""

    series: str
    group: str
    frame: str
    source: str = ""
    shape: tuple[int, int] = (0, 0)
    range: int = 1
    window: tuple[float, float] = (0.0, 0.0)
    points: dict[str, list[Point]] = field(default_factory=dict)
    problem: str = ""

    def bd_rate(self, peer: str, quality: str) -> float | None:
        """Of ours against `peer`; SSIM enters as -log10(1 - SSIM), which grows evenly with the rate."""

        def curve(codec: str) -> list[tuple[float, float]]:
            return [(p.rate, _even(quality, getattr(p, quality))) for p in self.points.get(codec, [])]

        return bd_rate(curve(OURS), curve(peer), lowest=LOWEST, highest=HIGHEST)

    def at(self, codec: str, name: str, rates: np.ndarray) -> np.ndarray:
        """A figure of a codec at other rates (n,) than its own: linear over the logarithm of the rate, NaN
        where the codec does not reach a rate or has no such figure.
        """
        points = sorted((p.rate, getattr(p, name)) for p in self.points.get(codec, []))
        points = [(rate, value) for rate, value in points if math.isfinite(value)]
        if len(points) < 2:
            return np.full(len(rates), np.nan)
        own, values = np.array(points).T
        return np.asarray(np.interp(np.log(rates), np.log(own), values, left=np.nan, right=np.nan))


def _even(quality: str, value: float) -> float:
    return -math.log10(max(1 - value, 1e-9)) if quality == "windowed_ssim" else value


def ours(plane: np.ndarray, model: LossyModel) -> list[Point]:
    """From a little below LOWEST to a little above HIGHEST, coarsest first."""
    points: list[Point] = []
    for quality in range(COARSEST, FINEST - 1, -_STRIDE):
        start = time.process_time()
        stream = encode_frame(plane, quality, model)
        encoded = time.process_time()
        if _too_low(len(stream), plane):
            continue
        payload = build([stream], [decode_frame(stream, plane.shape, model)], model)
        between = time.process_time()
        decoded = decode(payload, lambda _: model)[0]
        if _empty(decoded):
            continue
        seconds = (encoded - start, time.process_time() - between)
        points.append(point(plane, decoded, len(payload), float(quality), seconds))
        if points[-1].rate > HIGHEST * _MARGIN:
            break
    return points


def theirs(plane: np.ndarray, key: str) -> list[Point]:
    """Points of a peer likewise."""
    peer, points = lossy_peer(key), []
    for setting in peer.settings:
        start = time.process_time()
        stream = peer.encode(plane, setting)
        encoded = time.process_time()
        if _too_low(len(stream), plane):
            continue
        decoded = peer.decode(stream, plane)
        seconds = (encoded - start, time.process_time() - encoded)
        if _empty(decoded):
            continue
        points.append(peer.point(plane, decoded, len(stream), setting, seconds))
        if points[-1].rate > HIGHEST * _MARGIN:
            break
    return points


def _too_low(size: int, plane: np.ndarray) -> bool:
    return 8 * size / plane.size < LOWEST / _MARGIN / 2


def _empty(decoded: np.ndarray) -> bool:
    """One value everywhere: a header without a picture, which is no point of a curve."""
    return int(decoded.min()) == int(decoded.max())


def container_bytes(planes: Sequence[np.ndarray], model: LossyModel) -> int:
    """What the container adds to the streams of `planes` (all of one shape), in bytes."""
    streams = [encode_frame(plane, COARSEST, model) for plane in planes]
    return len(build(streams, planes, model)) - sum(map(len, streams))


def alike(
    curves: Curves, plane: np.ndarray, model: LossyModel, peers: Sequence[str]
) -> dict[str, tuple[np.ndarray, float]]:
    """By codec: what ours makes of a plane nearest to SHOWN_RATE, and what the others make of it in as many
    bytes, or in as few as they can; with the bits per pixel of each.
    """
    mine = min(curves.points[OURS], key=lambda p: abs(math.log(p.rate / SHOWN_RATE)))
    stream = encode_frame(plane, int(mine.setting), model)
    found = {OURS: (decode_frame(stream, plane.shape, model), mine.rate)}
    for key in peers:
        if not curves.points.get(key):
            continue
        peer = lossy_peer(key)
        size, coarsest = round(mine.rate * plane.size / 8), curves.points[key][0].setting
        coded, _ = at_size(peer, plane, size, coarsest=coarsest)
        found[key] = (peer.decode(coded, plane), 8 * len(coded) / plane.size)
    return found


def middle_planes(series: Sequence[Series]) -> Iterator[tuple[Series, Unit, np.ndarray | DicomnnError]]:
    """The measured frame of every series (`look` with `most` 1) as a plane, uint16, less its minimum; or why
    it cannot be had.
    """
    for one in series:
        for unit in one.units:
            try:
                with tempfile.TemporaryDirectory(prefix="dicomnn-bench-") as place:
                    with opened_unit(unit, Path(place)) as opened:
                        plane = next(opened.planes()).astype(np.uint16)
                if int(plane.max()) == 0:
                    raise DicomnnError("all values are equal")
            except DicomnnError as error:
                yield one, unit, error
            else:
                yield one, unit, plane


def run(
    series: Sequence[Series],
    model: LossyModel,
    *,
    peers: Sequence[str] = LOSSY_PEERS,
    done: Callable[[Curves], None] | None = None,
    seen: Callable[[Curves, np.ndarray], None] | None = None,
) -> list[Curves]:
    """The measured frame of every series. One that cannot be measured has a `problem`; of the others `seen`
    gets the plane.
    """
    found = []
    for one, unit, plane in middle_planes(series):
        curves = Curves(one.key, one.group, unit.name, one.source)
        try:
            if isinstance(plane, DicomnnError):
                raise plane
            curves.shape, curves.window = (plane.shape[0], plane.shape[1]), window_of(plane)
            curves.range = range_of(plane)
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
    """BD-rates of ours against a peer over the frames of a group that have one, `count` of `frames`; `low`
    and `high` bound the 95 % interval of the mean (bootstrap over series).
    """

    group: str
    peer: str
    quality: str
    frames: int
    count: int
    mean: float
    low: float
    high: float
    median: float
    worst: float


def means(found: Sequence[Curves]) -> list[Mean]:
    """For all groups, peers and qualities that have any frame."""
    rows = []
    peers = [*dict.fromkeys(key for curves in found for key in curves.points if key != OURS)]
    for group, members in by_group(found).items():
        for peer in peers:
            for quality in QUALITIES:
                known = [rate for c in members if (rate := c.bd_rate(peer, quality)) is not None]
                if not known:
                    continue
                rates = np.array(known)
                low, high = interval(rates)
                middle = (float(rates.mean()), low, high, float(np.median(rates)), float(rates.max()))
                rows.append(Mean(group, peer, quality, len(members), len(rates), *middle))
    return rows


def by_group(found: Sequence[Curves]) -> dict[str, list[Curves]]:
    """What was measured, by group, and 'all'."""
    whole = [curves for curves in found if not curves.problem]
    groups = {group: [c for c in whole if c.group == group] for group in ("CT", "MR", "X-ray", "other")}
    return {group: members for group, members in {**groups, "all": whole}.items() if members}
