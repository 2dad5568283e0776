"""What the network sees of a tile: the walk of the codec's own kernels over it, as arrays to train on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dicomnn.codec import features, tables
from dicomnn.codec.causal import INPUTS

CROP = 160
KEPT = 8192
MAP_SIDE = 128
"""As much of a crop as the encoder looks at of a tile at effort max."""


@dataclass
class Crop:
    """Inputs (N, 64) int8 of pixels that cost bits, maps (4, h, w) int8, scales, targets (N,) float32.

    ``share``: of all pixels, those that cost bits; N may be a part of them.
    """

    inputs: np.ndarray
    maps: np.ndarray
    scales: np.ndarray
    targets: np.ndarray
    share: float
    group: str
    series: str
    narrow: bool = False
    """Walked at effort fast: no tile code, and only a part of the network works."""

    def thinned(self, count: int, random: np.random.Generator) -> Crop:
        """With at most ``count`` pixels, drawn at random, and maps no larger than the encoder looks at: a
        third of the memory for nearly all of the worth.
        """
        maps = np.ascontiguousarray(self.maps[:, :MAP_SIDE, :MAP_SIDE])
        if len(self.inputs) <= count:
            return replace(self, maps=maps)
        pick = random.choice(len(self.inputs), count, replace=False)
        arrays = {name: getattr(self, name)[pick] for name in ("inputs", "scales", "targets")}
        return replace(self, maps=maps, **arrays)


def walk(
    tile: np.ndarray,
    effort: str,
    group: str,
    series: str,
    reference: np.ndarray | None = None,
    start_error: int = features.START_ERROR,
) -> Crop:
    """Network inputs of a tile (h, w) uint16 as a Crop; pixels of the flat rule left out.

    ``reference``: the same window of the neighbouring slice with four pixels around it, int32 (h + 8, w + 8).
    ``start_error``: assumed outside of the tile, in 1/64 of a value.
    """
    seen = features.extract(
        tile,
        peak=int(tile.max()),
        start=int(np.median(tile[0])),
        start_error=start_error,
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
        float(keep.mean()),
        group,
        series,
        narrow=effort == "fast",
    )


@cache
def _log_table() -> np.ndarray:
    return tables.log_table().astype(np.int64)
