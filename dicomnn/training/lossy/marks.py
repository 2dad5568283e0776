"""What the lossy codec's network sees at the places of a frame, in NumPy: from the magnitudes to the inputs.

`codec.lossy.inputs` says what the inputs are; the rows they come from and the live parts are found by the
codec's own `bands.begin_row` (`walks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dicomnn.codec.lossy.bands import Room, room_for
from dicomnn.codec.lossy.inputs import INPUTS, OWN, ROWS, inputs_of, place_of
from dicomnn.codec.lossy.layout import Plan, plan_of
from dicomnn.codec.lossy.magnitudes import KINDS, MARKS, class_of, lowest_of
from dicomnn.codec.lossy.scales import ACTIVITY_SHIFT

from .walks import look

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


class Known(NamedTuple):
    """A frame that is known: the codec's plan, all marks flat as it lays them out (int16), in the same places
    the signs (uint8: 1 positive, 2 negative), and what the codec's walk works in.
    """

    plan: Plan
    marks: np.ndarray
    signs: np.ndarray
    room: Room


class Band:
    """One band of a known frame. ``values`` (rows, columns): signed magnitudes.

    ``live``, ``hints`` (rows, parts) bool: as `find_live` has them; ``coded``: parts whose places are coded.
    ``activity`` (rows, 16 parts) int16: of each column before the row.
    """

    def __init__(self, known: Known, number: int, values: np.ndarray) -> None:
        plan = known.plan
        self.level, self.orientation = int(plan.bands[number, 0]), int(plan.bands[number, 1])
        self.known, self.values = known, values
        height, width = values.shape
        parts = (width + PART - 1) // PART
        self._rows = np.zeros((height, ROWS), np.int64)
        live, hints = np.zeros((2, height, parts), np.uint8)
        look(plan.bands, plan.strides, number, known.room, self._rows, live, hints)
        self.live, self.hints = live != 0, hints != 0
        wide = np.zeros((height, PART * parts), np.int16)
        wide[:, :width] = marks_of(np.abs(values))
        self.coded = self.live | wide.reshape(height, parts, PART).any(2)
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
                found[:, number] += self.known.marks[self._rows[at.y, row] + at.i + offset]
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
            found = 3 * found + self.known.signs[self._rows[at.y, row] + at.i + offset]
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
    rows, columns = values.shape
    plan = plan_of(rows, columns, levels)
    room = room_for(np.empty(plan.room, np.uint8), columns)
    known = Known(plan, np.zeros(plan.room, np.int16), np.zeros(plan.room, np.uint8), room)
    parts = []
    for level, _, height, width, top, left, *starts in plan.bands[:-3].tolist():
        part = values[top : top + height, left : left + width]
        parts.append(part)
        own, signs = marks_of(np.abs(part)), np.where(part < 0, 2, np.where(part > 0, 1, 0))
        half, whole = plan.strides[level]
        down = np.arange(height)[:, None]
        for odd in (EVEN, ODD):
            at = starts[odd] + down * half + np.arange((width + 1 - odd) >> 1)
            known.marks[at], known.signs[at] = own[:, odd::2], signs[:, odd::2]
        known.marks[starts[2] + down * whole + np.arange(width)] = own
    room.marks[:] = known.marks
    for number, part in enumerate(parts):
        yield Band(known, number, part)
