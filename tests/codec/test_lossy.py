"""The lossy tier: what is promised is reached, both decoders agree, and damage never passes for pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnn.codec import reference_lossy
from dicomnn.codec.distortion import psnr
from dicomnn.codec.lossy.frame import COARSEST, decode_frame, encode_frame, index_of, step_of
from dicomnn.codec.lossy.model import SCHEMA, LossyModel, to_bytes
from dicomnn.codec.lossy.payload import build, decode, decode_one, parse
from dicomnn.codec.lossy.promise import Promise, Scale, keep, reached
from dicomnn.codec.lossy.wavelet import analyse, levels_of, room_of, synthesise
from dicomnn.errors import (
    DicomnnError,
    InexactArithmetic,
    ModelCorrupt,
    PayloadCorrupt,
    PayloadTruncated,
    SamplesInvalid,
    UnsupportedFormatVersion,
    UsageError,
)

SHAPES = [(1, 1), (1, 40), (40, 1), (2, 3), (7, 9), (33, 50), (64, 64), (65, 31), (24, 130)]


def made_arrays(seed: int) -> dict[str, np.ndarray]:
    """Random integers within the bounds: they code as badly as they like, but exactly."""
    rng = np.random.default_rng(seed)
    arrays = {name: np.zeros(shape, np.int64) for name, (_, shape) in SCHEMA.items()}
    arrays["inputs"] = rng.integers(-60, 90, arrays["inputs"].shape)
    arrays["levels"] = rng.integers(-2000, 6000, arrays["levels"].shape)
    arrays["heads"] = rng.integers(-200, 500, arrays["heads"].shape)
    arrays["heads_bias"] = rng.integers(50_000, 150_000, arrays["heads_bias"].shape)
    falls = 0.93 ** (np.arange(40) * np.arange(97, 1, -1)[:, None] / 8)
    arrays["frequencies"] = np.maximum((falls / falls.sum(1, keepdims=True) * 65000).astype(np.int64), 1)
    arrays["frequencies"][:, 0] += 65536 - arrays["frequencies"].sum(1)
    arrays["slopes"] = rng.integers(-900, 900, arrays["slopes"].shape)
    arrays["points"] = rng.integers(-20, 40, arrays["points"].shape)
    for name in ("signs", "still", "lowest", "mask", "blocks"):
        arrays[name] = rng.integers(12000, 50000, arrays[name].shape)
    return arrays


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    return to_bytes(made_arrays(1), {"made": "for tests"})


@pytest.fixture(scope="module")
def model(model_bytes: bytes) -> LossyModel:
    return LossyModel(model_bytes)


def picture(shape: tuple[int, int], seed: int, *, padded: bool = False) -> np.ndarray:
    """A smooth scene with noise, an edge and, if asked, padding far below it: uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    values = 900 + 300 * np.sin(x / 9 + y / 15) + 400 * (x + 2 * y > shape[1]) + rng.normal(0, 12, shape)
    plane = np.clip(np.rint(values), 1, 4095).astype(np.uint16)
    if padded:
        plane += 500
        radius = min(shape) / 2
        plane[(y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 > radius**2] = 0
    return plane


@pytest.mark.parametrize("shape", SHAPES)
def test_synthesis_inverts_analysis(shape: tuple[int, int]) -> None:
    plane, out = picture(shape, 1), np.empty(shape, np.uint16)
    levels = levels_of(*shape)
    coefficients = analyse(plane.astype(np.float32) - np.float32(1000), levels).ravel()
    room = np.empty(room_of(*shape), np.float32)
    base, low, high = (np.float32(value) for value in (1000.5, 0, 65535))
    synthesise(coefficients, room, levels, base, low, high, np.empty((0, 0), np.uint8), out)
    assert np.array_equal(out, plane)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.5, 8.0, 90.0])
def test_both_decoders_give_the_same_values(
    shape: tuple[int, int], step: float, model: LossyModel, model_bytes: bytes
) -> None:
    plane = picture(shape, 2, padded=min(shape) > 30)
    stream = encode_frame(plane, index_of(step), model)
    decoded = decode_frame(stream, shape, model)
    payload = build([stream], [decoded], model)
    assert np.array_equal(decode(payload, lambda _: model)[0], decoded)
    assert np.array_equal(reference_lossy.decode(payload, lambda _: model_bytes)[0], decoded)
    if step <= 8:
        assert np.abs(decoded.astype(int) - plane).max() <= 6 * step + 1


