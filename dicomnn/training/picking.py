"""Which plane is drawn next: evenly over modality, scanner and noise level, then series, then planes.

A modality with few series does not get its full share: no series gets more than ``MOST_OF_A_SERIES`` of all
draws while there are others, or a network would learn those images by heart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from dicomnn.errors import TrainingError
from dicomnn.training.images.measures import noise_class
from dicomnn.training.images.records import PlaneRecord

MOST_OF_A_SERIES = 0.015


class Picker:
    """Draws among planes. ``weights``: shares of modality groups instead of even ones."""

    def __init__(self, planes: Sequence[PlaneRecord], weights: dict[str, float] | None = None) -> None:
        tree: dict[str, dict[str, dict[int, dict[str, list[PlaneRecord]]]]] = {}
        for plane in planes:
            scanners = tree.setdefault(plane.file.group, {})
            levels = scanners.setdefault(plane.file.scanner, {})
            series = levels.setdefault(noise_class(plane.measures.noise), {})
            series.setdefault(f"{plane.file.source} {plane.file.series}", []).append(plane)
        self._tree = {
            group: [[list(series.values()) for series in levels.values()] for levels in scanners.values()]
            for group, scanners in tree.items()
        }
        self.shares = shares_of(series_counts(planes), weights)

    def pick(self, random: np.random.Generator) -> tuple[str, PlaneRecord]:
        """(modality group, plane)."""
        group = str(random.choice(list(self.shares), p=list(self.shares.values())))
        scanners = self._tree[group]
        levels = scanners[random.integers(len(scanners))]
        series = levels[random.integers(len(levels))]
        planes = series[random.integers(len(series))]
        return group, planes[random.integers(len(planes))]


def series_counts(planes: Sequence[PlaneRecord]) -> dict[str, int]:
    """Series of each modality group."""
    series: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for plane in planes:
        series[plane.file.group].add((plane.file.source, plane.file.series))
    return {group: len(members) for group, members in sorted(series.items())}


def shares_of(series: dict[str, int], weights: dict[str, float] | None = None) -> dict[str, float]:
    """How often each modality group is drawn: evenly (or by ``weights``), but small groups not beyond
    MOST_OF_A_SERIES for each of their series; where all are small, by the number of series.
    """
    wanted = {g: (weights or {}).get(g, 0.0 if weights else 1.0) for g in series}
    if sum(wanted.values()) <= 0:
        raise TrainingError(f"The weights name none of the groups that are there ({', '.join(series)}).")
    caps = {g: MOST_OF_A_SERIES * n for g, n in series.items()}
    open_groups = [g for g in series if wanted[g] > 0]
    shares = dict.fromkeys(open_groups, 0.0)
    if weights:
        return {g: wanted[g] / sum(wanted.values()) for g in open_groups}
    if sum(caps[g] for g in open_groups) <= 1.0:
        return {g: series[g] / sum(series[k] for k in open_groups) for g in open_groups}
    left, free = 1.0, list(open_groups)
    while free:
        even = left / len(free)
        small = [g for g in free if caps[g] < even]
        if not small:
            shares.update(dict.fromkeys(free, even))
            break
        for g in small:
            shares[g] = caps[g]
            left -= caps[g]
            free.remove(g)
    return shares
