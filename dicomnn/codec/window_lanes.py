"""Kernels of the least-squares windows: sums that slide, normal equations solved, neighbours read."""

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
    I64,
    LANES,
    data_of,
    entries,
    i64,
    load,
    packed,
    products,
    reduced,
    splat,
    store,
    vector_of,
)

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


def _entering_and_leaving(builder: Any, samples: Any, entering: Any, leaving: Any, blocks: int) -> Any:
    """Interleaved (entering, leaving) blocks, and a buffer of (entering, -leaving) pairs for the rows."""
    mask = ir.Constant(vector_of(I32, 16), [k // 2 + 8 * (k % 2) for k in range(16)])
    buffer = cgutils.alloca_once(builder, I32, size=i64(LANES * blocks))
    zero = ir.Constant(vector_of(I16, LANES), [0] * LANES)
    columns = []
    for block in range(blocks):
        at = i64(LANES * block)
        new = load(builder, samples, builder.add(entering, at), I16, LANES)
        old = load(builder, samples, builder.add(leaving, at), I16, LANES)
        columns.append(builder.shuffle_vector(new, old, mask))
        signed = builder.shuffle_vector(new, builder.sub(zero, old), mask)
        store(builder, builder.bitcast(signed, vector_of(I32, LANES)), buffer, at)
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
                data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 5)
            )
            s, enters, leaves = arguments[1], arguments[3], arguments[4]
            column_blocks, column_rows = _entering_and_leaving(b, z, arguments[6], arguments[7], blocks)
            pixel_blocks, pixel_rows = _entering_and_leaving(b, z, arguments[8], arguments[9], blocks)
            before = 0
            for row, block, offset in layout:
                if row != before:
                    before = row
                    pairs = vector_of(I16, 2 * LANES)
                    of_column, of_pixel = (
                        b.bitcast(splat(b, b.load(b.gep(rows, [i64(row)])), LANES), pairs)
                        for rows in (column_rows, pixel_rows)
                    )
                at = i64(offset)
                place = b.add(enters, at)
                change = products(b, context, of_column, column_blocks[block])
                taken = b.add(load(b, column, place, I32, LANES), change)
                store(b, taken, column, place)
                dropped = load(b, column, b.add(leaves, at), I32, LANES)
                place = b.add(s, at)
                value = b.add(load(b, total, place, I32, LANES), b.sub(taken, dropped))
                store(b, b.add(value, products(b, context, of_pixel, pixel_blocks[block])), total, place)
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
        return i64(offsets[row, column // LANES] + column % LANES)

    def constant(value: float) -> ir.Constant:
        return ir.Constant(F32, float(np.float32(value)))

    @intrinsic
    def solve(typing, sums, s, work, out):  # type: ignore[no-untyped-def]
        signature = types.void(sums, types.int64, work, out)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            total, m, w = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 3))
            s = arguments[1]
            floats = vector_of(F32, LANES)

            def get(row: int, column: int) -> Any:
                return b.load(b.gep(m, [at(row, column)]))

            def diagonal(k: int) -> Any:
                return b.sitofp(b.load(b.gep(total, [b.add(s, at(k, k))])), F32)

            trace = diagonal(1)
            for k in range(2, neighbours + 1):
                trace = b.fadd(trace, diagonal(k))
            ridge = b.fadd(b.fmul(trace, constant(1e-4 / neighbours)), constant(65.0))
            least = b.fmul(ridge, constant(0.5))
            # The ridge is added while whole vectors are at hand: a vector read behind scalar writes waits.
            first = b.fmul(ridge, constant(0.4))
            for row, block, offset in layout:
                whole = b.sitofp(load(b, total, b.add(s, i64(offset)), I32, LANES), floats)
                added = ir.Constant(floats, [0.0] * LANES)
                if row in (1, 2) and block == 0:
                    added = b.insert_element(added, first, ir.Constant(I32, 0))
                if block == row // LANES:
                    added = b.insert_element(added, ridge, ir.Constant(I32, row % LANES))
                store(b, b.fadd(whole, added), m, i64(offset))
            inverses = {}
            for k in range(neighbours, 0, -1):
                pivot = get(k, k)
                pivot = b.select(b.fcmp_ordered("<", pivot, least), least, pivot)
                inverses[k] = b.fdiv(constant(1.0), pivot)
                row = [
                    load(b, m, i64(offsets[k, block]), F32, LANES) for block in range(k // LANES + 1)
                ]
                for block, values in enumerate(row):
                    scaled = b.fmul(values, splat(b, inverses[k], LANES))
                    store(b, scaled, m, i64(size + LANES * block))
                for i in range(1, k):
                    factor = splat(b, b.load(b.gep(m, [i64(size + i)])), LANES)
                    for block in range(i // LANES + 1):
                        place = i64(offsets[i, block])
                        change = b.fmul(factor, row[block])
                        store(b, b.fsub(load(b, m, place, F32, LANES), change), m, place)
            # Row k says: pivot * w[k] = right side - sum over nearer neighbours; the nearest is known first.
            rest = {k: get(k, 0) for k in range(1, neighbours + 1)}
            for k in range(1, neighbours + 1):
                solution = b.fmul(rest[k], inverses[k])
                b.store(solution, b.gep(w, [i64(k - 1)]))
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
        wide = vector_of(I64, LANES)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, y = (data_of(context, builder, signature.args[k], arguments[k]) for k in (0, 2))
            total = None
            for block in range(blocks):
                at = i64(LANES * block)
                left = load(builder, x, builder.add(arguments[1], at), I32, LANES)
                right = load(builder, y, builder.add(arguments[3], at), I32, LANES)
                product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
                total = product if total is None else builder.add(total, product)
            return reduced(builder, total)

        return signature, generate

    return dot  # type: ignore[no-any-return]


def make_gather(neighbours: int) -> Callable[..., tuple[int, int]]:
    """A kernel that reads the neighbours of a pixel.

    gather(padded, at, offsets, values) -> (m4, activity): ``padded`` flat int32, ``at`` the pixel's index,
    ``offsets`` int64 (at least ``neighbours``,). m4 is the sum of the nearest four; values (int32, a multiple
    of eight entries is written) become 4 * neighbour - m4; activity is the sum of the first ten |values|.
    """

    @intrinsic
    def gather(typing, padded, at, offsets, values):  # type: ignore[no-untyped-def]
        signature = types.UniTuple(types.int64, 2)(padded, types.int64, offsets, values)

        def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
            base, places, out = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 3))
            pixels = entries(b, base, arguments[1], places, neighbours)
            m4 = b.add(b.add(pixels[0], pixels[1]), b.add(pixels[2], pixels[3]))
            wide, middle = vector_of(I32, LANES), splat(b, m4, LANES)
            two, nothing = (ir.Constant(wide, [value] * LANES) for value in (2, 0))
            sizes = []
            for block, vector in enumerate(packed(b, pixels)):
                value = b.sub(b.shl(vector, two), middle)
                store(b, value, out, i64(LANES * block))
                if block < 2:
                    sizes.append(b.select(b.icmp_signed("<", value, nothing), b.sub(nothing, value), value))
            tenth = ir.Constant(wide, [-1, -1] + [0] * (LANES - 2))
            activity = reduced(b, b.add(sizes[0], b.and_(sizes[1], tenth)))
            both = [b.sext(m4, I64), b.sext(activity, I64)]
            return context.make_tuple(b, signature.return_type, both)

        return signature, generate

    return gather  # type: ignore[no-any-return]