def test_padding_comes_back_exactly_however_coarse_the_step(model: LossyModel) -> None:
    plane = picture((64, 70), 3, padded=True)
    decoded = decode_frame(encode_frame(plane, index_of(60.0), model), plane.shape, model)
    assert np.array_equal(decoded == 0, plane == 0)


@pytest.mark.parametrize("value", [0, 1, 65535])
def test_a_plane_of_one_value_survives_any_step(value: int, model: LossyModel) -> None:
    plane = np.full((20, 33), value, np.uint16)
    for quality in (0, 600, COARSEST):
        assert np.array_equal(decode_frame(encode_frame(plane, quality, model), plane.shape, model), plane)


def test_edges_over_the_whole_range_at_the_finest_step_stay_within_the_classes(model: LossyModel) -> None:
    plane = np.where(np.mgrid[:256, :256][1] < 130, 0, 65535).astype(np.uint16)
    plane[0, 0] = 1
    assert decode_frame(encode_frame(plane, 0, model), plane.shape, model).shape == plane.shape


def test_the_whole_range_of_sixteen_bits_is_coded(model: LossyModel, model_bytes: bytes) -> None:
    plane = np.random.default_rng(4).integers(0, 65536, (24, 40)).astype(np.uint16)
    stream = encode_frame(plane, 0, model)
    decoded = decode_frame(stream, plane.shape, model)
    assert np.abs(decoded.astype(int) - plane).max() <= 2
    payload = build([stream], [decoded], model)
    assert np.array_equal(reference_lossy.decode(payload, lambda _: model_bytes)[0], decoded)


def test_steps_grow_evenly_and_their_numbers_come_back() -> None:
    steps = [float(step_of(index)) for index in range(COARSEST + 1)]
    assert steps[0] == 0.25 and all(b > a for a, b in zip(steps, steps[1:], strict=False))
    assert [index_of(step) for step in steps] == list(range(COARSEST + 1))


# ------------------------------------------------------------------ promises
SCALE = Scale(full=4095.0, window=(700.0, 1500.0))


@pytest.mark.parametrize("text", ["psnr=48", "psnr=62.5", "ssim=0.97", "ratio=6", "ratio=14"])
def test_a_kept_promise_is_measured_on_what_the_decoder_gives(text: str, model: LossyModel) -> None:
    plane, promise = picture((64, 80), 5), Promise.parse(text)
    kept = keep(promise, plane, model, SCALE)
    assert kept is not None and str(promise) == text
    decoded = decode_frame(kept.stream, plane.shape, model)
    assert np.array_equal(decoded, kept.plane)
    assert reached(promise, plane, decoded, len(kept.stream), SCALE) == kept.reached >= promise.value


def test_the_search_stops_at_the_coarsest_step_that_keeps_the_promise(model: LossyModel) -> None:
    plane = picture((64, 80), 5)
    kept = keep(Promise("psnr", 50.0), plane, model, SCALE)
    assert kept is not None and kept.tried < 15
    coarser = decode_frame(encode_frame(plane, kept.quality + 24, model), plane.shape, model)
    assert psnr(plane, coarser, 4095.0) < 50.0


def test_a_promise_that_no_step_keeps_is_not_given(model: LossyModel) -> None:
    plane = picture((64, 80), 5)
    assert keep(Promise("ratio", 1000.0), plane, model, SCALE) is None


@pytest.mark.parametrize(
    "text", ["", "psnr", "psnr=", "psnr=-3", "ssim=1.5", "ratio=0.5", "mse=3", "psnr=1e3"]
)
def test_what_is_no_promise_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Promise.parse(text)


