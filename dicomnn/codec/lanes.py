"""Vector kernels of the coding loop, written as LLVM instructions for numba.

Numba's own loop vectoriser does badly where a loop is short and its sums must stay in registers,
which is all that the coding loop does: outer products of samples, triangular solves, dense layers.
Here the instructions are written out, once for all processors: LLVM lowers them to whatever vectors
the machine has. Only the pairwise product of 16-bit integers is called by name where the processor has
it (AVX2); elsewhere the same integers come from plain multiplications.

Everything is exact integer arithmetic, or float32 operations in one fixed order without contraction
(LLVM does not contract what carries no fast-math flag), so all machines get the same bits.
`docs/format-neural.md` has the same arithmetic in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
LANES = 8
CHAINS = 8
SAMPLE = 32
"""Entries of a sample vector: the target, up to 30 neighbours, a zero."""


def triangle(neighbours: int) -> list[tuple[int, int, int]]:
    """(row, block, offset) of the packed lower triangle of a (K + 1) x (K + 1) matrix, rows 1..K.

    Row i holds columns 0..i in blocks of eight lanes; lanes beyond i are there and mean nothing.
    Column 0 belongs to the target, so it is the right side of the normal equations.
    """
    out, offset = [], 0
    for row in range(1, neighbours + 1):
        for block in range(row // LANES + 1):
            out.append((row, block, offset))
            offset += LANES
    return out


def triangle_size(neighbours: int) -> int:
    """Entries of the packed triangle."""
    return LANES * len(triangle(neighbours))


def _vector(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def _i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def _data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value).data


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    kind = _vector(scalar.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_vector(I32, lanes), [0] * lanes))


def _load(builder: Any, base: Any, index: Any, element: ir.Type, lanes: int) -> Any:
    place = builder.bitcast(builder.gep(base, [index]), _vector(element, lanes).as_pointer())
    loaded = builder.load(place)
    loaded.align = 2 if element is I16 else 4
    return loaded


def _store(builder: Any, value: Any, base: Any, index: Any) -> None:
    place = builder.bitcast(builder.gep(base, [index]), value.type.as_pointer())
    builder.store(value, place).align = 2 if value.type.element is I16 else 4


def _has(context: Any, feature: str) -> bool:
    """Whether code is generated for processors with ``feature``; numba may be told of a lesser one."""
    return f"+{feature}" in context.codegen().magic_tuple()[2].split(",")


def _products(builder: Any, context: Any, a: Any, b: Any) -> Any:
    """(16 x int16, 16 x int16) -> 8 x int32: a[2i] * b[2i] + a[2i+1] * b[2i+1]."""
    pairs, wide = _vector(I16, 2 * LANES), _vector(I32, LANES)
    if _has(context, "avx2"):
        kind = ir.FunctionType(wide, [pairs, pairs])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.wd")
        return builder.call(function, [a, b])
    nothing = ir.Constant(pairs, ir.Undefined)

    def every_other(vector: Any, first: int) -> Any:
        mask = ir.Constant(wide, list(range(first, 2 * LANES, 2)))
        return builder.sext(builder.shuffle_vector(vector, nothing, mask), wide)

    even = builder.mul(every_other(a, 0), every_other(b, 0))
    return builder.add(even, builder.mul(every_other(a, 1), every_other(b, 1)))


def _add_products(builder: Any, context: Any, total: Any, a: Any, b: Any) -> Any:
    """total + `_products`, for long chains of such sums.

    Where one instruction does both (AVX-512 VNNI) it is called by name: left to itself LLVM uses it too, but
    puts chains that were kept apart in one row, each link of which waits for the one before.
    """
    if _has(context, "avx512vnni") and _has(context, "avx512vl"):
        wide = _vector(I32, LANES)
        kind = ir.FunctionType(wide, [wide, wide, wide])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpwssd.256")
        return builder.call(function, [total, builder.bitcast(a, wide), builder.bitcast(b, wide)])
    return builder.add(total, _products(builder, context, a, b))


def _entering_and_leaving(builder: Any, samples: Any, entering: Any, leaving: Any, blocks: int) -> Any:
    """Interleaved (entering, leaving) blocks, and a buffer of (entering, -leaving) pairs for the rows."""
    mask = ir.Constant(_vector(I32, 16), [k // 2 + 8 * (k % 2) for k in range(16)])
    buffer = cgutils.alloca_once(builder, I32, size=_i64(LANES * blocks))
    zero = ir.Constant(_vector(I16, LANES), [0] * LANES)
    columns = []
    for block in range(blocks):
        at = _i64(LANES * block)
        new = _load(builder, samples, builder.add(entering, at), I16, LANES)
        old = _load(builder, samples, builder.add(leaving, at), I16, LANES)
        columns.append(builder.shuffle_vector(new, old, mask))
        signed = builder.shuffle_vector(new, builder.sub(zero, old), mask)
        _store(builder, builder.bitcast(signed, _vector(I32, LANES)), buffer, at)
    return columns, buffer


def make_slide(neighbours: int) -> Callable[..., None]:
    """A kernel that moves a window by one pixel.

    slide(sums, s, columns, enters, leaves, samples, new, old, west, gone): all int64 indices into flat
    arrays (sums, columns int32; samples int16). The column that enters first takes the row that has
    become known and drops the row that is too far up; then the window takes that column, drops the column
    that leaves, takes the pixel to the west and drops the pixel too far west:
    columns[enters] += new new' - old old', then
    sums += columns[enters] - columns[leaves] + west west' - gone gone'.
    Sums wrap at 32 bits and are exact within the bounds of `predictors`.
    """
    layout = triangle(neighbours)
    blocks = neighbours // LANES + 1

    @intrinsic
    def slide(typing, sums, s, columns, enters, leaves, samples, new, old, west, gone):  # type: ignore[no-untyped-def]
        i = types.int64
        signature = types.void(sums, i, columns, i, i, samples, i, i, i, i)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            total, column, z = (
                _data(context, b, signature.args[k], arguments[k]) for k in (0, 2, 5)
            )
            s, enters, leaves = arguments[1], arguments[3], arguments[4]
            column_blocks, column_rows = _entering_and_leaving(b, z, arguments[6], arguments[7], blocks)
            pixel_blocks, pixel_rows = _entering_and_leaving(b, z, arguments[8], arguments[9], blocks)
            before = 0
            for row, block, offset in layout:
                if row != before:
                    before = row
                    pairs = _vector(I16, 2 * LANES)
                    of_column, of_pixel = (
                        b.bitcast(_splat(b, b.load(b.gep(rows, [_i64(row)])), LANES), pairs)
                        for rows in (column_rows, pixel_rows)
                    )
                at = _i64(offset)
                place = b.add(enters, at)
                change = _products(b, context, of_column, column_blocks[block])
                taken = b.add(_load(b, column, place, I32, LANES), change)
                _store(b, taken, column, place)
                dropped = _load(b, column, b.add(leaves, at), I32, LANES)
                place = b.add(s, at)
                value = b.add(_load(b, total, place, I32, LANES), b.sub(taken, dropped))
                _store(b, b.add(value, _products(b, context, of_pixel, pixel_blocks[block])), total, place)
            return context.get_dummy_value()

        return signature, generate

    return slide  # type: ignore[no-any-return]


def make_solve(neighbours: int) -> Callable[..., None]:
    """A kernel that solves the regularised normal equations of packed sums: LDL^T in float32.

    solve(sums, s, work, out): sums int32 (flat, from index s); work float32, at least
    triangle_size + 32 entries; out float32 (neighbours,). The farthest neighbour is eliminated first.
    """
    layout = triangle(neighbours)
    size = triangle_size(neighbours)
    offsets = {(row, block): offset for row, block, offset in layout}

    def at(row: int, column: int) -> ir.Constant:
        return _i64(offsets[row, column // LANES] + column % LANES)

    def constant(value: float) -> ir.Constant:
        return ir.Constant(F32, float(np.float32(value)))

    @intrinsic
    def solve(typing, sums, s, work, out):  # type: ignore[no-untyped-def]
        signature = types.void(sums, types.int64, work, out)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            total, m, w = (_data(context, b, signature.args[k], arguments[k]) for k in (0, 2, 3))
            s = arguments[1]
            floats = _vector(F32, LANES)
            for _, _, offset in layout:
                whole = _load(b, total, b.add(s, _i64(offset)), I32, LANES)
                _store(b, b.sitofp(whole, floats), m, _i64(offset))

            def get(row: int, column: int) -> Any:
                return b.load(b.gep(m, [at(row, column)]))

            def put(value: Any, row: int, column: int) -> None:
                b.store(value, b.gep(m, [at(row, column)]))

            trace = get(1, 1)
            for k in range(2, neighbours + 1):
                trace = b.fadd(trace, get(k, k))
            ridge = b.fadd(b.fmul(trace, constant(1e-4 / neighbours)), constant(65.0))
            for k in range(1, neighbours + 1):
                put(b.fadd(get(k, k), ridge), k, k)
            for k in (1, 2):
                put(b.fadd(get(k, 0), b.fmul(ridge, constant(0.4))), k, 0)
            least = b.fmul(ridge, constant(0.5))
            inverses = {}
            for k in range(neighbours, 0, -1):
                pivot = get(k, k)
                pivot = b.select(b.fcmp_ordered("<", pivot, least), least, pivot)
                inverses[k] = b.fdiv(constant(1.0), pivot)
                row = [
                    _load(b, m, _i64(offsets[k, block]), F32, LANES) for block in range(k // LANES + 1)
                ]
                for block, values in enumerate(row):
                    scaled = b.fmul(values, _splat(b, inverses[k], LANES))
                    _store(b, scaled, m, _i64(size + LANES * block))
                for i in range(1, k):
                    factor = _splat(b, b.load(b.gep(m, [_i64(size + i)])), LANES)
                    for block in range(i // LANES + 1):
                        place = _i64(offsets[i, block])
                        change = b.fmul(factor, row[block])
                        _store(b, b.fsub(_load(b, m, place, F32, LANES), change), m, place)
            # Row k says: pivot * w[k] = right side - sum over nearer neighbours; the nearest is known first.
            rest = {k: get(k, 0) for k in range(1, neighbours + 1)}
            for k in range(1, neighbours + 1):
                solution = b.fmul(rest[k], inverses[k])
                b.store(solution, b.gep(w, [_i64(k - 1)]))
                for i in range(k + 1, neighbours + 1):
                    rest[i] = b.fsub(rest[i], b.fmul(get(i, k), solution))
            return context.get_dummy_value()

        return signature, generate

    return solve  # type: ignore[no-any-return]


def make_dot(blocks: int) -> Callable[..., int]:
    """A kernel for a dot product: the int64 sum of 8 * ``blocks`` products of int32 entries.

    dot(a, first_a, b, first_b): flat int32 arrays, from the given indices on.
    """

    @intrinsic
    def dot(typing, a, first_a, b, first_b):  # type: ignore[no-untyped-def]
        signature = types.int64(a, types.int64, b, types.int64)
        wide = _vector(I64, LANES)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, y = (_data(context, builder, signature.args[k], arguments[k]) for k in (0, 2))
            total = None
            for block in range(blocks):
                at = _i64(LANES * block)
                left = _load(builder, x, builder.add(arguments[1], at), I32, LANES)
                right = _load(builder, y, builder.add(arguments[3], at), I32, LANES)
                product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
                total = product if total is None else builder.add(total, product)
            kind = ir.FunctionType(I64, [wide])
            reduce = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.add.v8i64")
            return builder.call(reduce, [total])

        return signature, generate

    return dot  # type: ignore[no-any-return]


def _layer(
    builder: Any, context: Any, signature: Any, arguments: Any, inputs: int, outputs: int
) -> list[Any]:
    """Sums of a dense layer, as blocks of eight: bias + x W."""
    blocks = outputs // LANES
    x, weights, bias = (_data(context, builder, signature.args[k], arguments[k]) for k in range(3))
    # Enough chains of additions side by side that none waits for itself.
    chains = max(1, CHAINS // blocks)
    nothing = ir.Constant(_vector(I32, LANES), [0] * LANES)
    sums = [[nothing] * chains for _ in range(blocks)]
    for block in range(blocks):
        sums[block][0] = _load(builder, bias, _i64(LANES * block), I32, LANES)
    pairs = builder.bitcast(x, I32.as_pointer())
    for i in range(inputs // 2):
        pair = builder.load(builder.gep(pairs, [_i64(i)]))
        pair.align = 2
        both = builder.bitcast(_splat(builder, pair, LANES), _vector(I16, 2 * LANES))
        for block in range(blocks):
            weight = _load(builder, weights, _i64((i * blocks + block) * 2 * LANES), I16, 2 * LANES)
            chain = sums[block][i % chains]
            sums[block][i % chains] = _add_products(builder, context, chain, both, weight)
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
            out = _data(context, b, signature.args[3], arguments[3])
            for block, total in enumerate(_layer(b, context, signature, arguments, inputs, outputs)):
                _store(b, total, out, _i64(LANES * block))
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
        wide = _vector(I32, LANES)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            gain, out = (_data(context, b, signature.args[k], arguments[k]) for k in (3, 4))
            low, high = (ir.Constant(wide, [value] * LANES) for value in (0, 255))
            for block, total in enumerate(_layer(b, context, signature, arguments, inputs, outputs)):
                scaled = b.mul(
                    b.ashr(total, ir.Constant(wide, [shift] * LANES)),
                    _load(b, gain, _i64(LANES * block), I32, LANES),
                )
                value = b.ashr(scaled, ir.Constant(wide, [6] * LANES))
                value = b.select(b.icmp_signed("<", value, low), low, value)
                value = b.select(b.icmp_signed(">", value, high), high, value)
                _store(b, b.trunc(value, _vector(I16, LANES)), out, _i64(LANES * block))
            return context.get_dummy_value()

        return signature, generate

    return hidden  # type: ignore[no-any-return]


def interleaved(weights: np.ndarray) -> np.ndarray:
    """(inputs, outputs) int16 weights as `make_dense` reads them: by pair of inputs, then output."""
    inputs, outputs = weights.shape
    pairs = weights.reshape(inputs // 2, 2, outputs).transpose(0, 2, 1)
    return np.ascontiguousarray(pairs, dtype=np.int16).ravel()


@intrinsic
def leading_parts(typing, value):  # type: ignore[no-untyped-def]
    """256 * n + m of an int64 >= 1: n the index of its highest set bit, m the eight bits after it."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(I64, [I64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.ctlz.i64")
        zeros = b.call(function, [arguments[0], ir.Constant(ir.IntType(1), 1)])
        after = b.and_(b.lshr(b.shl(arguments[0], zeros), _i64(55)), _i64(255))
        return b.or_(b.shl(b.sub(_i64(63), zeros), _i64(8)), after)

    return types.int64(types.int64), generate
