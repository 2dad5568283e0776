"""Speed of the lossy tier against OpenJPEG: the same frames, as many bytes, the same threads, in turn.

Frames go to a pool of threads, one frame a thread at a time; the coders of both sides let go of Python's
lock. What both did before the clock started: everything once, checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from dicomnn.benchmark.lossy import container_bytes
from dicomnn.benchmark.lossy_peers import at_size, lossy_peer
from dicomnn.benchmark.speeds import MEGABYTE
from dicomnn.codec.lossy.frame import COARSEST, FINEST, decode_frame, encode_frame
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.errors import VerificationFailed

RATES = (0.1, 0.25, 0.5, 1.0)
DIRECTIONS = ("decode", "encode", "encode, verified")
PEER = "jpeg2000"
APART = 0.1
"""Two files differ at most by this share, or they are no pair: headers of small frames leave no room."""
SHORTEST = 0.2
"""Seconds that a timing of ours takes at least: small groups are coded several times over."""

Work = Callable[[], object]


@dataclass(frozen=True, eq=False)
class Pair:
    """A plane and its two files of nearly as many bytes: `payload` of ours, `stream` of the peer."""

    plane: np.ndarray
    quality: int
    payload: bytes
    setting: float
    stream: bytes


@dataclass
class Timing:
    """Of one direction at one rate over the frames of a group; `left_out` frames do not get to so few bytes.
    Seconds by round, for `pixels` pixels: `wall` and `cpu` (all threads) of ours and of the peer.
    """

    group: str
    rate: float
    direction: str
    frames: int
    pixels: int
    bytes_ours: int
    bytes_theirs: int
    wall_ours: list[float] = field(default_factory=list)
    wall_theirs: list[float] = field(default_factory=list)
    cpu_ours: list[float] = field(default_factory=list)
    cpu_theirs: list[float] = field(default_factory=list)
    left_out: int = 0

    def speeds(self, seconds: Sequence[float]) -> np.ndarray:
        """MB/s of 16-bit pixels, round by round."""
        return 2 * self.pixels / MEGABYTE / np.array(seconds)

    @property
    def shares(self) -> np.ndarray:
        """Speed of ours by that of the peer, round by round."""
        return np.array(self.wall_theirs) / np.array(self.wall_ours)

    @property
    def cpu_shares(self) -> np.ndarray:
        """The same by seconds of a processor: what other work on the machine disturbs less."""
        return np.array(self.cpu_theirs) / np.array(self.cpu_ours)


def pair(plane: np.ndarray, rate: float, model: LossyModel) -> Pair | None:
    """Ours at `rate` bits a pixel or just below, and the peer's nearest to as many bytes; None where either
    does not get near. Raises VerificationFailed where ours does not decode to the same twice.
    """
    most = rate * plane.size / 8
    alone = container_bytes([plane], model)

    def size(quality: int) -> int:
        return len(encode_frame(plane, quality, model)) + alone

    fits, large = COARSEST, FINEST
    while fits - large > 1:
        middle = (fits + large) // 2
        fits, large = (middle, large) if size(middle) <= most else (fits, middle)
    stream = encode_frame(plane, fits, model)
    decoded = decode_frame(stream, plane.shape, model)
    payload = build([stream], [decoded], model)
    if not np.array_equal(decode(payload, lambda _: model)[0], decoded):
        raise VerificationFailed("a lossy payload decodes to something else the second time")
    peer = lossy_peer(PEER)
    coded, setting = at_size(peer, plane, len(payload))
    peer.point(plane, peer.decode(coded, plane), len(coded), setting, (0.0, 0.0))
    if len(payload) > most or abs(len(coded) / len(payload) - 1) > APART:
        return None
    return Pair(plane, fits, payload, setting, coded)


def measure(
    planes: dict[str, list[np.ndarray]],
    model: LossyModel,
    *,
    threads: int,
    rounds: int,
    rates: Sequence[float] = RATES,
    told: Callable[[str], None] | None = None,
) -> list[Timing]:
    """`planes` by group. `rounds` of each, ours and the peer in turn, the one first in even rounds and the
    other in odd ones.
    """
    found = []
    with ThreadPoolExecutor(threads) as pool:
        for rate in rates:
            for group, members in planes.items():
                large_first = sorted(members, key=lambda plane: -plane.size)
                tried = list(pool.map(lambda plane, r=rate: pair(plane, r, model), large_first))
                pairs = [found for found in tried if found is not None]
                if not pairs:
                    continue
                for direction in DIRECTIONS:
                    found.append(_timed(pool, group, rate, direction, pairs, model, rounds))
                    found[-1].left_out = len(tried) - len(pairs)
                    if told is not None:
                        share = float(np.median(found[-1].shares))
                        told(f"{group}, {rate:g} bpp, {direction}: {share:.2f} of OpenJPEG's speed")
    return found + together(found)


def together(found: Sequence[Timing]) -> list[Timing]:
    """'all': of each rate and direction the seconds of all groups added up."""
    whole = []
    for rate, direction in dict.fromkeys((timing.rate, timing.direction) for timing in found):
        parts = [t for t in found if (t.rate, t.direction) == (rate, direction)]
        counts = ("frames", "pixels", "bytes_ours", "bytes_theirs")
        one = Timing("all", rate, direction, *(sum(getattr(t, name) for t in parts) for name in counts))
        one.left_out = sum(t.left_out for t in parts)
        for name in ("wall_ours", "wall_theirs", "cpu_ours", "cpu_theirs"):
            rounds = zip(*(getattr(t, name) for t in parts), strict=True)
            setattr(one, name, [sum(seconds) for seconds in rounds])
        whole.append(one)
    return whole if len({timing.group for timing in found}) > 1 else []


def _timed(
    pool: ThreadPoolExecutor,
    group: str,
    rate: float,
    direction: str,
    pairs: Sequence[Pair],
    model: LossyModel,
    rounds: int,
) -> Timing:
    ours, theirs = _works(direction, pairs, model)
    times = 1
    first, _ = _clocked(pool, ours, 1)
    if first < SHORTEST:
        times = int(SHORTEST / first) + 1
    timing = Timing(
        group,
        rate,
        direction,
        len(pairs),
        sum(p.plane.size for p in pairs),
        sum(len(p.payload) for p in pairs),
        sum(len(p.stream) for p in pairs),
    )
    for number in range(rounds):
        sides = [(ours, timing.wall_ours, timing.cpu_ours), (theirs, timing.wall_theirs, timing.cpu_theirs)]
        for works, walls, cpus in sides if number % 2 == 0 else reversed(sides):
            wall, cpu = _clocked(pool, works, times)
            walls.append(wall / times)
            cpus.append(cpu / times)
    return timing


def _works(direction: str, pairs: Sequence[Pair], model: LossyModel) -> tuple[list[Work], list[Work]]:
    """What has to be done for each pair, on both sides."""
    peer = lossy_peer(PEER)

    def ours(p: Pair) -> object:
        if direction == "decode":
            return decode(p.payload, lambda _: model)
        stream = encode_frame(p.plane, p.quality, model)
        if direction == "encode":
            return stream
        return build([stream], [decode_frame(stream, p.plane.shape, model)], model)

    def theirs(p: Pair) -> object:
        if direction == "decode":
            return peer.decode(p.stream, p.plane)
        stream = peer.encode(p.plane, p.setting)
        return stream if direction == "encode" else peer.decode(stream, p.plane)

    return [lambda p=p: ours(p) for p in pairs], [lambda p=p: theirs(p) for p in pairs]  # type: ignore[misc]


def _clocked(pool: ThreadPoolExecutor, works: Sequence[Work], times: int) -> tuple[float, float]:
    """Seconds by the wall and of all processors."""
    cpu, wall = time.process_time(), time.perf_counter()
    for future in [pool.submit(work) for _ in range(times) for work in works]:
        future.result()
    return time.perf_counter() - wall, time.process_time() - cpu
