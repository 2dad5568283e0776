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

    stream = imagecodecs.jpeg2k_encode(
        plane.astype(np.uint8) if plane.max() < 256 else plane,
        level=level,  # type: ignore[arg-type]  # a float in OpenJPEG and in what wraps it
        reversible=False,
        codecformat="j2k",
        bitspersample=max(1, int(plane.max()).bit_length()),
        numthreads=1,
        out=2 * plane.nbytes + 4096,
    )
    return without_comment(bytes(stream))


def without_comment(stream: bytes) -> bytes:
    """A codestream less the comments of its main header (COM, ISO/IEC 15444-1 A.9.2): OpenJPEG's own takes 39
    bytes, which on 64x64 pixels is 0.08 bit of nothing.
    """
    kept, at = [stream[:2]], 2
    while stream[at : at + 2] != b"\xff\x90" and at + 4 <= len(stream):  # SOT ends the main header
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if stream[at : at + 2] != b"\xff\x64":
            kept.append(stream[at:end])
        at = end
    return b"".join([*kept, stream[at:]])


def decode(stream: bytes) -> np.ndarray:
    """(rows, columns) uint16."""
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1)).astype(np.uint16, copy=False)


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
