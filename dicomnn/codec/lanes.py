"""The vectors of the coding loop's kernels: small pieces that write LLVM instructions for numba.

Numba's own loop vectoriser does badly where a loop is short and its sums must stay in registers,
which is all that the coding loop does: outer products of samples, triangular solves, dense layers.
So the instructions are written out (`window_lanes`, `network_lanes`), once for all processors: LLVM lowers
them to whatever vectors the machine has. Only products of 16-bit integers are called by name where the
processor has them (AVX2, AVX-512 VNNI); elsewhere the same integers come from plain multiplications.

Everything is exact integer arithmetic, or float32 operations in one fixed order without contraction
(LLVM does not contract what carries no fast-math flag), so all machines get the same bits.
`docs/format-neural.md` has the same arithmetic in words.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
LANES = 8


def vector_of(element: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def data_of(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value).data


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    kind = vector_of(scalar.type, lanes)
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(vector_of(I32, lanes), [0] * lanes))


def load(builder: Any, base: Any, index: Any, element: ir.Type, lanes: int) -> Any:
    place = builder.bitcast(builder.gep(base, [index]), vector_of(element, lanes).as_pointer())
    loaded = builder.load(place)
    loaded.align = 2 if element is I16 else 4
    return loaded


def store(builder: Any, value: Any, base: Any, index: Any) -> None:
    place = builder.bitcast(builder.gep(base, [index]), value.type.as_pointer())
    builder.store(value, place).align = 2 if value.type.element is I16 else 4


def has(context: Any, feature: str) -> bool:
    """Whether code is generated for processors with ``feature``; numba may be told of a lesser one."""
    return f"+{feature}" in context.codegen().magic_tuple()[2].split(",")


def products(builder: Any, context: Any, a: Any, b: Any) -> Any:
    """(16 x int16, 16 x int16) -> 8 x int32: a[2i] * b[2i] + a[2i+1] * b[2i+1]."""
    pairs, wide = vector_of(I16, 2 * LANES), vector_of(I32, LANES)
    if has(context, "avx2"):
        kind = ir.FunctionType(wide, [pairs, pairs])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.wd")
        return builder.call(function, [a, b])
    nothing = ir.Constant(pairs, ir.Undefined)

    def every_other(vector: Any, first: int) -> Any:
        mask = ir.Constant(wide, list(range(first, 2 * LANES, 2)))
        return builder.sext(builder.shuffle_vector(vector, nothing, mask), wide)

    even = builder.mul(every_other(a, 0), every_other(b, 0))
    return builder.add(even, builder.mul(every_other(a, 1), every_other(b, 1)))


def add_products(builder: Any, context: Any, total: Any, a: Any, b: Any) -> Any:
    """total + `products`, for long chains of such sums.

    Where one instruction does both (AVX-512 VNNI) it is called by name: left to itself LLVM uses it too, but
    puts chains that were kept apart in one row, each link of which waits for the one before.
    """
    if has(context, "avx512vnni") and has(context, "avx512vl"):
        wide = vector_of(I32, LANES)
        kind = ir.FunctionType(wide, [wide, wide, wide])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpwssd.256")
        return builder.call(function, [total, builder.bitcast(a, wide), builder.bitcast(b, wide)])
    return builder.add(total, products(builder, context, a, b))


def reduced(builder: Any, vector: Any) -> Any:
    """Sum of the lanes of a vector of integers."""
    element = vector.type.element
    kind = ir.FunctionType(element, [vector.type])
    name = f"llvm.vector.reduce.add.v{vector.type.count}i{element.width}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


def packed(builder: Any, scalars: list[Any]) -> list[Any]:
    """Vectors of eight int32 from scalars, the last filled up with zeros.

    Through registers: to write scalars and read them as a vector makes the processor wait.
    """
    vectors = []
    for first in range(0, len(scalars), LANES):
        vector = ir.Constant(vector_of(I32, LANES), [0] * LANES)
        for lane, scalar in enumerate(scalars[first : first + LANES]):
            vector = builder.insert_element(vector, scalar, ir.Constant(I32, lane))
        vectors.append(vector)
    return vectors


def entries(builder: Any, base: Any, at: Any, offsets: Any, count: int) -> list[Any]:
    """base[at + offsets[k]] of the first ``count`` offsets."""
    places = (builder.load(builder.gep(offsets, [i64(k)])) for k in range(count))
    return [builder.load(builder.gep(base, [builder.add(at, place)])) for place in places]


@intrinsic
def leading_parts(typing, value):  # type: ignore[no-untyped-def]
    """256 * n + m of an int64 >= 1: n the index of its highest set bit, m the eight bits after it."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(I64, [I64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.ctlz.i64")
        zeros = b.call(function, [arguments[0], ir.Constant(ir.IntType(1), 1)])
        after = b.and_(b.lshr(b.shl(arguments[0], zeros), i64(55)), i64(255))
        return b.or_(b.shl(b.sub(i64(63), zeros), i64(8)), after)

    return types.int64(types.int64), generate
