"""Entropy coder: range asymmetric numeral system (Duda 2013), one 32-bit state, 16-bit words.

A symbol is an event (start, frequency) out of 65536. The encoder walks the events backwards and
writes words; the decoder reads them forwards. The stream is the final state (4 bytes, little
endian), then the words in the order in which the decoder wants them. The state begins at 65536 and
must be back there, with no word left, when the last event is decoded: damage that the checksum
cannot see (there is none) would show here.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TOTAL_BITS = 16
LOWEST_STATE = 1 << 16


@njit(cache=True, nogil=True)
def encode_events(events, count, words):
    """Write ``count`` events (uint32: start << 16 | frequency) into ``words`` from its end.

    Returns (first used index of words, final state).
    """
    state = np.uint64(65536)
    at = words.size
    for k in range(count - 1, -1, -1):
        start = np.uint64(events[k] >> 16)
        frequency = np.uint64(events[k] & 0xFFFF)
        # The state may grow to frequency << 16 before coding; a word goes out when it would pass it.
        if state >= (frequency << np.uint64(16)):
            at -= 1
            words[at] = state & np.uint64(0xFFFF)
            state >>= np.uint64(16)
        state = ((state // frequency) << np.uint64(16)) + start + state % frequency
    return at, state


@njit(cache=True, nogil=True)
def find(cdf, slot):
    """Index i with cdf[i] <= slot < cdf[i + 1]; cdf rises from 0 to 65536."""
    low = 0
    high = cdf.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if cdf[middle] <= slot:
            low = middle
        else:
            high = middle
    return low


def pack(words: np.ndarray, at: int, state: int) -> bytes:
    """Stream bytes from the encoder's result."""
    return int(state).to_bytes(4, "little") + words[at:].astype("<u2").tobytes()
