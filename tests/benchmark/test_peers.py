"""Every peer gives back what it got, is told the true precision, and keeps its bound."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnn.benchmark.peers import PEERS, peer, precision
from dicomnn.codec.tiles import Grid
from dicomnn.errors import UsageError

RANDOM = np.random.default_rng(4)
PLANES = {
    "smooth": (2000 + 900 * np.sin(np.add.outer(np.arange(300) / 40, np.arange(270) / 30))).astype("u2"),
    "noise of 16 bits": RANDOM.integers(0, 1 << 16, (90, 70)).astype("u2"),
    "noise of 8 bits": RANDOM.integers(0, 256, (70, 90)).astype("u1"),
    "constant": np.zeros((40, 50), "u1"),
    "one pixel": np.full((1, 1), 7, "u1"),
    "three pixels of noise": np.array([[60000, 3, 41234]], "u2"),
    "one row": RANDOM.integers(0, 4096, (1, 700)).astype("u2"),
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("key", [*PEERS, "jxl-e7-threads:2"])
def test_a_plane_comes_back_from_every_peer(key: str, name: str) -> None:
    codec, plane = peer(key), PLANES[name]
    streams = codec.encode(plane)
    assert np.array_equal(codec.decode(streams, plane.shape), plane)
    assert len(streams) == (Grid(*plane.shape).count if key == "jpegls-tiles" else 1)


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("near", [1, 8])
def test_near_lossless_keeps_its_bound_and_is_smaller(near: int, name: str) -> None:
    codec, plane = peer(f"jpegls-near:{near}"), PLANES[name]
    streams = codec.encode(plane)
    decoded = codec.decode(streams, plane.shape)
    assert np.abs(decoded.astype(int) - plane).max() <= codec.near == near
    if "noise of" in name:
        assert len(streams[0]) < 0.98 * len(peer("jpegls").encode(plane)[0])


def test_the_true_precision_is_declared() -> None:
    plane = PLANES["smooth"]
    assert precision(plane) == 12
    jpegls, jpeg2000 = peer("jpegls").encode(plane)[0], peer("jpeg2000").encode(plane)[0]
    assert jpegls[jpegls.index(b"\xff\xf7") + 4] == 12, "P of SOF55 (T.87 C.2.2)"
    assert jpeg2000[jpeg2000.index(b"\xff\x51") + 40] == 12 - 1, "Ssiz of SIZ (T.800 A.5.1)"
    # JPEG XL has no marker to look at; it is told by what it costs to be told wrong.
    import imagecodecs

    assert len(peer("jxl-e7").encode(plane)[0]) <= len(
        imagecodecs.jpegxl_encode(plane, effort=7, lossless=True, numthreads=1)
    )


def test_an_unknown_peer_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no peer"):
        peer("png")
