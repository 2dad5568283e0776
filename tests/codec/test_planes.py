"""Planes, packing tables, profiles: the small parts by hand-made examples."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnn.codec import packing
from dicomnn.codec.lossy.promise import Promise
from dicomnn.codec.planes import join, split
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.codec.tiles import Grid
from dicomnn.errors import PayloadCorrupt, PayloadError, PayloadImplausible, UsageError


def test_a_sign_extended_word_has_no_side_plane() -> None:
    sample_format = SampleFormat(16, 12, 11, True)
    words = np.array([[0xFFFF, 0xF800, 0x0000, 0x07FF]], np.uint16)
    assert stored_values(words, sample_format).tolist() == [[-1, -2048, 0, 2047]]
    values, side = split(words, sample_format)
    assert side is None
    assert values.tolist() == [[2047, 0, 2048, 4095]]


def test_a_sign_that_is_not_extended_and_an_overlay_bit_are_side_bits() -> None:
    signed = SampleFormat(16, 12, 11, True)
    values, side = split(np.array([[0x0FFF, 0x07FF]], np.uint16), signed)
    assert values.tolist() == [[2047, 4095]] and side is not None and side.tolist() == [[0xF, 0]]
    high = SampleFormat(16, 8, 11, False)
    values, side = split(np.array([[0x8AB3]], np.uint16), high)
    assert values.tolist() == [[0xAB]] and side is not None and side.tolist() == [[0x83]]
    assert join(values, side, high).tolist() == [[0x8AB3]]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.integers(1, 65535), max_size=400), st.sampled_from([1, 7, 64]))
def test_packing_tables_come_back_in_every_form(others: set[int], step: int) -> None:
    used = np.unique(np.array([0, *[value // step * step for value in others]])).astype(np.uint16)
    form, data = packing.write_table(used)
    assert np.array_equal(packing.read_table(form, data, used.size), used)
    flags = np.zeros(int(used[-1]) + 1, np.uint8)
    flags[used] = 1
    bitmap = np.packbits(flags, bitorder="little").tobytes()
    assert np.array_equal(packing.read_table(packing.BITMAP, bitmap, used.size), used)
    assert len(data) <= len(bitmap)
    plane = np.random.default_rng(0).choice(used, (5, 9))
    assert np.array_equal(used[packing.pack(plane, used)], plane)


@pytest.mark.parametrize(
    ("form", "data", "count"),
    [
        (packing.BITMAP, b"\x05", 3),
        (packing.BITMAP, b"\x04", 1),
        (packing.BITMAP, bytes(8193), 1),
        (packing.GAPS, b"\x80", 2),
        (packing.GAPS, b"\x80\x80\x80\x01", 2),
        (packing.GAPS, b"\xff\xff\x03\x00", 3),
        (packing.BITMAP_DEFLATED, b"\x00", 1),
        (packing.GAPS_DEFLATED, b"rubbish", 4),
        (4, b"\x01", 1),
    ],
)
def test_tables_that_list_no_plane_are_refused(form: int, data: bytes, count: int) -> None:
    with pytest.raises(PayloadError):
        packing.read_table(form, data, count)


def test_a_table_that_inflates_without_end_is_stopped() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(10_000_000)) + packer.flush()
    for form in (packing.BITMAP_DEFLATED, packing.GAPS_DEFLATED):
        with pytest.raises(PayloadImplausible):
            packing.read_table(form, bomb, 100)


def test_a_deflated_table_followed_by_other_bytes_is_refused() -> None:
    form, data = packing.write_table(np.arange(0, 60000, 3).astype(np.uint16))
    assert form in (packing.BITMAP_DEFLATED, packing.GAPS_DEFLATED)
    with pytest.raises(PayloadCorrupt):
        packing.read_table(form, data + b"x", 20000)


def test_tiles_cover_the_plane_once_and_edge_tiles_hold_real_pixels_only() -> None:
    grid = Grid(300, 513)
    covered = np.zeros((300, 513), int)
    for tile in range(grid.count):
        covered[grid.window(tile)] += 1
    assert (covered == 1).all()
    assert [grid.shape(tile) for tile in (0, 2, 5)] == [(256, 256), (256, 1), (44, 1)]
    assert grid.pixel_counts().tolist() == [np.prod(grid.shape(tile)) for tile in range(grid.count)]
    assert grid.tiles_of(255, 255, 2, 2) == [0, 1, 3, 4]


@pytest.mark.parametrize("text", ["keep", "lossless", "bounded:1", "bounded:65535"])
def test_a_profile_prints_as_it_is_written(text: str) -> None:
    assert str(Profile.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "bounded", "bounded:0", "bounded:-1", "bounded:65536", "Lossless", "bounded:1e3"]
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Profile.parse(text)


@pytest.mark.parametrize("text", ["lossy:ratio=10", "lossy:psnr=42.5", "lossy:ssim=0.98", "lossy:ratio=1000"])
def test_a_lossy_profile_prints_as_it_is_written_and_the_codec_takes_its_promise(text: str) -> None:
    profile = Profile.parse(text)
    assert str(profile) == text and str(Promise.parse(profile.promise)) == profile.promise


@pytest.mark.parametrize(
    "text",
    ["lossy", "lossy:", "lossy:ratio=0.5", "lossy:ratio=1001", "lossy:psnr=0", "lossy:psnr=151",
     "lossy:ssim=1.1", "lossy:mse=3", "lossy:ratio", "lossy:ratio=-2", "lossy:psnr=nan"],
)  # fmt: skip
def test_what_the_lossy_tier_cannot_promise_is_no_profile(text: str) -> None:
    with pytest.raises(UsageError):
        Profile.parse(text)
    if "=" in text:
        with pytest.raises(UsageError):
            Promise.parse(text.removeprefix("lossy:"))
