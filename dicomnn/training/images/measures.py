"""A plane's measures: is it an image at all, how noisy, seen before, sparse."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from dicomnn.codec import contenders, packing
from dicomnn.codec.tiles import TileContext
from dicomnn.training.images.records import Measures, NotUsable

SMALLEST_SIDE = 16
LEAST_CORRELATION = 0.05
LEAST_CHANGING = 0.02
RAMP_CHANGING = 0.9
PACK_BELOW_DENSITY, PACK_BELOW_SIZE = 0.9, 0.99
"""As `dicomnn.codec.encode` packs a plane."""
QUIETEST, LOUDEST = -3, 8


def measure(plane: np.ndarray) -> Measures:
    """Measures of a plane (rows, columns) uint16 whose minimum is 0. Raises nothing: see `require_image`."""
    used = packing.used_values(plane)
    return Measures(
        digest=plane_digest(plane),
        noise=round(noise_level(plane), 4),
        correlation=round(correlation(plane), 4),
        changing=round(changing_share(plane), 4),
        values=int(used.size),
        peak=int(plane.max()),
        packed=packs(plane, used),
    )


def require_image(measures: Measures) -> None:
    """Raises NotUsable for planes that would teach nothing, or the wrong thing."""
    if measures.changing < LEAST_CHANGING:
        raise NotUsable("nearly-constant", f"{100 * measures.changing:.1f} % of neighbours differ")
    if measures.correlation < LEAST_CORRELATION:
        raise NotUsable("noise-like", f"neighbour correlation {measures.correlation:.3f}")
    if measures.noise == 0 and measures.changing > RAMP_CHANGING:
        raise NotUsable("ramp")


def plane_digest(plane: np.ndarray) -> str:
    """Of shape and values, so that a copy in another file format or with another offset is found."""
    digest = hashlib.sha256(f"{plane.shape[0]}x{plane.shape[1]}".encode())
    digest.update(np.ascontiguousarray(plane, dtype="<u2").tobytes())
    return digest.hexdigest()[:32]


def noise_level(plane: np.ndarray) -> float:
    """Robust standard deviation of the noise in stored units, flat areas left out.

    The mixed second difference of 2x2 blocks cancels ramps in both directions; half of it has the noise's
    deviation when that is white. The median keeps edges out; since it can only be a multiple of one half, it
    is interpolated inside of its half.
    """
    x = plane.astype(np.float64)
    mixed = (x[:-1, :-1] - x[1:, :-1] - x[:-1, 1:] + x[1:, 1:]) / 2
    flat = (plane[:-1, :-1] == plane[1:, :-1]) & (plane[:-1, :-1] == plane[:-1, 1:])
    busy = np.abs(mixed[~(flat & (mixed == 0))])
    if not busy.size:
        return 0.0
    middle = float(np.median(busy))
    below, at = float((busy < middle).mean()), float((busy == middle).mean())
    if middle == 0 or at == 0:
        return middle / 0.6745
    return (middle - 0.25 + 0.5 * (0.5 - below) / at) / 0.6745


def noise_class(noise: float) -> int:
    """One class an octave, -3 (below an eighth of a value) to 8."""
    return int(np.clip(math.floor(math.log2(max(noise, 1e-3))), QUIETEST, LOUDEST))


def correlation(plane: np.ndarray) -> float:
    """The larger one of the correlations of horizontal and vertical neighbours, 0 where nothing varies."""
    x = plane.astype(np.float64)
    found = 0.0
    for a, b in ((x[:, :-1], x[:, 1:]), (x[:-1], x[1:])):
        a, b = a - a.mean(), b - b.mean()
        power = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
        if power > 0:
            found = max(found, float((a * b).sum()) / power)
    return found


def changing_share(plane: np.ndarray) -> float:
    """Share of neighbouring pairs, in both directions, that differ."""
    across, down = plane[:, 1:] != plane[:, :-1], plane[1:] != plane[:-1]
    return float(across.sum() + down.sum()) / max(across.size + down.size, 1)


def packs(plane: np.ndarray, used: np.ndarray) -> bool:
    """Whether the packed plane and its table are smaller under JPEG-LS, the codec's own yardstick."""
    peak = int(used[-1])
    if used.size < 2 or used.size >= PACK_BELOW_DENSITY * (peak + 1):
        return False
    jpegls = contenders.contender(contenders.JPEGLS)
    context = TileContext(peak, 0, "default", None)
    as_is = jpegls.encode(plane, context)
    packed = jpegls.encode(packing.pack(plane, used), context)
    if as_is is None or packed is None:
        return False
    return len(packed) + len(packing.write_table(used)[1]) < PACK_BELOW_SIZE * len(as_is)
