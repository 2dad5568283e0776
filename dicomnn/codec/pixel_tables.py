"""The pixel distributions as the coding loop reads them: where each lies, how a slot is found in it.

A distribution has the first slots of its 256 symbols (uint16), then, as an index to them, those of every
sixteenth. Its length is no power of two: the same symbol of different distributions would otherwise share
one line of the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .lanes import I16, I64, data_of, i64, load, splat
from .tables import ESCAPE, FRACTIONS, SYMBOLS, TAIL_CLASSES, TOTAL

COARSE = 16
LENGTH = SYMBOLS + 2 * COARSE
"""Entries of a distribution: starts, index, and as many again unused."""
MOST_SLOPE = 512


@njit(cache=True, nogil=True, error_model="numpy")
def distribution_at(scale_class, fraction, tail):  # type: ignore[no-untyped-def]
    """Index of a distribution's first entry in the flat tables."""
    return ((scale_class * FRACTIONS + fraction) * TAIL_CLASSES + tail) * LENGTH


def starts_of(frequencies: np.ndarray) -> np.ndarray:
    """Flat uint16, LENGTH entries a distribution, from frequencies (classes, 8, 8, 256) that sum to 65536."""
    starts = np.cumsum(frequencies, axis=-1, dtype=np.int64) - frequencies
    laid = np.zeros((*frequencies.shape[:-1], LENGTH), dtype=np.uint16)
    laid[..., :SYMBOLS] = starts
    laid[..., SYMBOLS : SYMBOLS + COARSE] = starts[..., ::COARSE]
    return laid.ravel()


def slopes_of(frequencies: np.ndarray, log: np.ndarray) -> np.ndarray:
    """Flat int16 in the layout of `starts_of`: what a symbol tells of the scale, in 1/256 bit.

    Difference of the log frequency of the symbol between the next wider and the next narrower scale class,
    within +-512; the escape says 512.
    """
    counts = np.maximum(frequencies.astype(np.int64), 1)
    highest = np.frexp(counts)[1] - 1  # exact: counts are small integers
    logs = 256 * highest + log[(counts << 8 >> highest) & 255]
    wider, narrower = np.roll(logs, -1, axis=0), np.roll(logs, 1, axis=0)
    wider[-1], narrower[0] = logs[-1], logs[0]
    laid = np.zeros((*frequencies.shape[:-1], LENGTH), dtype=np.int16)
    laid[..., :SYMBOLS] = np.clip(wider - narrower, -MOST_SLOPE, MOST_SLOPE)
    laid[..., ESCAPE] = MOST_SLOPE
    return laid.ravel()


@njit(cache=True, nogil=True, error_model="numpy")
def frequency_at(starts, distribution, symbol):  # type: ignore[no-untyped-def]
    """Frequency of a symbol (int64), out of 65536."""
    end = np.int64(starts[distribution + symbol + 1]) if symbol < ESCAPE else TOTAL
    return end - np.int64(starts[distribution + symbol])


@intrinsic
def find(typing, starts, distribution, slot):  # type: ignore[no-untyped-def]
    """Symbol (int64) whose slots hold ``slot`` (int64, below 65536): the last with a start up to it."""
    signature = types.int64(starts, types.int64, types.int64)
    word = ir.IntType(COARSE)

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        base, distribution = data_of(context, b, signature.args[0], arguments[0]), arguments[1]
        wanted = splat(b, b.trunc(arguments[2], I16), COARSE)
        count = cgutils.get_or_insert_function(b.module, ir.FunctionType(word, [word]), "llvm.ctpop.i16")

        def last_up_to(place: Any) -> Any:
            below = b.icmp_unsigned("<=", load(b, base, place, I16, COARSE), wanted)
            return b.sub(b.zext(b.call(count, [b.bitcast(below, word)]), I64), i64(1))

        first = b.mul(last_up_to(b.add(distribution, i64(SYMBOLS))), i64(COARSE))
        return b.add(first, last_up_to(b.add(distribution, first)))

    return signature, generate
