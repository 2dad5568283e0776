"""What the distribution of a coefficient is read from: marks of magnitudes that are already known.

A row of a band is coded in two passes: its even places, then its odd ones. So the places of a pass depend
on none of each other, and eight of them go through the network side by side (`scales`). The marks of a band
lie in two planes, those of even and of odd columns; then every input of eight places is eight bytes in a
row. Children read a third plane with the columns in their order. `docs/format-lossy.md` has it in words.
"""

from __future__ import annotations

from typing import NamedTuple

ABOVE, HERE, BELOW = -1, 0, 1
NEAR, FAR = 10, -10
"""Of the parent's row and column: the neighbour on the place's own side, and the other one."""
BEFORE, LEFT = 2, 16
"""Rows above a plane and places left of it that exist and are 0; below and right there are as many."""


class Source(NamedTuple):
    """A mark at a row and a column from the place; of `own`, `parent`, `aunt`, `aunt_2`, `sister`, `sister_2`
    (aunts and parent: from the place's parent).
    """

    band: str
    row: int
    column: int


def _sisters(name: str) -> list[tuple[Source, ...]]:
    return [
        (Source(name, HERE, 0),),
        (Source(name, HERE, -1), Source(name, HERE, 1)),
        (Source(name, ABOVE, 0), Source(name, BELOW, 0)),
    ]


INPUTS: list[tuple[Source, ...]] = [
    (Source("own", ABOVE, 0),),
    (Source("own", ABOVE, -1), Source("own", ABOVE, 1)),
    (Source("own", -2, 0),),
    (Source("own", -2, -1), Source("own", -2, 1)),
    (Source("own", ABOVE, -2), Source("own", ABOVE, 2)),
    (),
    (Source("own", HERE, -1), Source("own", HERE, 1)),
    (Source("own", HERE, -3), Source("own", HERE, 3)),
    (Source("parent", HERE, 0),),
    (Source("parent", HERE, NEAR),),
    (Source("parent", NEAR, 0),),
    (Source("parent", HERE, FAR), Source("parent", FAR, 0), Source("parent", NEAR, NEAR)),
    (Source("aunt", HERE, 0),),
    (Source("aunt_2", HERE, 0),),
    *_sisters("sister"),
    *_sisters("sister_2"),
]
"""Each input is the sum of its sources; that without any is the activity (`scales.remember`)."""
ACTIVITY = 5
ONLY_ODD = (6, 7)
FIRST_SISTER, SECOND_SISTER = 14, 17


def inputs_of(orientation: int, odd: int) -> list[int]:
    """Numbers of the inputs that a pass over a band of an orientation has."""
    end = (FIRST_SISTER, SECOND_SISTER, len(INPUTS))[orientation]
    return [i for i in range(end) if odd or i not in ONLY_ODD]


# Where the rows begin that the places of one row read, in the array `rows` of the kernels.
OWN = {(row, odd): 2 * (row + 2) + odd for row in (-2, -1, 0) for odd in (0, 1)}
PARENT = {HERE: 6, NEAR: 7, FAR: 8}
AUNTS = {"aunt": 9, "aunt_2": 10}
SISTERS = {
    (name, row, odd): first + 2 * (row + 1) + odd
    for name, first in (("sister", 11), ("sister_2", 17))
    for row in (ABOVE, HERE, BELOW)
    for odd in (0, 1)
}
ROWS = 23


def place_of(source: Source, odd: int) -> tuple[int, int]:
    """(number in `rows`, offset from the place's index in its half row) of a source."""
    if source.band in AUNTS:
        return AUNTS[source.band], 0
    if source.band == "parent":
        near = 1 if odd else -1
        return PARENT[source.row], {0: 0, NEAR: near, FAR: -near}[source.column]
    column = odd + source.column
    half, other = column // 2, column % 2
    if source.band == "own":
        return OWN[source.row, other], half
    return SISTERS[source.band, source.row, other], half


LIVE = [OWN[ABOVE, 0], OWN[ABOVE, 1], PARENT[HERE]]
"""Numbers in `rows` of what makes a part of a row live."""


def hints_of(orientation: int) -> list[int]:
    """Numbers in `rows` of what hints that a still part may not be zero: sisters, aunts."""
    names = ("sister", "sister_2")[:orientation]
    return [SISTERS[name, HERE, odd] for name in names for odd in (0, 1)] + [*AUNTS.values()]
