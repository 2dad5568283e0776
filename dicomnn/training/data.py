"""Crops for training: DICOM folders -> planes -> network inputs, drawn evenly over what there is.

A crop is drawn by modality, then by series, then by file and frame, so that a long series does not
drown a rare scanner. It is flipped, transposed, sometimes scaled in intensity by a floor (which keeps
noise honest: fewer levels, same shape) or inverted, and then walked by the codec's own kernels.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from dicomnn.codec import features, tables

LOG = logging.getLogger(__name__)
GROUPS = {"CT": "CT", "MR": "MR"}
GROUP_WEIGHTS = {"CT": 0.5, "MR": 0.38, "XR": 0.12}


@dataclass(frozen=True)
class Plane:
    """One frame as an unsigned plane: values (rows, columns) uint16, minimum subtracted."""

    values: np.ndarray
    group: str
    source: str
    series: str
    path: str


def unsigned_plane(frame: np.ndarray) -> np.ndarray:
    """Minimum subtracted; sparse histograms packed as the codec does. uint16."""
    plane = frame.astype(np.int64)
    plane -= plane.min()
    used = np.unique(plane)
    if len(used) > 1 and len(used) < 0.75 * (used[-1] + 1) and plane.size > 16 * len(used):
        plane = np.searchsorted(used, plane)
    return plane.astype(np.uint16)


def load(folder: Path, sources: Iterable[str] | None = None, exclude: Iterable[str] = ()) -> list[Plane]:
    """All single-sample planes below ``folder``/<source>/<series>/, at most four frames of a file."""
    planes: list[Plane] = []
    wanted = set(sources) if sources is not None else None
    unwanted = set(exclude)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        source = path.relative_to(folder).parts[0]
        if source in unwanted or (wanted is not None and source not in wanted):
            continue
        try:
            dataset = pydicom.dcmread(path)
            if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("BitsAllocated", 16) not in (8, 16):
                continue
            pixels = dataset.pixel_array
        except Exception as problem:  # a file that cannot be read is no training data; say so and go on
            LOG.warning("left out %s: %s", path.name, problem)
            continue
        frames = pixels if pixels.ndim == 3 else pixels[None]
        group = GROUPS.get(str(dataset.get("Modality", "")), "XR")
        for n in np.unique(np.linspace(0, len(frames) - 1, min(4, len(frames))).astype(int)):
            plane = unsigned_plane(frames[n])
            if plane.max() > 0:
                planes.append(Plane(plane, group, source, f"{source}/{path.parent.name}", str(path.name)))
    return planes


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


class Sampler:
    """Draws crops of ``size`` pixels from planes; deterministic for a seed."""

    def __init__(self, planes: list[Plane], seed: int, size: int = 128) -> None:
        self.random = np.random.default_rng(seed)
        self.size = size
        self.by_group: dict[str, dict[str, list[Plane]]] = defaultdict(lambda: defaultdict(list))
        for plane in planes:
            self.by_group[plane.group][plane.series].append(plane)
        self.groups = [g for g in GROUP_WEIGHTS if g in self.by_group]
        weights = np.array([GROUP_WEIGHTS[g] for g in self.groups])
        self.weights = weights / weights.sum()
        self.log_table = tables.log_table()
        self.compand_table = tables.compand_table()

    def draw(self) -> Crop:
        """One augmented crop, walked at a random effort."""
        while True:
            group = str(self.random.choice(self.groups, p=self.weights))
            series = self.by_group[group]
            plane = series[list(series)[self.random.integers(len(series))]]
            picked = plane[self.random.integers(len(plane))]
            tile = self._augment(self._cut(picked.values))
            if tile.max() > tile.min():
                effort = str(self.random.choice(["fast", "default", "max"], p=[0.2, 0.5, 0.3]))
                crop = walk(tile, effort, self.log_table, self.compand_table, picked.group, picked.series)
                if len(crop.inputs) >= 64:
                    return crop

    def _cut(self, values: np.ndarray) -> np.ndarray:
        h, w = values.shape
        y = self.random.integers(max(h - self.size, 0) + 1)
        x = self.random.integers(max(w - self.size, 0) + 1)
        return values[y : y + self.size, x : x + self.size]

    def _augment(self, tile: np.ndarray) -> np.ndarray:
        r = self.random
        if r.random() < 0.5:
            tile = tile[::-1]
        if r.random() < 0.5:
            tile = tile[:, ::-1]
        if r.random() < 0.5:
            tile = tile.T
        if r.random() < 0.3:
            tile = (tile * r.uniform(0.25, 1.0)).astype(np.uint16)
        if r.random() < 0.2:
            tile = (int(tile.max()) - tile).astype(np.uint16)
        return tile


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
