"""Which plane comes before which: frame by frame within a file, slice by slice along a stack of files.

What may come before a plane is what the codec would have beside it if the series were one multi-frame
object: frame n - 1 of the same file, or, of CT and MR series of single slices, the next slice along the
normal (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dicomnn.dicom.scan import Buffer, Layout, value_of
from dicomnn.training.images.records import ImageFile, Neighbour

SAME = 0.01
"""Millimetres: slices closer than this are one place at another time, or with another contrast."""
USUAL = 1.5
"""A gap this many times the usual one of the stack means that slices are missing."""
FARTHEST = 10.0
"""Millimetres; across a wider gap two slices say little of each other."""
GROUPS = ("CT", "MR")
POSITION, ORIENTATION, SPACING = 0x00200032, 0x00200037, 0x00180088
LIMIT = 256


class SlicePlace(NamedTuple):
    """``stack``, ``position`` and ``spacing`` of ImageFile."""

    stack: str = ""
    position: float | None = None
    spacing: float | None = None


def slice_place(buffer: Buffer, layout: Layout) -> SlicePlace:
    """Where the one slice of an object lies. Raises nothing: what cannot be read is not known."""
    position = _numbers(buffer, layout, POSITION)
    orientation = _numbers(buffer, layout, ORIENTATION)
    told = _numbers(buffer, layout, SPACING)
    spacing = abs(told[0]) if len(told) == 1 else None
    if len(position) != 3:
        return SlicePlace(spacing=spacing)
    if len(orientation) == 6:
        normal = np.cross(orientation[:3], orientation[3:])
    else:
        normal = np.array([0.0, 0.0, 1.0])
    stack = " ".join(f"{value + 0.0:.2f}" for value in np.round(normal, 2))
    return SlicePlace(stack, round(float(np.dot(normal, position)), 4), spacing)


def _numbers(buffer: Buffer, layout: Layout, tag: int) -> list[float]:
    element = layout.find(tag)
    if element is None or element.undefined_length:
        return []
    try:
        raw = value_of(layout.data(buffer), element, LIMIT).strip(b" \0")
        values = [float(part) for part in raw.split(b"\\")]
    except ValueError:
        return []
    return values if all(math.isfinite(value) and abs(value) < 1e6 for value in values) else []


class Stacks:
    """``before(file, frame)`` over all ``files`` that there are, measured or not."""

    def __init__(self, files: Iterable[ImageFile]) -> None:
        stacks: dict[tuple[object, ...], list[ImageFile]] = defaultdict(list)
        for file in files:
            if file.frames == 1 and file.group in GROUPS:
                series = (file.source, file.series, file.rows, file.columns)
                stacks[(*series, file.stack, file.position is None)].append(file)
        self._before: dict[str, ImageFile] = {}
        for (*_, unplaced), members in stacks.items():
            pairs = _by_number(members) if unplaced else _by_position(members)
            self._before.update((file.path, before) for before, file in pairs)

    def before(self, file: ImageFile, frame: int) -> Neighbour | None:
        """The plane before frame ``frame`` (from 0) of a file, of the same shape, if there is one."""
        if frame:
            return Neighbour(file.path, file.kind, frame - 1)
        found = self._before.get(file.path)
        return Neighbour(found.path, found.kind, 0) if found is not None else None


def _by_position(stack: Sequence[ImageFile]) -> Iterable[tuple[ImageFile, ImageFile]]:
    """Neighbours as (before, after). Where a place was taken several times (phases, echoes, directions), the
    first goes with the first and so on, if there are as many of each.
    """
    places: list[list[ImageFile]] = []
    for file in sorted(stack, key=lambda file: (_position(file), *_order(file))):
        if places and _position(file) - _position(places[-1][0]) <= SAME:
            places[-1].append(file)
        else:
            places.append([file])
    gaps = [_position(after[0]) - _position(before[0]) for before, after in pairwise(places)]
    if not gaps:
        return
    # Of series that were thinned out to pairs of neighbours every second gap is wide: not the median.
    widest = min(USUAL * float(np.percentile(gaps, 25, method="lower")), FARTHEST) + SAME
    for gap, (before, after) in zip(gaps, pairwise(places), strict=True):
        if gap <= widest and len(before) == len(after):
            yield from zip(sorted(before, key=_order), sorted(after, key=_order), strict=True)


def _by_number(stack: Sequence[ImageFile]) -> Iterable[tuple[ImageFile, ImageFile]]:
    """Without positions: consecutive instance numbers, where the file tells how far apart slices are."""
    told = [f for f in stack if f.instance is not None and f.spacing and SAME < f.spacing <= FARTHEST]
    for before, after in pairwise(sorted(told, key=_order)):
        if _order(after)[0] == _order(before)[0] + 1:
            yield before, after


def _position(file: ImageFile) -> float:
    assert file.position is not None
    return file.position


def _order(file: ImageFile) -> tuple[int, str]:
    return file.instance or 0, file.path
