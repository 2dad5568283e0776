"""Rows of the wavelet in vectors of float32: loops that numba's own vectoriser leaves scalar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..lanes import F32, I32, LANES, data_of, i64, load, splat, vector_of


def _by_eight(b: Any, count: Any, body: Callable[[Any, int], None]) -> None:
    """body(index, lanes) for eight at a time, then for those that are left one by one."""
    whole = b.and_(count, i64(-LANES))
    with cgutils.for_range_slice(b, i64(0), whole, i64(LANES), intp=whole.type) as (index, _):
        body(index, LANES)
    with cgutils.for_range_slice(b, whole, count, i64(1), intp=whole.type) as (index, _):
        body(index, 1)


def _get(b: Any, base: Any, index: Any, lanes: int) -> Any:
    return load(b, base, index, F32, lanes)


def _put(b: Any, value: Any, base: Any, index: Any) -> None:
    place = b.bitcast(b.gep(base, [index]), value.type.as_pointer())
    b.store(value, place).align = 4


@intrinsic
def lift(typing, to, at, one, one_at, two, two_at, c, count):  # type: ignore[no-untyped-def]
    """to[at + k] -= c * (one[one_at + k] + two[two_at + k]) for k below count; float32, flat, C order."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        t, o, w = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 4))

        def body(k: Any, lanes: int) -> None:
            total = b.fadd(
                _get(b, o, b.add(arguments[3], k), lanes), _get(b, w, b.add(arguments[5], k), lanes)
            )
            place = b.add(arguments[1], k)
            by = splat(b, arguments[6], lanes)
            _put(b, b.fsub(_get(b, t, place, lanes), b.fmul(by, total)), t, place)

        _by_eight(b, arguments[7], body)
        return context.get_dummy_value()

    i = types.int64
    return types.void(to, i, one, i, two, i, types.float32, i), generate


@intrinsic
def scale(typing, to, at, source, source_at, first, second, count):  # type: ignore[no-untyped-def]
    """to[at + k] = (source[source_at + k] * first) * second for k below count."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        t, s = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2))

        def body(k: Any, lanes: int) -> None:
            once = b.fmul(_get(b, s, b.add(arguments[3], k), lanes), splat(b, arguments[4], lanes))
            _put(b, b.fmul(once, splat(b, arguments[5], lanes)), t, b.add(arguments[1], k))

        _by_eight(b, arguments[6], body)
        return context.get_dummy_value()

    i, f = types.int64, types.float32
    return types.void(to, i, source, i, f, f, i), generate


@intrinsic
def interleave(typing, to, at, even, odd, odd_at, count):  # type: ignore[no-untyped-def]
    """to[at + 2k] = even[k], to[at + 2k + 1] = odd[odd_at + k] for k below count."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        t, e, o = (data_of(context, b, signature.args[k], arguments[k]) for k in (0, 2, 3))

        def body(k: Any, lanes: int) -> None:
            order = [lane // 2 + lanes * (lane % 2) for lane in range(2 * lanes)]
            mask = ir.Constant(vector_of(I32, 2 * lanes), order)
            both = b.shuffle_vector(_get(b, e, k, lanes), _get(b, o, b.add(arguments[4], k), lanes), mask)
            _put(b, both, t, b.add(arguments[1], b.shl(k, i64(1))))

        _by_eight(b, arguments[5], body)
        return context.get_dummy_value()

    i = types.int64
    return types.void(to, i, even, odd, i, i), generate
