"""What the lossy codec's network sees at the places of a frame, in NumPy: from the magnitudes to the inputs.

`codec.lossy.inputs` says what the inputs are; the rows they come from are found by the codec's own
`bands.find_rows`, the parts that are coded by its `bands.find_live`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.lossy.bands import find_live, find_rows
from dicomnn.codec.lossy.inputs import INPUTS, OWN, ROWS, inputs_of, place_of
from dicomnn.codec.lossy.layout import Plan, plan_of
from dicomnn.codec.lossy.magnitudes import KINDS, MARKS, class_of, lowest_of
from dicomnn.codec.lossy.scales import ACTIVITY_SHIFT

PART = 16
ABOVE, HERE = -1, 0
EVEN, ODD = 0, 1
_LOWEST = np.array([lowest_of(k)[0] for k in range(KINDS)])
RAW_BITS = np.array([class_of(int(low))[1] for low in _LOWEST])
"""(40,) raw bits of each class."""


def marks_of(magnitudes: np.ndarray) -> np.ndarray:
    """Marks of magnitudes, int16, as `magnitudes.mark_of` has them."""
    left, more = magnitudes.astype(np.int64), np.zeros(magnitudes.shape, np.int16)
    while (large := left > 255).any():
        left, more = np.where(large, left >> 4, left), more + np.where(large, 32, 0).astype(np.int16)
    return MARKS[left].astype(np.int16) + more


def classes_of(magnitudes: np.ndarray) -> np.ndarray:
    """Classes of magnitudes, as `magnitudes.class_of` has them."""
    return np.searchsorted(_LOWEST, magnitudes, "right") - 1


@dataclass(frozen=True)
class Places:
    """Places of one pass over one band, in the order of coding: row and index in the half row, (n,) each."""

    odd: int
    y: np.ndarray
    i: np.ndarray


class Band:
    """One band of a frame whose coefficients are known. ``values`` (rows, columns): signed magnitudes.

    ``live``, ``hints`` (rows, parts) bool: as `find_live` has them; ``coded``: parts whose places are coded.
    ``activity`` (rows, 16 parts) int16: of each column before the row. ``marks``: of the whole frame, flat,
    as the codec lays them out.
    """

    def __init__(
        self, marks: np.ndarray, signs: np.ndarray, plan: Plan, number: int, values: np.ndarray
    ) -> None:
        self.level, self.orientation = int(plan.bands[number, 0]), int(plan.bands[number, 1])
        self.values = values
        self.marks, self._signs = marks, signs
        height, width = values.shape
        self.parts = (width + PART - 1) // PART
        self._rows = np.zeros((height, ROWS), np.int64)
        live = np.zeros((height, self.parts + 5), np.uint8)
        hints = np.zeros((height, self.parts + 4), np.uint8)
        maps = marks.astype(np.uint8)
        for y in range(height):
            find_rows(self._rows[y], plan.bands, plan.strides, number, y)
            find_live(self.orientation, maps, self._rows[y], self.parts, live[y], hints[y])
        self.live = live[:, 1 : 1 + self.parts] != 0
        self.hints = hints[:, : self.parts] != 0
        wide = np.zeros((height, PART * self.parts), np.int16)
        wide[:, :width] = marks_of(np.abs(values))
        self.coded = self.live | wide.reshape(height, self.parts, PART).any(2)
        self.activity = _activity(wide)

    def places(self, odd: int) -> Places:
        """All places of a pass that are coded."""
        width = self.values.shape[1]
        some = np.repeat(self.coded, PART // 2, axis=1)[:, : (width + 1 - odd) >> 1]
        return Places(odd, *np.nonzero(some))

    def inputs(self, at: Places) -> np.ndarray:
        """(n, inputs) int16; those that the pass does not have are 0."""
        found = np.zeros((len(at.y), len(INPUTS)), np.int16)
        for number in inputs_of(self.orientation, at.odd):
            for source in INPUTS[number]:
                row, offset = place_of(source, at.odd)
                found[:, number] += self.marks[self._rows[at.y, row] + at.i + offset]
            if not INPUTS[number]:
                found[:, number] = self.activity[at.y, 2 * at.i + at.odd] >> ACTIVITY_SHIFT
        return found

    def at(self, at: Places, values: np.ndarray | None = None) -> np.ndarray:
        """The signed magnitudes at places, or other values of the band."""
        return (self.values if values is None else values)[at.y, 2 * at.i + at.odd]

    def sign_contexts(self, at: Places) -> np.ndarray:
        """(n,) contexts 0..26 of the signs at places."""
        own, above, above_odd = OWN[HERE, EVEN], OWN[ABOVE, EVEN], OWN[ABOVE, ODD]
        three = (
            [(own, 0), (above_odd, 0), (own, 1)] if at.odd else [(above, 0), (above_odd, -1), (above_odd, 0)]
        )
        found = np.zeros(len(at.y), np.int64)
        for row, offset in three:
            found = 3 * found + self._signs[self._rows[at.y, row] + at.i + offset]
        return found

    def still_contexts(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the still parts: contexts 0..17, and whether they were coded all the same."""
        largest = self.activity.reshape(*self.coded.shape, PART).max(2)
        lively = np.where(largest == 0, 0, np.where(largest < 16, 1, 2))
        beside = np.zeros(self.live.shape, np.int64)
        beside[:, 1:] += self.live[:, :-1]
        beside[:, :-1] += self.live[:, 1:]
        contexts = 9 * self.hints + 3 * beside + lively
        still = ~self.live
        return contexts[still], self.coded[still]


def _activity(marks: np.ndarray) -> np.ndarray:
    """Of each column before each row, `scales.remember` row by row."""
    beside = np.pad(marks.astype(np.int32), ((0, 0), (1, 1)))
    fresh = 4 * (2 * beside[:, 1:-1] + beside[:, :-2] + beside[:, 2:])
    found = np.zeros(marks.shape, np.int16)
    now = np.zeros(marks.shape[1], np.int32)
    for y in range(len(marks)):
        found[y] = now
        now = now + ((fresh[y] - now) >> 2)
    return found


def bands_of(values: np.ndarray, levels: int) -> Iterator[Band]:
    """The bands of a frame in the order of coding. ``values`` (rows, columns) int32: signed magnitudes."""
    plan = plan_of(*values.shape, levels)
    marks, signs = np.zeros(plan.room + 8, np.int16), np.zeros(plan.room + 8, np.uint8)
    parts = []
    for level, _, height, width, top, left, *starts in plan.bands[:-3].tolist():
        part = values[top : top + height, left : left + width]
        parts.append(part)
        own, negative = marks_of(np.abs(part)), np.where(part < 0, 2, np.where(part > 0, 1, 0))
        half, whole = plan.strides[level]
        down = np.arange(height)[:, None]
        for odd in (EVEN, ODD):
            at = starts[odd] + down * half + np.arange((width + 1 - odd) >> 1)
            marks[at], signs[at] = own[:, odd::2], negative[:, odd::2]
        marks[starts[2] + down * whole + np.arange(width)] = own
    for number, part in enumerate(parts):
        yield Band(marks, signs, plan, number, part)
