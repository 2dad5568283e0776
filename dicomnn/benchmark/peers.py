"""The standards: a plane in, a codestream out, and back. Each through the library that others use too.

JPEG-LS is CharLS (through pyjpegls, which takes the true precision), JPEG XL libjxl, JPEG 2000 OpenJPEG,
HTJ2K OpenJPH (through imagecodecs). One thread, unless `threads` says otherwise. Output buffers have twice
the size of the input: noise does not fit into one times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomnn.codec.tiles import Grid
from dicomnn.errors import UsageError

Streams = list[bytes | bytearray]


@dataclass(frozen=True)
class Peer:
    """`encode` gives the codestreams of a plane (rows, columns), uint8 or uint16; `decode` the plane of that
    shape and dtype again. `near` is the largest difference that is allowed.
    """

    key: str
    label: str
    encode: Callable[[np.ndarray], Streams]
    decode: Callable[[Streams, tuple[int, int]], np.ndarray]
    near: int = 0


LABELS = {
    "jpegls": "JPEG-LS",
    "jpegls-tiles": "JPEG-LS 256 tiles",
    "jxl-e7": "JPEG XL e7",
    "jxl-e9": "JPEG XL e9",
    "jpeg2000": "JPEG 2000",
    "htj2k": "HTJ2K",
}
PEERS = tuple(LABELS)
NEAR, THREADED = "jpegls-near:", "jxl-e7-threads:"


def label_of(key: str) -> str:
    """The name in tables."""
    if key.startswith(NEAR):
        return f"JPEG-LS NEAR={key.removeprefix(NEAR)}"
    if key.startswith(THREADED):
        return f"JPEG XL e7, 1 process of {key.removeprefix(THREADED)} threads"
    return LABELS[key]


def peer(key: str) -> Peer:
    """The peer of a key: one of PEERS, 'jpegls-near:N' or 'jxl-e7-threads:N'. Raises UsageError."""
    if key.startswith(NEAR):
        near = int(key.removeprefix(NEAR))
        return Peer(key, label_of(key), lambda plane: [_jpegls(plane, near)], _whole(_jpegls_back), near)
    if key.startswith(THREADED):
        return _jpeg_xl(key, 7, int(key.removeprefix(THREADED)))
    if key not in LABELS:
        raise UsageError(f"'{key}' is no peer; the peers are {', '.join(PEERS)}")
    if key == "jpegls":
        return Peer(key, label_of(key), lambda plane: [_jpegls(plane, 0)], _whole(_jpegls_back))
    if key == "jpegls-tiles":
        return Peer(key, label_of(key), _tiles, _tiles_back)
    if key in ("jxl-e7", "jxl-e9"):
        return _jpeg_xl(key, int(key[-1]), 1)
    if key == "jpeg2000":
        return Peer(key, label_of(key), _jpeg2000, _whole(_jpeg2000_back))
    return Peer(key, label_of(key), _htj2k, _whole(_htj2k_back))


def precision(plane: np.ndarray) -> int:
    """Bits that the values need."""
    return max(1, int(plane.max()).bit_length())


def _whole(
    decode: Callable[[bytes | bytearray], np.ndarray],
) -> Callable[[Streams, tuple[int, int]], np.ndarray]:
    return lambda streams, shape: decode(streams[0]).reshape(shape)


def _room(plane: np.ndarray) -> int:
    return 2 * plane.nbytes + 4096


# ------------------------------------------------------------------ JPEG-LS (ITU-T T.87)
def _jpegls(plane: np.ndarray, near: int) -> bytes:
    from jpeg_ls import CharLS

    bits = max(2, precision(plane))
    near = min(near, 255, ((1 << bits) - 1) // 2)  # T.87 C.2.3
    try:
        return bytes(CharLS.encode_buffer(plane.tobytes(), *plane.shape, 1, bits, near))
    except RuntimeError:  # its output buffer is too small for a few pixels of noise
        import imagecodecs

        return bytes(imagecodecs.jpegls_encode(plane, near, out=_room(plane)))


def _jpegls_back(stream: bytes | bytearray) -> np.ndarray:
    from jpeg_ls import CharLS

    words, facts = CharLS.decode_buffer(stream)
    return np.frombuffer(words, np.uint8 if facts["bits_per_sample"] <= 8 else np.uint16)


def _tiles(plane: np.ndarray) -> Streams:
    return [_jpegls(tile, 0) for tile in Grid(*plane.shape).cut(plane)]


def _tiles_back(streams: Streams, shape: tuple[int, int]) -> np.ndarray:
    grid, plane = Grid(*shape), np.empty(shape, np.uint16)
    for number, stream in enumerate(streams):
        plane[grid.window(number)] = _jpegls_back(stream).reshape(grid.shape(number))
    return plane


# ------------------------------------------------------------------ the others
def _jpeg_xl(key: str, effort: int, threads: int) -> Peer:
    import imagecodecs

    def encode(plane: np.ndarray) -> Streams:
        options: dict[str, Any] = {"bitspersample": precision(plane), "numthreads": threads}
        return [imagecodecs.jpegxl_encode(plane, effort=effort, lossless=True, out=_room(plane), **options)]

    def decode(stream: bytes | bytearray) -> np.ndarray:
        return np.asarray(imagecodecs.jpegxl_decode(stream, numthreads=threads))

    return Peer(key, label_of(key), encode, _whole(decode))


def _jpeg2000(plane: np.ndarray) -> Streams:
    import imagecodecs

    return [
        imagecodecs.jpeg2k_encode(
            plane,
            level=0,
            reversible=True,
            codecformat="j2k",
            bitspersample=precision(plane),
            numthreads=1,
            out=_room(plane),
        )
    ]


def _jpeg2000_back(stream: bytes | bytearray) -> np.ndarray:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(stream, numthreads=1))


def _htj2k(plane: np.ndarray) -> Streams:
    import imagecodecs

    return [imagecodecs.htj2k_encode(plane, reversible=True, out=_room(plane))]


def _htj2k_back(stream: bytes | bytearray) -> np.ndarray:
    import imagecodecs

    return np.asarray(imagecodecs.htj2k_decode(stream))
