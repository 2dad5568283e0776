"""CRC-32C (Castagnoli; polynomial 0x1EDC6F41 reflected, as in iSCSI, RFC 3720 appendix B.4), eight bytes a
step.

Our own kernel: the usual library (crc32c) is LGPL, google-crc32c copies memory maps, and numba is needed
anyway.
"""

from __future__ import annotations

import numba
import numpy as np

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


@numba.njit(cache=True, nogil=True)
def _update(crc, data, slices):  # type: ignore[no-untyped-def]  # numba infers the types
    crc = np.uint32(crc)
    byte = np.uint32(0xFF)
    whole = data.size // 8 * 8
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


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The checksum of ``data``, 0..2^32 - 1."""
    view = np.frombuffer(data, np.uint8)
    return int(_update(np.uint32(0xFFFFFFFF), view, _SLICES)) ^ 0xFFFFFFFF
