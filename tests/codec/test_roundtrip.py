"""Any array in, the same array out; and with a bound, every stored value within it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomnn.codec.decode import decode, decode_frame, decode_frames, decode_region, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.codec.tiles import METHODS
from dicomnn.errors import SamplesInvalid, UnknownModel, UsageError

LOSSLESS = Profile("lossless")
SHAPES = [(1, 1, 1), (1, 1, 40), (1, 300, 17), (3, 9, 11), (1, 17, 270), (2, 24, 24), (1, 2, 2), (4, 1, 3)]


def no_model(model_id: str) -> Model:
    raise UnknownModel(f"nobody has {model_id}")


def words_like(kind: str, shape: tuple[int, ...], sample_format: SampleFormat, seed: int) -> np.ndarray:
    """Raw words of one of several characters."""
    rng = np.random.default_rng(seed)
    top = (1 << sample_format.bits_allocated) - 1
    if kind == "noise":
        words = rng.integers(0, top + 1, shape)
    elif kind == "constant":
        words = np.full(shape, rng.integers(0, top + 1))
    elif kind == "sparse":
        words = rng.choice(rng.integers(0, top + 1, 5), shape)
    elif kind == "texture":  # interpolated noise: what least squares predict far better than JPEG-LS
        noise = rng.normal(0, 1, shape)
        for axis in (-1, -2):
            for _ in range(3):
                noise = noise + np.roll(noise, 1, axis)
        values = np.clip(sample_format.mask * (0.5 + noise / 60), 0, sample_format.mask).astype(np.int64)
        words = _place(values, sample_format)
    elif kind == "extremes":
        words = rng.choice([0, top], shape)
    else:
        walk = np.cumsum(rng.normal(0, 3, shape), axis=-1) + np.cumsum(rng.normal(0, 1, shape), axis=-2)
        values = np.clip(walk + sample_format.mask / 2, 0, sample_format.mask).astype(np.int64)
        words = _place(values, sample_format)
        if kind == "padded":
            words[..., : shape[-1] // 2] = 0
        if kind == "overlay":
            words |= (rng.random(shape) < 0.1) * (top & ~(sample_format.mask << sample_format.shift))
    return words.astype(sample_format.dtype)


def _place(values: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    """Raw words of values 0..mask (signed formats: shifted to both sides of zero), as a good writer sets
    them.
    """
    if sample_format.signed:
        values = values - (1 << (sample_format.bits_stored - 1))
    return (values << sample_format.shift) & ((1 << sample_format.bits_allocated) - 1)


KINDS = ["noise", "texture", "constant", "sparse", "extremes", "smooth", "padded", "overlay"]


@st.composite
def sample_formats(draw: st.DrawFn) -> SampleFormat:
    allocated = draw(st.sampled_from([8, 16]))
    stored = draw(st.integers(1, allocated))
    return SampleFormat(allocated, stored, draw(st.integers(stored - 1, allocated - 1)), draw(st.booleans()))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sample_format=sample_formats(),
    shape=st.sampled_from(SHAPES),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([1, 3]),
)
def test_any_array_comes_back_from_a_lossless_payload(
    sample_format: SampleFormat, shape: tuple[int, int, int], kind: str, seed: int, threads: int
) -> None:
    frames = words_like(kind, shape, sample_format, seed)
    payload = bytes(encode(frames, sample_format, profile=LOSSLESS, model=None, threads=threads))
    decoded = decode(payload, no_model, threads=threads)
    assert decoded.dtype == frames.dtype
    assert np.array_equal(decoded, frames)
    header = read_header(payload)
    assert header.sample_format == sample_format and header.profile == LOSSLESS and header.model_id == ""
    assert (
        header.pixel_digest
        == hashlib.sha256(frames.astype(frames.dtype.newbyteorder("<")).tobytes()).digest()
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sample_format=sample_formats(),
    shape=st.sampled_from(SHAPES),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    bound=st.sampled_from([1, 2, 7, 300, 65535]),
)
def test_every_stored_value_of_a_bounded_payload_is_within_the_bound_and_the_frames_range(
    sample_format: SampleFormat, shape: tuple[int, int, int], kind: str, seed: int, bound: int
) -> None:
    frames = words_like(kind, shape, sample_format, seed)
    profile = Profile("bounded", bound)
    payload = bytes(encode(frames, sample_format, profile=profile, model=None))
    decoded = decode(payload, no_model)  # checks the digest of what was decoded, too
    before, after = stored_values(frames, sample_format), stored_values(decoded, sample_format)
    assert np.abs(before - after).max() <= bound
    for number in range(shape[0]):
        assert before[number].min() <= after[number].min() and after[number].max() <= before[number].max()
    outside = ~np.uint64(sample_format.mask << sample_format.shift) & np.uint64(
        (1 << sample_format.bits_allocated) - 1
    )
    if not sample_format.signed:
        assert np.array_equal(frames & outside, decoded & outside)
    assert read_header(payload).profile == profile


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("profile", ["lossless", "bounded:2"])
def test_neural_tiles_come_back_at_every_effort(made_model: Model, effort: str, profile: str) -> None:
    sample_format = SampleFormat(16, 12, 11, True)
    frames = words_like("texture", (2, 40, 270), sample_format, 5)
    payload = bytes(
        encode(
            frames, sample_format, profile=Profile.parse(profile), model=made_model, effort=effort, threads=2
        )
    )
    header = read_header(payload)
    assert METHODS.index("neural") in header.tile_methods, (
        "the made model lost every tile: the test tests nothing"
    )
    assert header.model_id == made_model.id and header.effort == effort
    decoded = decode(payload, lambda model_id: made_model, threads=2)
    difference = np.abs(stored_values(frames, sample_format) - stored_values(decoded, sample_format)).max()
    assert difference <= Profile.parse(profile).bound
    assert np.array_equal(decoded[1], decode_frame(payload, lambda model_id: made_model, 1))


def test_the_bytes_do_not_depend_on_the_number_of_threads(made_model: Model) -> None:
    sample_format = SampleFormat(16, 12, 11, False)
    frames = words_like("texture", (5, 30, 40), sample_format, 6)
    payloads = {
        bytes(encode(frames, sample_format, profile=LOSSLESS, model=made_model, threads=threads))
        for threads in (1, 2, 5)
    }
    assert len(payloads) == 1


def test_a_sparse_histogram_is_packed_and_a_dense_one_is_not() -> None:
    sample_format = SampleFormat(16, 16, 15, False)
    rng = np.random.default_rng(0)
    dense = np.clip(rng.normal(500, 60, (1, 128, 128)), 0, 1000).astype(np.uint16)
    small = len(encode(dense, sample_format, profile=LOSSLESS, model=None))
    sparse = len(encode(dense * np.uint16(37), sample_format, profile=LOSSLESS, model=None))
    assert sparse < 1.03 * small


def test_the_same_packing_table_is_written_once_for_a_run_of_frames() -> None:
    sample_format = SampleFormat(16, 16, 15, False)
    rng = np.random.default_rng(0)
    used = np.sort(rng.choice(60000, 200, replace=False)).astype(np.uint16)
    frame = used[np.clip(np.cumsum(rng.integers(-2, 3, (64, 64)), axis=1) + 100, 0, 199)]
    frame[0, 0], frame[0, 1:] = used[0], used[199]
    one = len(encode(frame[None], sample_format, profile=LOSSLESS, model=None))
    ten = encode(np.repeat(frame[None], 10, axis=0), sample_format, profile=LOSSLESS, model=None)
    assert np.array_equal(decode(bytes(ten), no_model)[9], frame)
    assert len(ten) < 10 * one - 9 * 150  # nine tables of some 300 bytes are not there


def test_header_and_tables_of_a_small_image_take_less_than_110_bytes() -> None:
    sample_format = SampleFormat(16, 12, 11, False)
    frames = words_like("smooth", (1, 64, 64), sample_format, 1)
    payload = encode(frames, sample_format, profile=LOSSLESS, model=None)
    assert len(payload) - int(read_header(bytes(payload)).tile_lengths.sum()) < 110


def test_frames_regions_and_iteration_agree_with_the_whole() -> None:
    sample_format = SampleFormat(16, 10, 11, True)
    frames = words_like("overlay", (3, 300, 530), sample_format, 3)
    payload = bytes(encode(frames, sample_format, profile=LOSSLESS, model=None, threads=2))
    for number, frame in enumerate(decode_frames(payload, no_model, threads=2)):
        assert np.array_equal(frame, frames[number])
        assert np.array_equal(decode_frame(payload, no_model, number), frames[number])
    rng = np.random.default_rng(4)
    for _ in range(40):
        top, left = int(rng.integers(0, 300)), int(rng.integers(0, 530))
        height, width = int(rng.integers(1, 301 - top)), int(rng.integers(1, 531 - left))
        region = decode_region(payload, no_model, 1, top, left, height, width)
        assert np.array_equal(region, frames[1, top : top + height, left : left + width])


@pytest.mark.parametrize("region", [(0, -1, 0, 1, 1), (0, 0, 0, 31, 1), (0, 0, 0, 0, 5), (3, 0, 0, 1, 1)])
def test_a_frame_or_region_outside_of_the_image_is_refused(region: tuple[int, int, int, int, int]) -> None:
    sample_format = SampleFormat(8, 8, 7, False)
    payload = bytes(encode(np.zeros((3, 30, 30), np.uint8), sample_format, profile=LOSSLESS, model=None))
    with pytest.raises(UsageError):
        decode_region(payload, no_model, *region)


def test_a_model_is_asked_for_only_when_a_tile_needs_it(made_model: Model) -> None:
    sample_format = SampleFormat(8, 8, 7, False)
    frames = np.full((1, 20, 20), 7, np.uint8)
    payload = bytes(encode(frames, sample_format, profile=LOSSLESS, model=made_model))
    assert read_header(payload).model_id == ""
    assert np.array_equal(decode(payload, no_model), frames)
    neural = words_like("texture", (1, 40, 40), SampleFormat(16, 12, 11, False), 5)
    payload = bytes(encode(neural, SampleFormat(16, 12, 11, False), profile=LOSSLESS, model=made_model))
    with pytest.raises(UnknownModel):
        decode(payload, no_model)


def test_a_view_of_a_memory_map_is_read_frame_by_frame(tmp_path: object) -> None:
    import tracemalloc
    from pathlib import Path

    path = Path(str(tmp_path)) / "words.bin"
    path.write_bytes(b"junk" + np.arange(64 * 256 * 256, dtype=np.uint16).tobytes())
    frames = np.memmap(path, np.uint16, "r", 4, (64, 256, 256))
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    tracemalloc.start()
    payload = encode(frames, SampleFormat(16, 16, 15, False), profile=LOSSLESS, model=None, progress=progress)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < frames.nbytes / 2
    assert seen[-1] == (64, 64) and len(seen) == 64
    assert np.array_equal(decode_frame(memoryview(bytes(payload)), no_model, 63), frames[63])


@pytest.mark.parametrize(
    ("frames", "sample_format"),
    [
        (np.zeros((4, 4), np.uint8), SampleFormat(8, 8, 7, False)),
        (np.zeros((1, 0, 4), np.uint8), SampleFormat(8, 8, 7, False)),
        (np.zeros((1, 4, 4), np.uint16), SampleFormat(8, 8, 7, False)),
        (np.zeros((1, 4, 4), np.int16), SampleFormat(16, 16, 15, True)),
        (np.zeros((1, 1, 65536), np.uint8), SampleFormat(8, 8, 7, False)),
    ],
)
def test_arrays_that_the_codec_does_not_take_are_refused(
    frames: np.ndarray, sample_format: SampleFormat
) -> None:
    with pytest.raises(SamplesInvalid):
        encode(frames, sample_format, profile=LOSSLESS, model=None)


@pytest.mark.parametrize("arguments", [(12, 12, 11), (8, 9, 8), (16, 12, 10), (16, 12, 16), (16, 0, 15)])
def test_bit_fields_that_fit_no_word_are_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(SamplesInvalid):
        SampleFormat(*arguments, signed=False)


def test_keep_unknown_efforts_and_no_threads_are_refused() -> None:
    frames, sample_format = np.zeros((1, 4, 4), np.uint8), SampleFormat(8, 8, 7, False)
    for changed in ({"profile": Profile("keep")}, {"effort": "best"}, {"threads": 0}):
        with pytest.raises(UsageError):
            encode(frames, sample_format, **{"profile": LOSSLESS, "model": None, **changed})  # type: ignore[arg-type]
