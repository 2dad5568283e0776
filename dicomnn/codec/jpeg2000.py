"""JPEG 2000 with loss (OpenJPEG, irreversible 9/7): what a standard would have needed. Never stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LEAST, MOST = 20, 125
"""PSNR asked for, dB of a container of 8 or 16 bits."""


def encode(plane: np.ndarray, level: float) -> bytes:
    """A bare codestream of a plane (rows, columns) uint16. The PSNR asked for, `level`, is one of the
    container's 8 or 16 bits; what counts is the one measured."""
    import imagecodecs

    return bytes(
        imagecodecs.jpeg2k_encode(
            plane.astype(np.uint8) if plane.max() < 256 else plane,
            level=int(level),
            reversible=False,
            codecformat="j2k",
            bitspersample=max(1, int(plane.max()).bit_length()),
            numthreads=1,
            out=2 * plane.nbytes + 4096,
        )
    )


def decode(stream: bytes) -> np.ndarray:
    """(rows, columns) uint16."""
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1)).astype(np.uint16)


def bytes_for(plane: np.ndarray, figure: Callable[[np.ndarray], float], least: float) -> int | None:
    """Bytes of the coarsest codestream whose decoded plane has a `figure` of at least `least`; None where
    none has, or the encoder cannot take the plane. Steps of 1 dB, found by halving: some seven codings."""
    if int(plane.max()) == int(plane.min()):
        return None

    def size(level: int) -> int | None:
        stream = encode(plane, level)
        return len(stream) if figure(decode(stream)) >= least else None

    try:
        low, high = LEAST, MOST
        best = size(high)
        if best is None:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            found = size(middle)
            if found is None:
                low = middle
            else:
                high, best = middle, found
        return best
    except Exception:  # noqa: BLE001 - the encoder's own kinds of errors: a figure to compare with, no more
        return None
