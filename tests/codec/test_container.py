"""The container trusts nothing: flipped, cut, swapped and made-up bytes give typed errors that name the
place.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from dicomnn.codec.checksum import crc32c
from dicomnn.codec.decode import decode, decode_frame, decode_region, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.payload import FIXED, CodedPlane, CodedTile, Layout, PlaneRecord, assemble, name_of, parse
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import METHODS, Grid
from dicomnn.errors import (
    PayloadCorrupt,
    PayloadError,
    PayloadImplausible,
    PayloadTruncated,
    UnsupportedFormatVersion,
)

LOSSLESS = Profile("lossless")
KIND, DEPTH, GROUP, BOUND, ROWS, FRAMES, TABLES_LENGTH = 5, 6, 7, 8, 10, 14, 18
"""Offsets in the fixed header (docs/format.md)."""


def small_payload(model: Model) -> bytes:
    """Four frames of two tiles with all there is: every method, a side plane, packing, a group."""
    rng = np.random.default_rng(0)
    sample_format = SampleFormat(16, 12, 11, False)
    frames = np.zeros((4, 5, 260), np.uint16)
    noise = rng.normal(0, 1, (5, 256))
    for axis in (0, 1, 0, 1):
        noise = noise + np.roll(noise, 1, axis)
    frames[0, :, :256] = 2000 + 6 * noise
    frames[0, :, 256:] = 5
    frames[1, :, :256] = frames[0, :, :256] + rng.integers(0, 2, (5, 256))
    frames[1, :, 256:] = 5
    frames[2] = rng.integers(0, 3, (5, 260)) * 1000
    frames[3] = np.add.outer(np.arange(5), np.arange(260) // 3)
    frames[3] |= ((rng.random((5, 260)) < 0.1) * 0x8000).astype(np.uint16)
    payload = bytes(encode(frames, sample_format, profile=LOSSLESS, model=model, group=4))
    header = read_header(payload)
    assert set(header.tile_methods) == set(range(len(METHODS))) and header.side_frames.tolist() == [3]
    assert parse(memoryview(payload)).tables
    return payload


@pytest.fixture(scope="module")
def payload(made_model: Model) -> bytes:
    return small_payload(made_model)


@pytest.fixture(scope="module")
def models(made_model: Model) -> Callable[[str], Model]:
    return lambda model_id: made_model


def place_of(layout: Layout, position: int) -> str:
    """What an error about the byte at ``position`` has to name."""
    if position < layout.offsets[0] or position >= layout.offsets[-1]:
        return "header"
    number = int(np.searchsorted(layout.offsets, position, side="right")) - 1
    plane, tile = divmod(number, layout.header.grid.count)
    if plane >= layout.header.frames:
        plane = int(layout.header.side_frames[plane - layout.header.frames])
    return name_of(plane, tile)


def with_header(payload: bytes, offset: int, replacement: bytes) -> bytes:
    """The payload with changed header or table bytes and a header checksum that is right again."""
    changed = bytearray(payload)
    changed[offset : offset + len(replacement)] = replacement
    end = FIXED.size + struct.unpack_from("<I", payload, TABLES_LENGTH)[0]
    changed[end : end + 4] = crc32c(bytes(changed[:end])).to_bytes(4, "little")
    return bytes(changed)


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E
    for length in range(20):
        whole = bytes(range(1, length + 1))
        assert crc32c(memoryview(b"x" + whole)[1:]) == crc32c(whole)


def test_any_flipped_bit_gives_a_typed_error_that_names_the_header_or_the_tile(
    payload: bytes, models: Callable[[str], Model]
) -> None:
    layout = parse(memoryview(payload))
    changed = bytearray(payload)
    for position in range(len(payload)):
        for bit in range(8):
            changed[position] ^= 1 << bit
            with pytest.raises(PayloadError) as caught:
                decode(bytes(changed), models)
            changed[position] ^= 1 << bit
            assert caught.value.where == place_of(layout, position), (position, bit, str(caught.value))
    assert bytes(changed) == payload


def test_damage_stays_in_its_tile(payload: bytes, models: Callable[[str], Model]) -> None:
    layout = parse(memoryview(payload))
    broken = bytearray(payload)
    broken[int(layout.offsets[0])] ^= 1
    whole = decode(payload, models)
    assert np.array_equal(decode_frame(broken, models, 2), whole[2])
    with pytest.raises(PayloadCorrupt, match="frame 0 tile 0"):
        decode_frame(broken, models, 1)  # it refers to the frame before
    assert np.array_equal(decode_region(broken, models, 0, 0, 256, 5, 4), whole[0, :, 256:])
    with pytest.raises(PayloadCorrupt):
        decode_region(broken, models, 0, 3, 250, 2, 8)


def test_any_shortened_payload_is_said_to_be_cut_off(payload: bytes, models: Callable[[str], Model]) -> None:
    layout = parse(memoryview(payload))
    for length in range(len(payload)):
        for read in (read_header, lambda cut: decode(cut, models)):
            with pytest.raises(PayloadTruncated) as caught:
                read(payload[:length])
            if layout.offsets[0] <= length < layout.offsets[-1]:
                assert caught.value.where == place_of(layout, length)


def test_a_cut_payload_still_gives_the_frames_that_are_there(
    payload: bytes, models: Callable[[str], Model]
) -> None:
    whole = decode(payload, models)
    layout = parse(memoryview(payload))
    cut = payload[: int(layout.offsets[2])]
    assert np.array_equal(decode_frame(cut, models, 0), whole[0])
    with pytest.raises(PayloadTruncated) as caught:
        decode_frame(cut, models, 1)
    assert caught.value.where == "frame 1 tile 0"


def test_bytes_too_many_and_a_padding_byte_that_is_not_zero_are_refused(made_model: Model) -> None:
    sample_format = SampleFormat(8, 8, 7, False)
    for value, columns in ((7, 20), (0, 20)):
        frames = np.full((1, 10, columns), value, np.uint8)
        frames[0, 0, 0] = value
        good = bytes(encode(frames, sample_format, profile=LOSSLESS, model=None))
        assert len(good) % 2 == 0
        with pytest.raises(PayloadCorrupt):
            read_header(good + b"\0\0")
    assert parse(memoryview(good)).end == int(parse(memoryview(good)).offsets[-1]) + 1
    with pytest.raises(PayloadCorrupt):
        read_header(good[:-1] + b"\1")


def test_swapped_tiles_of_equal_length_are_found(models: Callable[[str], Model]) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 65536, (2, 16, 16), dtype=np.uint16)
    good = bytes(encode(frames, SampleFormat(16, 16, 15, False), profile=LOSSLESS, model=None))
    first, second, end = (int(offset) for offset in parse(memoryview(good)).offsets)
    assert second - first == end - second
    swapped = good[:first] + good[second:end] + good[first:second] + good[end:]
    with pytest.raises(PayloadCorrupt) as caught:
        decode(swapped, models)
    assert caught.value.where == "frame 0 tile 0"


def test_tiles_swapped_together_with_their_table_entries_fail_the_digest(
    models: Callable[[str], Model],
) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 65536, (2, 16, 16), dtype=np.uint16)
    frames[:, 0, :2] = (0, 65535)
    good = bytes(encode(frames, SampleFormat(16, 16, 15, False), profile=LOSSLESS, model=None))
    first, second, end = (int(offset) for offset in parse(memoryview(good)).offsets)
    table = first - 4 - 16
    swapped = good[:first] + good[second:end] + good[first:second] + good[end:]
    swapped = with_header(swapped, table, good[table + 8 : table + 16] + good[table : table + 8])
    with pytest.raises(PayloadCorrupt, match="digest"):
        decode(swapped, models)


@pytest.mark.parametrize("fix_checksum", [True, False])
def test_enormous_claims_are_refused_before_anything_is_allocated(payload: bytes, fix_checksum: bool) -> None:
    claims = struct.pack("<2H", 65535, 65535)
    huge = bytearray(payload)
    huge[ROWS : ROWS + 4] = claims
    huge[FRAMES : FRAMES + 4] = (10000).to_bytes(4, "little")
    if fix_checksum:
        huge = bytearray(with_header(bytes(huge), ROWS, claims))
    tracemalloc.start()
    with pytest.raises(PayloadImplausible):
        read_header(bytes(huge))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_image_of_constant_tiles_too_large_for_dicom_is_refused_though_its_tables_are_there() -> None:
    grid = Grid(65535, 65535)
    plane = CodedPlane(PlaneRecord(0, 0, None), [CodedTile(METHODS.index("constant"), b"")] * grid.count)
    huge = bytes(
        assemble(
            profile=LOSSLESS,
            effort="fast",
            model_id="",
            sample_format=SampleFormat(8, 8, 7, False),
            frames=2,
            grid=grid,
            group=0,
            pixel_digest=bytes(32),
            value_planes=[plane, plane],
            side_planes={},
        )
    )
    with pytest.raises(PayloadImplausible, match="no DICOM object"):
        read_header(huge)


def test_claims_that_their_tables_cannot_hold_are_refused(payload: bytes) -> None:
    for frames in (5, 40, 200_000):
        with pytest.raises(PayloadImplausible):
            read_header(with_header(payload, FRAMES, frames.to_bytes(4, "little")))


def test_a_newer_version_and_unknown_features_say_that_a_newer_dicomnn_is_needed(payload: bytes) -> None:
    table = int(parse(memoryview(payload)).offsets[0]) - 4 - 8 * 10
    for offset, value in ((4, 3), (KIND, 0x40), (FIXED.size + 4, 0x40), (table + 3, len(METHODS))):
        with pytest.raises(UnsupportedFormatVersion) as caught:
            read_header(with_header(payload, offset, bytes([value])))
        assert "newer" in caught.value.cure


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"X"),
        (KIND, b"\x20"),  # keep is no profile of a payload
        (KIND, b"\x2d"),  # there is no fourth effort
        (DEPTH, b"\x0b"),
        (GROUP, b"\1"),
        (GROUP, b"\0"),  # a tile refers to a frame before that no group has
        (BOUND, b"\1\0"),
        (ROWS, b"\0\0"),
        (FIXED.size + 4, b"\3"),
    ],
)
def test_header_fields_outside_of_their_range_are_refused(payload: bytes, offset: int, value: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        read_header(with_header(payload, offset, value))
    assert caught.value.where == "header"


def test_a_tile_longer_than_its_pixels_is_refused(payload: bytes) -> None:
    table = int(parse(memoryview(payload)).offsets[0]) - 4 - 8 * 10
    with pytest.raises(PayloadImplausible):
        read_header(with_header(payload, table, (200_000).to_bytes(3, "little")))


def test_random_bytes_with_right_checksums_decode_or_give_typed_errors(
    payload: bytes, models: Callable[[str], Model]
) -> None:
    """Tiles of rubbish behind checksums that are right: what a hostile sender would make."""
    rng = np.random.default_rng(7)
    layout = parse(memoryview(payload))
    table = int(layout.offsets[0]) - 4 - 8 * (layout.offsets.size - 1)
    for _ in range(300):
        number = int(rng.integers(0, layout.offsets.size - 1))
        start, stop = int(layout.offsets[number]), int(layout.offsets[number + 1])
        rubbish = bytearray(payload[start:stop])
        for _ in range(int(rng.integers(1, 6))):
            if rubbish:
                rubbish[int(rng.integers(0, len(rubbish)))] = int(rng.integers(0, 256))
        changed = payload[:start] + bytes(rubbish) + payload[stop:]
        entry = table + 8 * number
        method = payload[entry + 3] if rng.random() < 0.7 else int(rng.integers(0, len(METHODS)))
        replacement = (
            bytes(payload[entry : entry + 3]) + bytes([method]) + crc32c(rubbish).to_bytes(4, "little")
        )
        try:
            decoded = decode(with_header(changed, entry, replacement), models)
        except PayloadError as error:
            assert error.where == "header" or error.where.startswith("frame ")
        else:
            assert bytes(rubbish) == payload[start:stop]
            assert np.array_equal(decoded, decode(payload, models))
