"""The codec's walk over a band that is known: what its rows read, and which states coded its places."""

from __future__ import annotations

import numpy as np
from numba import njit

from dicomnn.codec.lossy.bands import begin_row, learn, state_of


@njit(cache=True, nogil=True, error_model="numpy")
def look(bands, strides, number, room, rows, live, hints):
    """Fill for each row of band `number`: rows (height, 23) int64, where the rows begin that it reads; live,
    hints (height, parts) uint8. `room`: a `bands.Room` with the marks of the frame.
    """
    for y in range(rows.shape[0]):
        begin_row(bands, strides, number, y, room)
        rows[y] = room.rows
        for s in range(live.shape[1]):
            live[y, s] = room.live[1 + s]
            hints[y, s] = room.hints[s]


@njit(cache=True, nogil=True, error_model="numpy")
def replay(orientation, rows, z, z_odd, y, y_odd, classes, classes_odd, slopes_of, room, states, states_odd):
    """Fill states (n,) int64 of the even and the odd places of a band in the order of coding.

    z int16: scales; y: their rows; classes: of their magnitudes, all int64 but z; slopes_of (states, 40);
    `room`: a `bands.Room`, whose corrections learn.
    """
    corrections, slopes = room.corrections[orientation], room.slopes
    n, m = 0, 0
    for row in range(rows):
        while n < z.size and y[n] == row:
            c = state_of(z[n], corrections)
            states[n] = c
            slopes[np.uint64(z[n]) >> np.uint64(8)] += slopes_of[c, classes[n]]
            n += 1
        learn(room, orientation)
        while m < z_odd.size and y_odd[m] == row:
            c = state_of(z_odd[m], corrections)
            states_odd[m] = c
            slopes[np.uint64(z_odd[m]) >> np.uint64(8)] += slopes_of[c, classes_odd[m]]
            m += 1
        learn(room, orientation)
