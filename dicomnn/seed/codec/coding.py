"""Latents as symbols 0..255, and symbols as bytes and back: rANS with static tables, one a channel.

The tables are counted over the training images once and belong to the model. Every symbol has some room in
every table, so that any latent can be coded.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dicomnn.codec import rans
from dicomnn.errors import PayloadCorrupt

SYMBOLS = 256
TOTAL = 1 << rans.TOTAL_BITS


def tables_of(counts: np.ndarray) -> np.ndarray:
    """Cumulative frequencies (channels, 257) uint32, each from 0 to 65536, of counts (channels, 256)."""
    smooth = counts.astype(np.float64) + 0.5
    room = TOTAL - SYMBOLS
    frequencies = 1 + np.floor(room * smooth / smooth.sum(1, keepdims=True)).astype(np.int64)
    frequencies[np.arange(len(counts)), counts.argmax(1)] += TOTAL - frequencies.sum(1)
    tables = np.zeros((len(counts), SYMBOLS + 1), np.uint32)
    tables[:, 1:] = np.cumsum(frequencies, 1)
    return tables


def encode_symbols(symbols: np.ndarray, tables: np.ndarray) -> bytes:
    """``symbols`` (channels, n) uint8, ``tables`` as of `tables_of`."""
    channel = np.repeat(np.arange(len(tables)), symbols.shape[1])
    flat = symbols.reshape(-1).astype(np.int64)
    start, end = tables[channel, flat].astype(np.uint32), tables[channel, flat + 1].astype(np.uint32)
    words = np.empty(flat.size + 8, np.uint16)
    at, state = rans.encode_events(start << np.uint32(16) | (end - start), flat.size, words)
    return rans.pack(words, int(at), int(state))


def decode_symbols(data: bytes, tables: np.ndarray, count: int) -> np.ndarray:
    """(channels, count) uint8. Raises PayloadCorrupt where the bytes are not those of so many symbols."""
    if len(data) < 4 or len(data) % 2:
        raise PayloadCorrupt("The stream of a seed file has no whole number of words.")
    words = np.frombuffer(data, "<u2", offset=4).astype(np.uint16)
    cursor = np.array([0, int.from_bytes(data[:4], "little"), 0], np.int64)
    symbols = np.empty((len(tables), count), np.uint8)
    if cursor[1] < rans.LOWEST_STATE:
        raise PayloadCorrupt("The stream of a seed file begins with an impossible state.")
    _walk(words, cursor, tables.astype(np.int64), symbols)
    if cursor[2] or cursor[0] != words.size or cursor[1] != rans.LOWEST_STATE:
        raise PayloadCorrupt("The stream of a seed file does not end where it must.")
    return symbols


@njit(cache=True, nogil=True)
def _walk(words, cursor, tables, symbols):  # type: ignore[no-untyped-def]
    for channel in range(symbols.shape[0]):
        table = tables[channel]
        for place in range(symbols.shape[1]):
            slot = cursor[1] & 0xFFFF
            low, high = 0, 256
            while high - low > 1:
                middle = (low + high) >> 1
                if table[middle] <= slot:
                    low = middle
                else:
                    high = middle
            symbols[channel, place] = low
            rans.take(words, cursor, table[low], table[low + 1] - table[low])
