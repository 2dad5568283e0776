"""What the network sees of a tile: the walk of the codec's own kernels over it, as arrays to train on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from dicomnn.codec import features, tables
from dicomnn.codec.causal import INPUTS


@dataclass
class Crop:
    """Inputs (N, 64) int8 of the pixels that cost bits, their maps (4, h, w) int8, scales, targets."""

    inputs: np.ndarray
    maps: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    area: int
    group: str
    series: str


def walk(
    tile: np.ndarray, effort: str, group: str, series: str, reference: np.ndarray | None = None
) -> Crop:
    """Network inputs of a tile (h, w) uint16 as a Crop; pixels of the flat rule left out.

    ``reference``: the same window of the neighbouring slice with four pixels around it, int32 (h + 8, w + 8).
    """
    seen = features.extract(
        tile,
        peak=int(tile.max()),
        start=int(np.median(tile[0])),
        start_error=features.START_ERROR,
        effort=effort,
        log_table=_log_table(),
        reference=reference,
    )
    keep = seen.flat.reshape(-1) < 2
    return Crop(
        seen.inputs.reshape(-1, INPUTS)[keep],
        seen.maps,
        (seen.scales.reshape(-1)[keep] / 64.0).astype(np.float32),
        (seen.targets.reshape(-1)[keep] / 64.0).astype(np.float32),
        tile.size,
        group,
        series,
    )


@cache
def _log_table() -> np.ndarray:
    return tables.log_table().astype(np.int64)