# ------------------------------------------------------------------ damage
@pytest.fixture(scope="module")
def two_frames(model: LossyModel) -> tuple[bytes, list[np.ndarray]]:
    planes = [picture((33, 40), seed, padded=seed == 7) for seed in (6, 7)]
    streams = [encode_frame(plane, index_of(9.0), model) for plane in planes]
    decoded = [decode_frame(stream, (33, 40), model) for stream in streams]
    return build(streams, decoded, model), decoded


def test_a_frame_decodes_alone(two_frames: tuple[bytes, list[np.ndarray]], model: LossyModel) -> None:
    payload, decoded = two_frames
    for number in (1, 0):
        assert np.array_equal(decode_one(payload, lambda _: model, number), decoded[number])
    for threads in (1, 2):
        assert np.array_equal(decode(payload, lambda _: model, threads=threads), np.stack(decoded))
    with pytest.raises(SamplesInvalid):
        decode_one(payload, lambda _: model, 2)


def test_any_flipped_bit_is_a_typed_error(
    two_frames: tuple[bytes, list[np.ndarray]], model: LossyModel
) -> None:
    payload, _ = two_frames
    start = parse(payload).size
    heads = range(8 * start, 8 * (start + 9))  # of the first stream: where least shows in the values
    for bit in [*heads, *np.random.default_rng(8).permutation(8 * len(payload))[:400]]:
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DicomnnError):
            decode(bytes(damaged), lambda _: model)


def test_damage_in_one_frame_leaves_the_other(
    two_frames: tuple[bytes, list[np.ndarray]], model: LossyModel
) -> None:
    payload, decoded = two_frames
    damaged = bytearray(payload)
    damaged[-20] ^= 16
    assert np.array_equal(decode_one(bytes(damaged), lambda _: model, 0), decoded[0])
    with pytest.raises(PayloadCorrupt) as caught:
        decode_one(bytes(damaged), lambda _: model, 1)
    assert caught.value.where == "frame 1"


def test_a_cut_payload_says_so(two_frames: tuple[bytes, list[np.ndarray]]) -> None:
    payload, _ = two_frames
    for length in (0, 10, 30, 40, len(payload) - 1):
        with pytest.raises(PayloadTruncated):
            parse(payload[:length])
    with pytest.raises(PayloadCorrupt):
        parse(payload + b"\0")


def test_another_version_is_refused(two_frames: tuple[bytes, list[np.ndarray]]) -> None:
    payload, _ = two_frames
    with pytest.raises(UnsupportedFormatVersion):
        parse(payload[:4] + b"\1" + payload[5:])


# ------------------------------------------------------------------ the model
def test_a_model_whose_sums_could_overflow_is_refused() -> None:
    arrays = made_arrays(1)
    arrays["inputs"][0, 0, :, 0] = 32000
    arrays["levels"][0, 0, :, 0] = 2**31 - 1
    with pytest.raises(InexactArithmetic):
        LossyModel(to_bytes(arrays, {}))


def test_a_model_with_a_chance_of_nothing_is_refused() -> None:
    arrays = made_arrays(1)
    arrays["still"][0, 0, 0] = 0
    with pytest.raises(ModelCorrupt):
        LossyModel(to_bytes(arrays, {}))


def test_a_cut_model_is_refused(model_bytes: bytes) -> None:
    for data in (model_bytes[:7], model_bytes[:100], model_bytes[:-9], b"x" + model_bytes[1:]):
        with pytest.raises(ModelCorrupt):
            LossyModel(data)


@pytest.mark.parametrize("top", [4095, 16383, 65535])
@pytest.mark.parametrize("promise", ["ratio=1.01", "psnr=90", "psnr=110"])
def test_planes_over_the_whole_range_are_searched_down_to_a_step_that_holds_them(
    top: int, promise: str, model: LossyModel
) -> None:
    y, x = np.mgrid[:64, :64]
    plane = np.where((x // 16 + y // 16) % 2, top, 0) - np.random.default_rng(1).integers(0, 2, x.shape)
    plane = np.clip(plane, 0, top).astype(np.uint16)
    asked = Promise.parse(promise)
    kept = keep(asked, plane, model, Scale(float(top)))
    if kept is None:
        assert promise == "psnr=110" and top > 4095
    else:
        assert kept.reached >= asked.value and psnr(plane, kept.plane, float(top)) > 60
