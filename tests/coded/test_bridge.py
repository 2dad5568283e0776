"""Pixel Data bytes and raw words are the same thing, in every byte order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnn.coded.bridge import Geometry, geometry, pairs_swapped, plain_bytes, sample_format, swapped, words
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.errors import DataSetMalformed

IMAGE = ImagePixel(
    rows=4,
    columns=6,
    number_of_frames=None,
    samples_per_pixel=1,
    photometric_interpretation="MONOCHROME2",
    bits_allocated=16,
    bits_stored=12,
    high_bit=11,
    pixel_representation=1,
    planar_configuration=None,
    lossy_image_compression=None,
    rescale_slope=None,
    rescale_intercept=None,
    rescale_type=None,
    window_center=None,
    window_width=None,
    pixel_padding_value=None,
)


def test_image_pixel_module_becomes_the_sample_format() -> None:
    found = sample_format(IMAGE)
    assert (found.bits_allocated, found.bits_stored, found.high_bit, found.signed) == (16, 12, 11, True)
    assert geometry(IMAGE) == Geometry(1, 4, 6, 2)
    assert geometry(replace(IMAGE, number_of_frames=3, bits_allocated=8)).total_bytes == 72


@pytest.mark.parametrize("stored, high", [(0, 11), (17, 16), (12, 3), (12, 16), (16, 14)])
def test_absurd_bits_are_read_as_the_whole_word(stored: int, high: int) -> None:
    found = sample_format(replace(IMAGE, bits_stored=stored, high_bit=high))
    assert (found.bits_stored, found.high_bit) == (16, 15)


def test_missing_bits_stored_means_all_bits() -> None:
    found = sample_format(replace(IMAGE, bits_stored=None, high_bit=None, pixel_representation=None))
    assert (found.bits_stored, found.high_bit, found.signed) == (16, 15, False)


@pytest.mark.parametrize("changes", [{"rows": 0}, {"columns": None}, {"number_of_frames": 0}])
def test_an_image_without_size_is_malformed(changes: dict[str, int | None]) -> None:
    with pytest.raises(DataSetMalformed):
        geometry(replace(IMAGE, **changes))  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_swapping_pairs_twice_gives_the_bytes_back_however_they_are_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    once = b"".join(swapped(pieces))
    assert once == b"".join(swapped([whole]))
    assert b"".join(swapped([once[:3], once[3:]])) == whole
    assert once[:2] == whole[:2][::-1] or len(whole) < 2


def test_only_big_endian_words_are_swapped() -> None:
    assert not pairs_swapped(little_endian=True, vr="OW", word_bytes=2)
    assert pairs_swapped(little_endian=False, vr="OW", word_bytes=2)
    assert pairs_swapped(little_endian=False, vr="OW", word_bytes=1)
    assert not pairs_swapped(little_endian=False, vr="OB", word_bytes=1)


@pytest.mark.parametrize("offset", [0, 1])
def test_words_are_little_endian_pixels_aligned_for_compiled_code(offset: int) -> None:
    raw = bytes(offset) + bytes(range(24))
    array = words(memoryview(raw)[offset:], Geometry(2, 2, 3, 2))
    assert array.shape == (2, 2, 3) and array.dtype == np.uint16 and array.flags.aligned
    assert array[0, 0, 1] == 0x0302
    assert bytes(plain_bytes(array[1])) == bytes(range(12, 24))
