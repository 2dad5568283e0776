"""From marks to scales: the small network of the lossy tier, eight places side by side.

Every lane is one place, every number an int32; two inputs at a time are multiplied as pairs of int16. All
sums fit their integers (the model is checked for that), so any order gives the same; LLVM makes of these
instructions what the processor has (`lanes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..lanes import I16, I32, I64, LANES, add_products, data_of, i64, load, splat, store, vector_of
from .inputs import INPUTS, LIVE, hints_of, inputs_of, place_of

HIDDEN = 8
HIDDEN_SHIFT, HIDDEN_TOP = 5, 4095
SCALE_SHIFT = 8
SCALES, FINENESS = 96, 32
"""States of the distribution, and in how many parts the network's sum divides one."""
ACTIVITY_SHIFT = 3
PARTS_AT_ONCE = 4

WIDE, PAIRS, BYTE = vector_of(I32, LANES), vector_of(I16, 2 * LANES), ir.IntType(8)


def _all(value: int) -> ir.Constant:
    return ir.Constant(WIDE, [value] * LANES)


def _clamped(b: Any, value: Any, top: int) -> Any:
    value = b.select(b.icmp_signed(">", value, _all(0)), value, _all(0))
    return b.select(b.icmp_signed("<", value, _all(top)), value, _all(top))


def _pair(b: Any, low: Any, high: Any) -> Any:
    """Two vectors of eight numbers below 2^15 as pairs of int16."""
    return b.bitcast(b.or_(low, b.shl(high, _all(16))), PAIRS)


def _marks(b: Any, maps: Any, at: Any) -> Any:
    place = b.bitcast(b.gep(maps, [at]), vector_of(BYTE, LANES).as_pointer())
    found = b.load(place)
    found.align = 1
    return b.zext(found, WIDE)


def make_scales(orientation: int, odd: int) -> Callable[..., None]:
    """The kernel of one pass over the rows of bands of an orientation.

    scales(maps, rows, activity, at, bias, weights, last, i, out): `maps` uint8, flat; `rows` (23,) int64,
    where the rows begin (`inputs.place_of`); activity int16, flat, `at` where the half row's begins; bias
    (8,) int32; weights (inputs / 2, rounded up, 8) int32, each two int16; last (5,) int32: weights of
    the hidden values two by two, and the sum's first value; i: index of the first of eight places in
    the half row; out (half row,) int16: scales in 1/32 from there.
    """

    numbers = inputs_of(orientation, odd)

    @intrinsic
    def scales(typing, maps, rows, activity, at, bias, weights, last, i, out):  # type: ignore[no-untyped-def]
        signature = types.void(maps, rows, activity, types.int64, bias, weights, last, types.int64, out)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            m, r, a, first, w, final, to = (
                data_of(context, b, signature.args[k], arguments[k]) for k in (0, 1, 2, 4, 5, 6, 8)
            )
            i = arguments[7]
            values = []
            for number in numbers:
                total = None
                for source in INPUTS[number]:
                    row, offset = place_of(source, odd)
                    start = b.load(b.gep(r, [i64(row)]))
                    found = _marks(b, m, b.add(start, b.add(i, i64(offset))))
                    total = found if total is None else b.add(total, found)
                if total is None:
                    part = load(b, a, b.add(arguments[3], i), I16, LANES)
                    total = b.ashr(b.sext(part, WIDE), _all(ACTIVITY_SHIFT))
                values.append(total)
            if len(values) % 2:
                values.append(_all(0))
            pairs = [_pair(b, values[k], values[k + 1]) for k in range(0, len(values), 2)]
            hidden = []
            for j in range(HIDDEN):
                total = splat(b, b.load(b.gep(first, [i64(j)])), LANES)
                for k, pair in enumerate(pairs):
                    weight = splat(b, b.load(b.gep(w, [i64(k * HIDDEN + j)])), LANES)
                    total = add_products(b, context, total, pair, b.bitcast(weight, PAIRS))
                hidden.append(_clamped(b, b.ashr(total, _all(HIDDEN_SHIFT)), HIDDEN_TOP))
            total = splat(b, b.load(b.gep(final, [i64(HIDDEN // 2)])), LANES)
            for k in range(HIDDEN // 2):
                weight = splat(b, b.load(b.gep(final, [i64(k)])), LANES)
                pair = _pair(b, hidden[2 * k], hidden[2 * k + 1])
                total = add_products(b, context, total, pair, b.bitcast(weight, PAIRS))
            z = _clamped(b, b.ashr(total, _all(SCALE_SHIFT)), SCALES * FINENESS - 1)
            store(b, b.trunc(z, vector_of(I16, LANES)), to, i)
            return context.get_dummy_value()

        return signature, generate

    return scales  # type: ignore[no-any-return]


def make_seen(orientation: int) -> Callable[..., None]:
    """seen(maps, rows, s, live, hints): live[1 + s .. 4 + s] = whether parts s .. s + 3 of a row see a mark
    in the row above or in the parent, hints[s .. s + 3] whether in the sisters' or aunts' row.
    """

    @intrinsic
    def seen(typing, maps, rows, s, live, hints):  # type: ignore[no-untyped-def]
        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            m, r, live, hints = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 1, 3, 4))
            words, kind = vector_of(I64, PARTS_AT_ONCE), vector_of(BYTE, PARTS_AT_ONCE)
            first, nothing = b.shl(arguments[2], i64(3)), ir.Constant(words, [0] * PARTS_AT_ONCE)
            sides = ((LIVE, live, b.add(arguments[2], i64(1))), (hints_of(orientation), hints, arguments[2]))
            for numbers, to, at in sides:
                total = nothing
                for row in numbers:
                    start = b.load(b.gep(r, [i64(row)]))
                    place = b.bitcast(b.gep(m, [b.add(start, first)]), words.as_pointer())
                    found = b.load(place)
                    found.align = 8
                    total = b.or_(total, found)
                some = b.zext(b.icmp_unsigned("!=", total, nothing), kind)
                b.store(some, b.bitcast(b.gep(to, [at]), kind.as_pointer())).align = 1
            return context.get_dummy_value()

        return types.void(maps, rows, types.int64, live, hints), generate

    return seen  # type: ignore[no-any-return]


@intrinsic
def remember(typing, maps, even, odd, activity, at, at_odd, i):  # type: ignore[no-untyped-def]
    """Take eight even and eight odd places of a finished row into the activity of their columns.

    A place's mark counts twice, those left and right of it once: A += (4 * (2 m + l + r) - A) >> 2. `even`,
    `odd`: where the row begins in `maps`; `at`, `at_odd`: where its activity does, int16; i: the first index.
    """

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        m, a = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 3))
        even, odd, i = arguments[1], arguments[2], arguments[6]
        e, o = (_marks(b, m, b.add(start, i)) for start in (even, odd))
        sides = (
            (arguments[4], e, _marks(b, m, b.add(odd, b.sub(i, i64(1)))), o),
            (arguments[5], o, e, _marks(b, m, b.add(even, b.add(i, i64(1))))),
        )
        for start, own, left, right in sides:
            place = b.add(start, i)
            old = b.sext(load(b, a, place, I16, LANES), WIDE)
            new = b.shl(b.add(b.add(own, own), b.add(left, right)), _all(2))
            found = b.add(old, b.ashr(b.sub(new, old), _all(2)))
            store(b, b.trunc(found, vector_of(I16, LANES)), a, place)
        return context.get_dummy_value()

    i = types.int64
    return types.void(maps, i, i, activity, i, i, i), generate
