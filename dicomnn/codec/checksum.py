"""CRC-32C (Castagnoli; polynomial 0x1EDC6F41 reflected, as in iSCSI, RFC 3720 appendix B.4), eight bytes a
step: by the processor's instruction where it has one, else by tables.

Our own kernel: the usual library (crc32c) is LGPL, google-crc32c copies memory maps, and numba is needed
anyway.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from dicomnn.codec.lanes import I64, has

_POLYNOMIAL = 0x82F63B78


def _slices() -> np.ndarray:
    """Tables for slicing by eight: row k advances a byte by k further zero bytes."""
    tables = np.zeros((8, 256), np.uint32)
    remainder = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (remainder & 1).astype(bool)
        remainder = np.where(odd, (remainder >> 1) ^ np.uint32(_POLYNOMIAL), remainder >> 1)
    tables[0] = remainder
    for row in range(1, 8):
        before = tables[row - 1]
        tables[row] = (before >> 8) ^ tables[0][before & 0xFF]
    return tables


_SLICES = _slices()


@intrinsic
def _has_instruction(typing):  # type: ignore[no-untyped-def]
    """Whether code is generated for processors with an instruction for this very checksum (SSE 4.2)."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        return context.get_constant(types.boolean, has(context, "sse4.2"))

    return types.boolean(), generate


@intrinsic
def _by_instruction(typing, crc, word):  # type: ignore[no-untyped-def]
    """The checksum (uint64) after eight bytes; 0 without the instruction."""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        if not has(context, "sse4.2"):
            return context.get_constant(types.uint64, 0)
        kind = ir.FunctionType(I64, [I64, I64])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.sse42.crc32.64.64")
        return b.call(function, arguments)

    return types.uint64(types.uint64, types.uint64), generate


@numba.njit(cache=True, nogil=True)
def _update(crc, data, slices):  # type: ignore[no-untyped-def]  # numba infers the types
    crc = np.uint32(crc)
    byte = np.uint32(0xFF)
    whole = data.size // 8 * 8
    if _has_instruction():
        long = np.uint64(crc)
        for word in data[:whole].view(np.uint64):
            long = _by_instruction(long, word)
        crc = np.uint32(long)
    else:
        for start in range(0, whole, 8):
            low = crc ^ (
                np.uint32(data[start])
                | np.uint32(data[start + 1]) << np.uint32(8)
                | np.uint32(data[start + 2]) << np.uint32(16)
                | np.uint32(data[start + 3]) << np.uint32(24)
            )
            crc = np.uint32(
                slices[7, low & byte]
                ^ slices[6, (low >> np.uint32(8)) & byte]
                ^ slices[5, (low >> np.uint32(16)) & byte]
                ^ slices[4, (low >> np.uint32(24)) & byte]
                ^ slices[3, data[start + 4]]
                ^ slices[2, data[start + 5]]
                ^ slices[1, data[start + 6]]
                ^ slices[0, data[start + 7]]
            )
    for position in range(whole, data.size):
        crc = np.uint32((crc >> np.uint32(8)) ^ slices[0, (crc ^ np.uint32(data[position])) & byte])
    return crc


def crc32c(data: bytes | bytearray | memoryview, before: int = 0) -> int:
    """The checksum of ``data``, 0..2^32 - 1; of what has the checksum ``before`` and then ``data``."""
    view = np.frombuffer(data, np.uint8)
    return int(_update(np.uint32(before ^ 0xFFFFFFFF), view, _SLICES)) ^ 0xFFFFFFFF
