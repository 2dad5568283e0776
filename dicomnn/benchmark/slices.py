"""Where the slices of a CT series lie, and which of them are consecutive and thin.

Thin: 2 mm or less from one slice to the next, at least four in a run. There a codec that looks at the
neighbouring slice has most to gain, so these series are a group of their own, and ``Series.runs`` has their
slices in order.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

THIN = 2.0
"""Millimetres."""
SAME = 0.01
"""Slices closer than this are the same place at another time or in another reconstruction."""
SHORTEST_RUN = 4
TAGS = [
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class Run:
    """Consecutive slices as (file, frame from 0) in order; `spacing` is the median distance in mm."""

    slices: tuple[tuple[str, int], ...]
    spacing: float

    def __len__(self) -> int:
        return len(self.slices)


@dataclass(frozen=True)
class Slice:
    """One frame. `position` is its distance in mm along `normal`, the direction of the stack (PS3.3
    C.7.6.2.1.1); both None when the file does not say. `spacing` is Spacing Between Slices.
    """

    file: str
    frame: int
    order: int
    normal: tuple[float, ...] | None
    position: float | None
    spacing: float | None


def slices_of(path: Path, name: str, instance: int) -> list[Slice]:
    """The slices of a file, [] when its header cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values that are not looked at here
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
            return [
                Slice(name, number, instance + number, *_place(position, orientation), spacing)
                for number, (position, orientation, spacing) in enumerate(_frames(dataset))
            ]
    except Exception:  # pydicom raises many types on bad headers; then nothing is known of the place
        return []


def thin_runs(slices: Sequence[Slice]) -> list[Run]:
    """Runs of at least four consecutive slices that lie at most 2 mm apart."""
    placed = bool(slices) and all(one.position is not None for one in slices)
    if placed:
        stacks: dict[Any, list[Slice]] = defaultdict(list)
        for one in slices:
            stacks[one.normal].append(one)
        runs = [run for stack in stacks.values() for run in _by_position(stack)]
    else:
        runs = _by_number([one for one in slices if one.spacing is not None and SAME < one.spacing <= THIN])
    return [
        Run(tuple((one.file, one.frame) for one in run), _distance(run, placed))
        for run in runs
        if len(run) >= SHORTEST_RUN
    ]


def _distance(run: Sequence[Slice], placed: bool) -> float:
    """Median from one slice to the next, in mm."""
    if placed:
        steps = np.diff([one.position for one in run if one.position is not None])
    else:
        steps = np.array([one.spacing for one in run if one.spacing is not None])
    return round(float(np.median(steps)), 4)


def _by_position(stack: Sequence[Slice]) -> list[list[Slice]]:
    runs: list[list[Slice]] = []
    last = None
    for one in sorted(stack, key=lambda one: (one.position, one.order)):
        assert one.position is not None
        if last is None or one.position - last > THIN + SAME:
            runs.append([one])
        elif one.position - last > SAME:
            runs[-1].append(one)
        else:
            continue
        last = one.position
    return runs


def _by_number(slices: Sequence[Slice]) -> list[list[Slice]]:
    runs: list[list[Slice]] = []
    last = None
    for one in sorted(slices, key=lambda one: one.order):
        if last is None or one.order != last + 1:
            runs.append([one])
        else:
            runs[-1].append(one)
        last = one.order
    return runs


def _place(position: Any, orientation: Any) -> tuple[tuple[float, ...] | None, float | None]:
    if position is None or len(position) != 3:
        return None, None
    if orientation is not None and len(orientation) == 6:
        values = [float(value) for value in orientation]
        normal = np.cross(values[:3], values[3:])
    else:
        normal = np.array([0.0, 0.0, 1.0])
    place = float(np.dot(normal, [float(value) for value in position]))
    return tuple(round(float(value), 2) + 0.0 for value in normal), place


def _frames(dataset: pydicom.Dataset) -> Iterator[tuple[Any, Any, float | None]]:
    """(position, orientation, spacing) of each frame; enhanced objects have functional groups (C.7.6.16)."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        yield dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient"), _spacing(dataset)
        return
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    for frame in frames:
        place = _macro("PlanePositionSequence", frame, shared)
        plane = _macro("PlaneOrientationSequence", frame, shared)
        yield (
            place.get("ImagePositionPatient"),
            plane.get("ImageOrientationPatient"),
            _spacing(_macro("PixelMeasuresSequence", frame, shared)),
        )


def _macro(keyword: str, *groups: pydicom.Dataset) -> pydicom.Dataset:
    for group in groups:
        if group.get(keyword):
            item: pydicom.Dataset = group[keyword][0]
            return item
    return pydicom.Dataset()


def _spacing(dataset: pydicom.Dataset) -> float | None:
    value = dataset.get("SpacingBetweenSlices")
    return None if value is None else abs(float(value))
