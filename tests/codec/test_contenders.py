"""One suite for every contender: what each must do for any tile that it says it applies to."""

from __future__ import annotations

import numpy as np
import pytest
from jpeg_ls import CharLS

from dicomnn.codec import contenders
from dicomnn.codec.contenders import CONSTANT, JPEGLS, NEURAL, RAW
from dicomnn.codec.framing import framed
from dicomnn.codec.model import Model
from dicomnn.codec.tiles import METHODS, TileContext
from dicomnn.errors import DicomnnError, PayloadCorrupt

SHAPES = [(1, 1), (1, 2), (1, 256), (256, 1), (3, 5), (16, 16), (40, 33)]
PEAKS = [0, 1, 2, 3, 255, 256, 4095, 65535]
BOUNDS = [0, 1, 5, 300]


def tiles(shape: tuple[int, int], peak: int) -> list[np.ndarray]:
    """Noise, a ramp, two values far apart, and the constant peak."""
    rng = np.random.default_rng(peak)
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % (peak + 1)
    candidates = [rng.integers(0, peak + 1, shape), ramp, rng.choice([0, peak], shape), np.full(shape, peak)]
    return [tile.astype(np.uint16) for tile in candidates]


@pytest.mark.parametrize("method", range(len(METHODS)), ids=METHODS)
@pytest.mark.parametrize("bound", BOUNDS)
def test_what_a_contender_codes_it_decodes_within_bound_and_peak(
    method: int, bound: int, made_model: Model
) -> None:
    module = contenders.contender(method)
    assert (module.METHOD, module.NAME) == (method, METHODS[method])
    coded = 0
    for shape in SHAPES:
        for peak in PEAKS:
            for tile in tiles(shape, peak):
                before = framed(tile.astype(np.int32) // 2 - 1, slice(0, shape[0]), slice(0, shape[1]))
                context = TileContext(peak, bound, "fast", made_model, before)
                same = tile.copy()
                data = module.encode(tile, context) if module.applies(tile, context) else None
                assert np.array_equal(tile, same), "a contender changed its input"
                if data is None:
                    continue
                coded += 1
                decoded = module.decode(data, shape, context)
                assert decoded.shape == shape and decoded.dtype == np.uint16
                assert int(np.abs(decoded.astype(int) - tile).max()) <= bound
                assert int(decoded.max()) <= peak
    assert coded > 30


@pytest.mark.parametrize("method", range(len(METHODS)), ids=METHODS)
def test_rubbish_gives_a_tile_or_a_typed_error(method: int, made_model: Model) -> None:
    rng = np.random.default_rng(method)
    context = TileContext(4095, 0, "fast", made_model)
    module = contenders.contender(method)
    for length in [0, 1, 2, 3, 7, 8, 20, 384, 400]:
        for _ in range(5):
            try:
                tile = module.decode(rng.bytes(length), (16, 16), context)
            except DicomnnError:
                continue
            assert tile.shape == (16, 16)


def test_raw_takes_the_number_of_bits_of_the_peak() -> None:
    module = contenders.contender(RAW)
    tile = np.arange(64, dtype=np.uint16).reshape(8, 8) * 64
    data = module.encode(tile, TileContext(4095, 0, "fast", None))
    assert data is not None and len(data) == 64 * 12 // 8
    assert module.encode(np.array([[0, 5]], np.uint16), TileContext(7, 0, "fast", None)) == bytes([0b101000])


def test_constant_takes_the_middle_of_the_range() -> None:
    module = contenders.contender(CONSTANT)
    context = TileContext(100, 3, "fast", None)
    assert module.applies(np.array([[10, 16]], np.uint16), context)
    assert not module.applies(np.array([[10, 17]], np.uint16), context)
    assert module.encode(np.array([[10, 16]], np.uint16), context) == bytes([13])


def test_jpegls_is_told_the_true_precision_and_keeps_no_markers() -> None:
    module = contenders.contender(JPEGLS)
    tile = np.random.default_rng(0).integers(0, 1 << 9, (64, 64)).astype(np.uint16)
    data = module.encode(tile, TileContext(4095, 0, "fast", None))
    assert data is not None and data[0] == 9
    assert not data[1:].startswith(b"\xff\xd8") and not data.endswith(b"\xff\xd9")
    stream = bytes(CharLS.encode_buffer(tile.tobytes(), 64, 64, 1, 9))
    assert data[1:] in stream and len(stream) - len(data) >= 24


def test_a_contender_that_is_not_there_does_not_compete(
    monkeypatch: pytest.MonkeyPatch, made_model: Model
) -> None:
    from dicomnn.codec.decode import read_header
    from dicomnn.codec.encode import encode
    from dicomnn.codec.profile import Profile
    from dicomnn.codec.sample import SampleFormat

    frames = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint16)[None] ** 2 % 4096
    sample_format = SampleFormat(16, 12, 11, False)
    available = contenders.is_available
    monkeypatch.setattr(contenders, "is_available", lambda method: method != NEURAL and available(method))
    payload = bytes(encode(frames, sample_format, profile=Profile("lossless"), model=made_model))
    assert NEURAL not in read_header(payload).tile_methods


def test_a_raw_or_constant_tile_of_the_wrong_length_is_corrupt() -> None:
    for method in (RAW, CONSTANT):
        with pytest.raises(PayloadCorrupt):
            contenders.contender(method).decode(b"12345", (2, 2), TileContext(4095, 0, "fast", None))
