"""What the network sees of a tile: the walk of the codec's own kernels over it, as arrays to train on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from dicomnn.codec import features, tables


@dataclass
class Crop:
    """Inputs (N, 32) int8 of the pixels that cost bits, their maps (4, h, w) int8, scales, targets."""

    inputs: np.ndarray
    maps: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    area: int
    group: str
    series: str


def walk(
    tile: np.ndarray, effort: str, log_table: np.ndarray, compand_table: np.ndarray, group: str, series: str
) -> Crop:
    """Network inputs of a tile (h, w) uint16 as a Crop; pixels of the flat rule left out."""
    inputs, scales, targets, flat = features.extract(
        tile,
        peak=int(tile.max()),
        start=int(np.median(tile[0])),
        start_error=features.START_ERROR,
        effort=effort,
        log_table=log_table,
        compand_table=compand_table,
    )
    maps = features.maps(inputs)
    keep = flat.reshape(-1) < 2
    return Crop(
        inputs.reshape(-1, 32)[keep],
        maps,
        (scales.reshape(-1)[keep] / 64.0).astype(np.float32),
        (targets.reshape(-1)[keep] / 64.0).astype(np.float32),
        tile.size,
        group,
        series,
    )


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    return tables.log_table(), tables.compand_table()


def walk_tile(tile: np.ndarray, effort: str, group: str, series: str) -> Crop:
    """`walk` with the tables that every model is exported with: the seam that the sampler calls."""
    return walk(tile, effort, *_tables(), group, series)
