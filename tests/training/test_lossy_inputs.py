"""What the lossy trainer computes in NumPy is what the codec's kernels compute, place by place."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from dicomnn.codec.lossy.bands import EIGHT, begin_band, begin_row, end_row, find_scales
from dicomnn.codec.lossy.frame import encode_frame, index_of
from dicomnn.codec.lossy.layout import plan_of
from dicomnn.codec.lossy.magnitudes import class_of, mark_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.training.lossy import marks
from dicomnn.training.lossy.fitting import begin, model_of
from dicomnn.training.lossy.frames import Drawn, Frame, quantised
from dicomnn.training.lossy.network import ScaleNetwork, scales_of
from dicomnn.training.lossy.walks import replay

SHAPES = [(96, 88), (61, 75), (40, 130)]


def scene(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    edge = 600 * (np.hypot(y - rows / 2, x - columns / 3) < rows / 3)
    noise = rng.normal(0, 15, x.shape)
    return np.clip(np.rint(800 + edge + 90 * np.sin(x / 6 + seed) + noise), 0, 4095).astype(np.uint16)


@pytest.fixture(scope="module")
def model() -> LossyModel:
    return model_of(begin(ScaleNetwork(3)), {})[0]


def framed(shape: tuple[int, int], model: LossyModel) -> Frame:
    return quantised(Drawn(scene(*shape), index_of(30.0), "CT"), model)


@njit(error_model="numpy")
def walk(number, bands, strides, room, tables, scales):  # type: ignore[no-untyped-def]
    """Scales of all places of a band as the coding loop has them, from the marks as they are at its end."""
    level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
    parts = (width + 15) // 16
    begin_band(room)
    for y in range(height):
        begin_row(bands, strides, number, y, room)
        for odd in range(2):
            for s in range(parts):
                find_scales(o, level, odd, EIGHT * s, room, tables, room.z)
            for i in range((width + 1 - odd) >> 1):
                scales[y, 2 * i + odd] = room.z[i]
        end_row(room, parts)


@pytest.mark.parametrize("shape", SHAPES)
def test_scales_of_every_place_are_those_of_the_kernel(shape: tuple[int, int], model: LossyModel) -> None:
    frame = framed(shape, model)
    plan = plan_of(*shape, frame.levels)
    seen = 0
    for number, band in enumerate(marks.bands_of(frame.values, frame.levels)):
        scales = np.zeros(band.values.shape, np.int16)
        walk(number, plan.bands, plan.strides, band.known.room, model.tables, scales)
        band.coded[:] = True
        for odd in (0, 1):
            at = band.places(odd)
            which = 2 * band.orientation + odd
            ours = scales_of(model.arrays, which, band.level, band.inputs(at))
            np.testing.assert_array_equal(ours, band.at(at, scales))
            seen += len(set(ours.tolist()))
    assert seen > 200


@pytest.mark.parametrize("shape", SHAPES)
def test_events_counted_by_the_replay_make_the_stream_to_the_byte(
    shape: tuple[int, int], model: LossyModel
) -> None:
    """Places, states, signs and still parts, priced with the tables, are the stream's length."""
    plane = scene(*shape)
    quality = index_of(30.0)
    frame = quantised(Drawn(plane, quality, "CT"), model)
    bits = 0.0
    signs = np.full((6, 27), 32768.0)
    still = model.arrays["still"].astype(float)
    for band in marks.bands_of(frame.values, frame.levels):
        o = band.orientation
        places = [band.places(odd) for odd in (0, 1)]
        values = [band.at(at) for at in places]
        classes = [marks.classes_of(np.abs(v)) for v in values]
        scales = [
            scales_of(model.arrays, 2 * o + odd, band.level, band.inputs(at)) for odd, at in enumerate(places)
        ]
        states = [np.zeros(len(v), np.int64) for v in values]
        rows = [at.y for at in places]
        replay(o, len(band.values), *scales, *rows, *classes, model.tables.slopes, band.known.room, *states)
        for odd, at in enumerate(places):
            bits += float(model.costs[states[odd], classes[odd]].sum())
            contexts = band.sign_contexts(at)[classes[odd] > 0]
            for c, negative in zip(contexts, values[odd][classes[odd] > 0] < 0, strict=True):
                one = signs[2 * o + odd, c]
                bits -= float(np.log2((one if negative else 65536 - one) / 65536))
                signs[2 * o + odd, c] += ((65536 - 64 if negative else 64) - one) / 64
        for c, coded in zip(*band.still_contexts(), strict=True):
            one = still[o, band.level, c]
            bits -= float(np.log2((one if coded else 65536 - one) / 65536))
            still[o, band.level, c] += ((65536 - 32 if coded else 32) - one) / 32
    lowest = 16 * (8 + frame.values[: shape[0] >> frame.levels, : shape[1] >> frame.levels].size)
    assert 0 < frame.bits - bits < lowest
    assert 8 * len(encode_frame(plane, quality, model)) == frame.bits


def test_marks_and_classes_are_those_of_the_codec() -> None:
    sizes = np.array([*range(600), 4095, 4096, 65535, 65536, 700000])
    assert marks.marks_of(sizes).tolist() == [mark_of(int(m)) for m in sizes]
    assert marks.classes_of(sizes).tolist() == [class_of(int(m))[0] for m in sizes]


def test_a_network_comes_back_from_its_integers() -> None:
    arrays = begin(ScaleNetwork(5))
    again = begin(ScaleNetwork.from_integers(arrays))
    for name in ("inputs", "levels", "heads", "heads_bias"):
        np.testing.assert_array_equal(again[name], arrays[name])
    # Chances below 1 / 65536 do not come back.
    assert np.abs(again["frequencies"] - arrays["frequencies"]).max() < 60
