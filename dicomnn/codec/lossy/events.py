"""Steps of the entropy coder (`rans`) for loops that keep its state in registers.

Helpers take and give numbers only. A numba function that is given an array counts references to it, which
costs more than an event.
"""

from __future__ import annotations

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..lanes import I64, i64
from .kernels import inlined

ENCODE, DECODE = 0, 1
LOW, LEAST, HALF = np.uint64(0xFFFF), np.uint64(65536), np.uint64(16)
"""Slot of a state; the state below which a word is wanted; bits of a word."""


@intrinsic
def word_at(typing, words, at):  # type: ignore[no-untyped-def]
    """words[at], 0 beyond their end, as uint64."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, b, arguments[0])
        inside = b.icmp_unsigned("<", arguments[1], array.nitems)
        nowhere = cgutils.alloca_once(b, array.data.type.pointee)
        place = b.select(inside, b.gep(array.data, [arguments[1]]), nowhere)
        return b.select(inside, b.zext(b.load(place), I64), i64(0))

    return types.uint64(words, types.int64), generate


@inlined
def left_behind(state, start, frequency):
    """The state after an event; below LEAST it wants a word."""
    return np.uint64(frequency) * (state >> HALF) + (state & LOW) - np.uint64(start)


@inlined
def binary_left_behind(state, bit, one):
    """The state after a binary event: 1 has the slots below `one`, 0 the others."""
    return left_behind(state, 0, one) if bit else left_behind(state, one, 65536 - one)


@inlined
def refilled(state, at, words):
    """(state, next word) after the word that the state wants, if it does."""
    if state < LEAST:
        return state << HALF | word_at(words, at), at + 1
    return state, at


@inlined
def event_of(start, frequency):
    return np.uint32(start << 16 | frequency)


@inlined
def binary_event_of(bit, one):
    return np.uint32(one) if bit else np.uint32(one << 16 | (65536 - one))


@inlined
def adapted(one, bit, least, shift):
    """A chance after a bit: nearer to 65536 - least or to least by 1 / 2^shift of the way."""
    return one + (((65536 - least if bit else least) - one) >> shift)
