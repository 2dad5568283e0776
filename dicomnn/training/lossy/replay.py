"""Which states the encoder coded the places of a band with: the corrections of a frame, run again."""

from __future__ import annotations

import numpy as np
from numba import njit

from dicomnn.codec.lossy.bands import BINS, learn, state_of


@njit(cache=True, nogil=True, error_model="numpy")
def replay(rows, z, z_odd, y, y_odd, classes, classes_odd, slopes_of, corrections, states, states_odd):
    """Fill states (n,) int64 of the even and the odd places of a band in the order of coding.

    z int16: scales; y: their rows; classes: of their magnitudes, all int64 but z; slopes_of (states, 40);
    corrections (BINS,) int64 of the orientation, which learn.
    """
    slopes = np.zeros(BINS, np.int64)
    n, m = 0, 0
    for row in range(rows):
        while n < z.size and y[n] == row:
            c = state_of(z[n], corrections)
            states[n] = c
            slopes[np.uint64(z[n]) >> np.uint64(8)] += slopes_of[c, classes[n]]
            n += 1
        learn(slopes, corrections)
        while m < z_odd.size and y_odd[m] == row:
            c = state_of(z_odd[m], corrections)
            states_odd[m] = c
            slopes[np.uint64(z_odd[m]) >> np.uint64(8)] += slopes_of[c, classes_odd[m]]
            m += 1
        learn(slopes, corrections)
