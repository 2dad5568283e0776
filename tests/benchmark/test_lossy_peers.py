"""The lossy anchors are fed fairly: true precision, full range, streams that really decode."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from dicomnn.benchmark.lossy_peers import LOSSY_PEERS, at_size, lossy_peer
from dicomnn.benchmark.lossy_points import shown, window_of
from dicomnn.errors import DicomnnError, UsageError


def scene(peak: int) -> np.ndarray:
    y, x = np.mgrid[:96, :80]
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 80))
    return np.rint(peak * np.clip(0.5 + 0.4 * np.sin(x / 9 + y / 17) + noise, 0, 1)).astype(np.uint16)


@pytest.mark.parametrize("key", LOSSY_PEERS)
@pytest.mark.parametrize("peak", [200, 4095, 65535])
def test_a_finer_setting_costs_more_and_is_closer(key: str, peak: int) -> None:
    peer, plane = lossy_peer(key), scene(peak)
    points = []
    for setting in (peer.settings[len(peer.settings) // 3], peer.settings[-1]):
        stream = peer.encode(plane, setting)
        points.append(peer.point(plane, peer.decode(stream, plane), len(stream), setting, (0.0, 0.0)))
    coarse, fine = points
    assert coarse.rate < fine.rate
    assert coarse.windowed_psnr < fine.windowed_psnr and fine.windowed_psnr > 40
    assert key == "jpeg" or fine.psnr > 46


def test_what_is_no_lossy_peer_is_refused() -> None:
    with pytest.raises(UsageError):
        lossy_peer("gif")


@pytest.mark.parametrize("peak, bits", [(200, 8), (1023, 10), (4095, 12), (65535, 16)])
def test_streams_declare_the_bits_that_the_values_need(peak: int, bits: int) -> None:
    plane = scene(peak)
    jpeg2000 = lossy_peer("jpeg2000").encode(plane, 50.0)
    size = jpeg2000.index(b"\xff\x51")  # SIZ (ISO/IEC 15444-1 A.5.1): Ssiz stands 40 bytes on
    assert jpeg2000[size + 40] + 1 == bits
    jpegls = lossy_peer("jpegls").encode(plane, 2.0)
    frame = jpegls.index(b"\xff\xf7")  # SOF55 (ITU-T T.87 C.2.2): its precision stands 4 bytes on
    assert jpegls[frame + 4] == bits


def test_jpeg_2000_does_not_pay_for_a_comment() -> None:
    import imagecodecs

    plane = scene(4095)
    stream = lossy_peer("jpeg2000").encode(plane, 50.0)
    options = {"level": 50, "reversible": False, "codecformat": "j2k", "bitspersample": 12}
    whole = bytes(imagecodecs.jpeg2k_encode(plane, **options))
    assert b"Created by OpenJPEG" in whole and b"OpenJPEG" not in stream
    assert 30 < len(whole) - len(stream) < 60
    assert np.array_equal(imagecodecs.jpeg2k_decode(stream), imagecodecs.jpeg2k_decode(whole))


@pytest.mark.parametrize("key", ["jxl", "jxl-srgb"])
def test_jpeg_xl_gets_the_whole_of_its_range(key: str) -> None:
    import imagecodecs

    stream = lossy_peer(key).encode(scene(1023), 0.1)
    samples = np.asarray(imagecodecs.jpegxl_decode(stream))
    assert samples.dtype == np.uint16 and samples.max() > 50_000


def test_jpeg_has_windowed_figures_only() -> None:
    peer, plane = lossy_peer("jpeg"), scene(4095)
    stream = peer.encode(plane, 90.0)
    decoded = peer.decode(stream, plane)
    found = peer.point(plane, decoded, len(stream), 90.0, (0.0, 0.0))
    assert all(math.isnan(value) for value in (found.psnr, found.max_error, found.noise))
    off = shown(plane, window_of(plane)).astype(int) - decoded
    assert found.windowed_psnr == pytest.approx(10 * math.log10(255**2 / np.mean(off**2)))


def test_a_stream_that_decodes_to_another_picture_fails_the_frame() -> None:
    plane = scene(4095)
    peer = lossy_peer("jpegls")
    with pytest.raises(DicomnnError, match="decodes to"):
        peer.point(plane, plane[1:], 100, 2.0, (0.0, 0.0))
    with pytest.raises(DicomnnError, match="bound"):
        peer.point(plane, np.minimum(plane, 4000) + np.uint16(3), 100, 2.0, (0.0, 0.0))
    wrong = dataclasses.replace(lossy_peer("jpeg2000"), decode=lambda stream, _: plane.astype(np.uint8))
    with pytest.raises(DicomnnError, match="decodes to uint8"):
        wrong.point(plane, wrong.decode(b"", plane), 100, 2.0, (0.0, 0.0))


@pytest.mark.parametrize("key", ["jpeg2000", "jxl"])
def test_a_stream_of_as_many_bytes_is_found(key: str) -> None:
    plane = np.tile(scene(4095), (3, 3))
    stream, setting = at_size(lossy_peer(key), plane, 6000)
    assert len(stream) == pytest.approx(6000, rel=0.03)
    assert lossy_peer(key).encode(plane, setting) == stream
