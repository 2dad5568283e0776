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
        vectors = [
            b.add(b.shl(load(b, v, i64(LANES * block), I32, LANES), four), level) for block in (0, 1)
        ]
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
