"""From classes of neighbours to logits: the small network of the contexts, in vectors of sixteen int16.

The first layer is a sum of table rows, one for each neighbour, chosen by its class; then 32 rectified sums
and a product for each logit. All sums fit their integers (the model is checked for that), so any order gives
the same; LLVM makes of these instructions what the processor has (`lanes`).
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..lanes import I16, I32, I64, data_of, i64, load, products, reduced, store, vector_of
from .contexts import CLASSES, INPUTS

HIDDEN = 32
HIDDEN_TOP = 511
LANES = 16


@intrinsic
def hidden(typing, weights, classes, bias, out):  # type: ignore[no-untyped-def]
    """weights (34, 16, 32) int16, classes (34,) uint8, bias (32,) int16 -> out (32,) int16, 0..511."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        w, x, add, to = (
            data_of(context, b, kind, value) for kind, value in zip(signature.args, arguments, strict=True)
        )
        wide = vector_of(I16, LANES)
        sums = [load(b, add, i64(half), I16, LANES) for half in range(0, HIDDEN, LANES)]
        for i in range(INPUTS):
            c = b.zext(b.load(b.gep(x, [i64(i)])), I64)
            row = b.add(b.mul(c, i64(HIDDEN)), i64(i * CLASSES * HIDDEN))
            for half in range(HIDDEN // LANES):
                part = load(b, w, b.add(row, i64(half * LANES)), I16, LANES)
                sums[half] = b.add(sums[half], part)
        for half, total in enumerate(sums):
            zero, top = ir.Constant(wide, [0] * LANES), ir.Constant(wide, [HIDDEN_TOP] * LANES)
            total = b.select(b.icmp_signed(">", total, zero), total, zero)
            total = b.select(b.icmp_signed("<", total, top), total, top)
            store(b, total, to, i64(half * LANES))
        return context.get_dummy_value()

    return types.void(weights, classes, bias, out), generate


@intrinsic
def head(typing, values, weights, which):  # type: ignore[no-untyped-def]
    """Sum of values (32,) int16 times row `which` of weights (4, 32) int16, as int64."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        h, w = (data_of(context, b, signature.args[i], arguments[i]) for i in (0, 1))
        row = b.mul(arguments[2], i64(HIDDEN))
        total = ir.Constant(vector_of(I32, LANES // 2), [0] * (LANES // 2))
        for start in range(0, HIDDEN, LANES):
            left = load(b, h, i64(start), I16, LANES)
            right = load(b, w, b.add(row, i64(start)), I16, LANES)
            total = b.add(total, products(b, context, left, right))
        return b.sext(reduced(b, total), I64)

    return types.int64(values, weights, types.int64), generate
