"""Kernels of the causal network: bent inputs, dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .lanes import (
    F32,
    I16,
    I32,
    LANES,
    add_products,
    data_of,
    entries,
    i64,
    load,
    packed,
    splat,
    store,
    vector_of,
)

CHAINS = 8
"""Sums that a layer keeps side by side at least."""


def _layer(
    builder: Any, context: Any, signature: Any, arguments: Any, inputs: int, outputs: int
) -> list[Any]:
    """Sums of a dense layer, as blocks of eight: bias + x W."""
    blocks = outputs // LANES
    x, weights, bias = (data_of(context, builder, signature.args[k], arguments[k]) for k in range(3))
    # Enough chains of additions side by side that none waits for itself.
    chains = max(1, CHAINS // blocks)
    nothing = ir.Constant(vector_of(I32, LANES), [0] * LANES)
    sums = [[nothing] * chains for _ in range(blocks)]
    for block in range(blocks):
        sums[block][0] = load(builder, bias, i64(LANES * block), I32, LANES)
    pairs = builder.bitcast(x, I32.as_pointer())
    for i in range(inputs // 2):
        pair = builder.load(builder.gep(pairs, [i64(i)]))
        pair.align = 2
        both = builder.bitcast(splat(builder, pair, LANES), vector_of(I16, 2 * LANES))
        for block in range(blocks):
            weight = load(builder, weights, i64((i * blocks + block) * 2 * LANES), I16, 2 * LANES)
            chain = sums[block][i % chains]
            sums[block][i % chains] = add_products(builder, context, chain, both, weight)
    totals = []
    for parts in sums:
        while len(parts) > 1:
            pairs_of_parts = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.add(first, second) for first, second in pairs_of_parts]
        totals.append(parts[0])
    return totals


def make_dense(inputs: int, outputs: int) -> Callable[..., None]:
    """A kernel for one dense layer: out = bias + x W.

    dense(x, weights, bias, out): x int16 (inputs,); weights int16, flat, as `interleaved` lays them; bias,
    out int32 (outputs,). ``inputs`` even, ``outputs`` a multiple of eight.
    """

    @intrinsic
    def dense(typing, x, weights, bias, out):  # type: ignore[no-untyped-def]
        signature = types.void(x, weights, bias, out)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            out = data_of(context, b, signature.args[3], arguments[3])
            for block, total in enumerate(_layer(b, context, signature, arguments, inputs, outputs)):
                store(b, total, out, i64(LANES * block))
            return context.get_dummy_value()

        return signature, generate

    return dense  # type: ignore[no-any-return]


def make_hidden(inputs: int, outputs: int, shift: int) -> Callable[..., None]:
    """A kernel for one hidden layer: out = clamp((((bias + x W) >> shift) * gain) >> 6, 0, 255).

    hidden(x, weights, bias, gain, out): as `make_dense`; gain int32 (outputs,), out int16 (outputs,).
    """

    @intrinsic
    def hidden(typing, x, weights, bias, gain, out):  # type: ignore[no-untyped-def]
        signature = types.void(x, weights, bias, gain, out)
        wide = vector_of(I32, LANES)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            gain, out = (data_of(context, b, signature.args[k], arguments[k]) for k in (3, 4))
            low, high = (ir.Constant(wide, [value] * LANES) for value in (0, 255))
            for block, total in enumerate(_layer(b, context, signature, arguments, inputs, outputs)):
                scaled = b.mul(
                    b.ashr(total, ir.Constant(wide, [shift] * LANES)),
                    load(b, gain, i64(LANES * block), I32, LANES),
                )
                value = b.ashr(scaled, ir.Constant(wide, [6] * LANES))
                value = b.select(b.icmp_signed("<", value, low), low, value)
                value = b.select(b.icmp_signed(">", value, high), high, value)
                store(b, b.trunc(value, vector_of(I16, LANES)), out, i64(LANES * block))
            return context.get_dummy_value()

        return signature, generate

    return hidden  # type: ignore[no-any-return]


def interleaved(weights: np.ndarray) -> np.ndarray:
    """(inputs, outputs) int16 weights as `make_dense` reads them: by pair of inputs, then output."""
    inputs, outputs = weights.shape
    pairs = weights.reshape(inputs // 2, 2, outputs).transpose(0, 2, 1)
    return np.ascontiguousarray(pairs, dtype=np.int16).ravel()


@intrinsic
def bend_own(  # type: ignore[no-untyped-def]
    typing, values, level, errors, at, offsets, first, second, third, fourth, fifth, blend, scale, inputs
):
    """inputs[0..31] = 127 * t / (1 + |t|), t = difference / (4 * scale), in float32, cut towards zero.

    The differences: 16 * values[k] + level of sixteen values; errors[at + offsets[k]] of ten offsets;
    ``first`` to ``fifth``; ``blend``. All int64 but values, errors (int32, flat) and inputs (int16).
    """
    i = types.int64
    signature = types.void(values, i, errors, i, offsets, i, i, i, i, i, i, i, inputs)

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        v, e, o, out = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 4, 12))
        wide, floats = vector_of(I32, LANES), vector_of(F32, LANES)
        level = splat(b, b.trunc(arguments[1], I32), LANES)
        four = ir.Constant(wide, [4] * LANES)
        vectors = [b.add(b.shl(load(b, v, i64(LANES * block), I32, LANES), four), level) for block in (0, 1)]
        scalars = entries(b, e, arguments[3], o, 10) + [b.trunc(arguments[k], I32) for k in range(5, 11)]
        vectors += packed(b, scalars)
        quarter = ir.Constant(F32, 0.25)
        gain = splat(b, b.fdiv(quarter, b.sitofp(arguments[11], F32)), LANES)
        one, most = (ir.Constant(floats, [value] * LANES) for value in (1.0, 127.0))
        kind = ir.FunctionType(floats, [floats])
        size = cgutils.get_or_insert_function(b.module, kind, "llvm.fabs.v8f32")
        for block, vector in enumerate(vectors):
            t = b.fmul(b.sitofp(vector, floats), gain)
            bent = b.fmul(most, b.fdiv(t, b.fadd(one, b.call(size, [t]))))
            whole = b.trunc(b.fptosi(bent, wide), vector_of(I16, LANES))
            store(b, whole, out, i64(LANES * block))
        return context.get_dummy_value()

    return signature, generate


LOG_SERIES = (5.5393e-1, 4.40219e-1, -2.76887e-3, 6.6158e-6, -1.36319e-8, 1.48729e-11)
"""log2(1 + m / 256) in 1/256, rounded, less m, is the whole part of this polynomial in m for m in 0..255."""


def _log2_q8(b: Any, vector: Any) -> Any:
    """`causal.log2_q8` of eight int32 in 1..2^24 at once: there float32 is exact, and has the leading bit as
    its exponent and the eight bits after it on top of its fraction."""
    wide, floats = vector.type, vector_of(F32, LANES)

    def whole(value: int) -> ir.Constant:
        return ir.Constant(wide, [value] * LANES)

    bits = b.lshr(b.bitcast(b.sitofp(vector, floats), wide), whole(15))
    m = b.sitofp(b.and_(bits, whole(255)), floats)
    terms = [ir.Constant(floats, [float(np.float32(term))] * LANES) for term in LOG_SERIES]
    more = terms[-1]
    for term in terms[-2::-1]:
        more = b.fadd(b.fmul(more, m), term)
    return b.add(b.sub(bits, whole(127 << 8)), b.fptosi(more, wide))


@intrinsic
def log_inputs(  # type: ignore[no-untyped-def]
    typing,
    log_scale,
    activity,
    near,
    wide,
    apart,
    phase,
    same,
    across,
    along,
    largest,
    first,
    second,
    third,
    fourth,
    fifth,
    count,
    known,
    inputs,
):
    """inputs[32..47]: logarithms of the activity and of recent errors against the local scale, in 1/16.

    All int64 but ``inputs`` (int16). ``first`` to ``fifth`` are those of predictors, -127 from the
    ``count``-th on; ``phase`` and ``same`` go in as they are; ``known`` alone stands against nothing, in 1/8.
    """
    i = types.int64
    signature = types.void(*[i] * 17, inputs)

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        out = data_of(context, b, signature.args[17], arguments[17])
        kind = vector_of(I32, LANES)
        (
            log_scale,
            activity,
            near,
            wide,
            apart,
            phase,
            same,
            across,
            along,
            largest,
            *recent,
            count,
            known,
        ) = (b.trunc(argument, I32) for argument in arguments[:17])
        one = ir.Constant(I32, 1)
        values = packed(
            b,
            [one, activity, near, wide, apart, one, one, across, along, largest, *recent, known],
        )
        against = splat(b, log_scale, LANES)
        lowest, highest = (ir.Constant(kind, [value] * LANES) for value in (-127, 127))

        def bounded(vector: Any) -> Any:
            vector = b.select(b.icmp_signed("<", vector, lowest), lowest, vector)
            return b.select(b.icmp_signed(">", vector, highest), highest, vector)

        def lane(number: int) -> ir.Constant:
            return ir.Constant(I32, number)

        # Above eight values per scale the cut into whole values no longer matters: say no more than that.
        loudness = b.ashr(b.sub(log_scale, ir.Constant(I32, 2304)), ir.Constant(I32, 4))
        loudness = b.select(b.icmp_signed("<", loudness, lane(0)), loudness, lane(0))
        left = b.ashr(b.sub(_log2_q8(b, values[0]), against), ir.Constant(kind, [4] * LANES))
        left = b.insert_element(left, loudness, lane(0))
        left = b.insert_element(bounded(left), phase, lane(5))
        left = b.insert_element(left, same, lane(6))
        nothing = b.insert_element(against, lane(0), lane(7))
        right = b.ashr(b.sub(_log2_q8(b, values[1]), nothing), ir.Constant(kind, [4] * 7 + [5]))
        number = ir.Constant(kind, [-1, -1, 0, 1, 2, 3, 4, -1])
        right = b.select(b.icmp_signed("<", number, splat(b, count, LANES)), right, lowest)
        for vector, at in ((left, 32), (bounded(right), 40)):
            store(b, b.trunc(vector, vector_of(I16, LANES)), out, i64(at))
        return context.get_dummy_value()

    return signature, generate
