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


@njit(cache=True, nogil=True, error_model="numpy")
def take(words, cursor, start, frequency):
    """Leave the current event behind; cursor: int64 [next word, state, failed]."""
    state = np.uint64(cursor[1])
    state = np.uint64(frequency) * (state >> np.uint64(16)) + (state & np.uint64(0xFFFF)) - np.uint64(start)
    if state < np.uint64(65536):
        if cursor[0] < words.size:
            state = (state << np.uint64(16)) | np.uint64(words[cursor[0]])
            cursor[0] += 1
        else:
            cursor[2] = 1
            state = np.uint64(65536)
    cursor[1] = np.int64(state)


@njit(cache=True, nogil=True, error_model="numpy")
def raw(mode, value, bits, events, counter, words, cursor):
    """``bits`` equally likely bits, eight at a time from the top; returns the value. mode 0 encodes."""
    left = bits
    result = np.int64(0)
    while left > 0:
        n = min(left, 8)
        left -= n
        frequency = 1 << (16 - n)
        if mode == 0:
            part = (value >> left) & ((1 << n) - 1)
            events[counter[0]] = np.uint32((part * frequency) << 16 | frequency)
            counter[0] += 1
        else:
            part = (cursor[1] & 0xFFFF) // frequency
            take(words, cursor, part * frequency, frequency)
        result = (result << n) | part
    return result


def pack(words: np.ndarray, at: int, state: int) -> bytes:
    """Stream bytes from the encoder's result."""
    return int(state).to_bytes(4, "little") + words[at:].astype("<u2").tobytes()
