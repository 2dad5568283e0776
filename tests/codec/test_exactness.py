"""Decoding gives the same integers whatever the machine, the libraries' settings or the batch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnn.codec import autoencoder, features, intnet, tile_coder
from dicomnn.codec.contenders import neural
from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.model import (
    EXACT_LIMIT,
    INPUT_LIMIT,
    Model,
    adversarial_inputs,
    check_bounds,
    self_test,
    to_bytes,
)
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import TileContext
from dicomnn.errors import InexactArithmetic, ModelCorrupt, PayloadCorrupt
from dicomnn.shelf import default_shelf

BATCHES = (1, 15, 16, 17, 64)
FORMAT = SampleFormat(bits_allocated=16, bits_stored=12, high_bit=11, signed=False)


@pytest.fixture(scope="module")
def model() -> Model:
    return default_shelf().newest()


def noisy(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = 900 + 300 * np.sin(x / 17) + 200 * np.cos(y / 11)
    return np.clip(smooth + rng.normal(0, 12, (rows, columns)), 0, 4095).astype(np.uint16)


@contextmanager
def torch_settings(onednn: bool, threads: int, precision: str, autocast: bool) -> Iterator[None]:
    before = (torch.backends.mkldnn.enabled, torch.get_num_threads(), torch.get_float32_matmul_precision())
    torch.backends.mkldnn.enabled = onednn
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            yield
    finally:
        torch.backends.mkldnn.enabled = before[0]
        torch.set_num_threads(before[1])
        torch.set_float32_matmul_precision(before[2])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("onednn", [True, False])
def test_convolutions_are_exact_at_every_batch_and_setting(
    model: Model, onednn: bool, threads: int, precision: str, autocast: bool
) -> None:
    rng = np.random.default_rng(5)
    for weights, bias, shift, lowest, highest in autoencoder.layers_for_self_test(model):
        worst = np.where(weights >= 0, highest, lowest).astype(np.int16)
        images = np.tile(np.resize(worst, (64, *weights.shape[1:])), (1, 1, 3, 3))
        images[32:] = rng.integers(lowest, highest + 1, images[32:].shape)
        expected = intnet.convolve_plain(images, weights, bias, shift)
        for batch in BATCHES:
            with torch_settings(onednn, threads, precision, autocast):
                got = intnet.convolve(images[:batch], weights, bias, shift)
            np.testing.assert_array_equal(got, expected[:batch])


def test_the_guards_leave_the_callers_settings_as_they_were(model: Model) -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        neural.encode(noisy(64, 64, 1), TileContext(4095, 0, "fast", model))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_sums_at_the_bound_are_exact_and_beyond_it_the_model_is_refused(model: Model) -> None:
    self_test(model)
    arrays = dict(model.arrays)
    weights = np.full_like(arrays["causal1"], 2**15 - 1)
    assert np.abs(adversarial_inputs(weights, INPUT_LIMIT) @ weights.astype(np.int64)).max() > EXACT_LIMIT
    arrays["causal1"] = weights
    self_test(Model.from_bytes(to_bytes(arrays, {})))
    beyond = dict(model.arrays)
    beyond["causal2_bias"] = np.full_like(beyond["causal2_bias"], 2**31 - 1)
    with pytest.raises(ModelCorrupt, match="causal2 can reach"):
        check_bounds(beyond)
    beyond = dict(model.arrays)
    beyond["encoder2"] = np.full_like(beyond["encoder2"], EXACT_LIMIT // (255 * 144) + 1)
    with pytest.raises(ModelCorrupt, match="encoder2 can reach"):
        Model.from_bytes(to_bytes(beyond, {}))


def test_a_machine_that_computes_otherwise_is_refused(model: Model) -> None:
    other = Model.from_bytes(to_bytes(model.arrays, {"fingerprint": "0" * 64}))
    with pytest.raises(InexactArithmetic, match="was released with"):
        neural.encode(noisy(32, 32, 2), TileContext(4095, 0, "fast", other))


def test_the_released_model_carries_its_fingerprint(model: Model) -> None:
    assert model.about["fingerprint"] == tile_coder.fingerprint(model)


@pytest.mark.parametrize("bound", [0, 1, 5])
@pytest.mark.parametrize("effort", ["fast", "default", "max"])
def test_a_neural_tile_comes_back_within_its_bound(model: Model, effort: str, bound: int) -> None:
    tile = noisy(70, 90, 3)
    tile[:20, :30] = 7
    tile[40, 50] = 4095
    context = TileContext(4095, bound, effort, model)
    decoded = neural.decode(neural.encode(tile, context), tile.shape, context)
    assert np.abs(decoded.astype(int) - tile).max() <= bound


def test_full_range_noise_and_steps_come_back(model: Model) -> None:
    rng = np.random.default_rng(9)
    tiles = [
        rng.integers(0, 65536, (33, 40)).astype(np.uint16),
        np.where(np.indices((31, 35)).sum(0) % 2 == 0, 0, 65535).astype(np.uint16),
        np.repeat(np.arange(50, dtype=np.uint16)[:, None] * 1300, 3, axis=1),
    ]
    for tile in tiles:
        context = TileContext(65535, 0, "default", model)
        np.testing.assert_array_equal(neural.decode(neural.encode(tile, context), tile.shape, context), tile)


def test_the_end_of_the_stream_shows_damage_but_to_bits_that_were_equally_likely(model: Model) -> None:
    """The container's checksum refuses every flipped bit; this is the check of a tile that has none."""
    tile = noisy(24, 24, 4)
    context = TileContext(4095, 0, "fast", model)
    data = neural.encode(tile, context)
    refused = 0
    bits = range(0, 8 * len(data), 7)
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert not np.array_equal(neural.decode(bytes(damaged), tile.shape, context), tile)
        except PayloadCorrupt:
            refused += 1
    assert refused >= 0.99 * len(bits)


def test_training_walks_and_coding_see_the_same_inputs(model: Model) -> None:
    """Features are a function of the past alone: changing a later pixel changes none before it."""
    tile = noisy(40, 40, 6)
    later = tile.copy()
    later[30:] = 0

    def walk(t: np.ndarray) -> np.ndarray:
        return features.extract(
            t,
            peak=4095,
            start=900,
            start_error=300,
            effort="max",
            log_table=model.log,
        ).inputs

    np.testing.assert_array_equal(walk(tile)[:30], walk(later)[:30])


SCRIPT = """
import hashlib, sys
import numpy as np
import torch
from dicomnn.codec.decode import decode
from dicomnn.shelf import default_shelf
payload = open(sys.argv[1], "rb").read()
torch.set_num_threads(int(sys.argv[2]))
torch.set_float32_matmul_precision("medium")
with torch.autocast("cpu", dtype=torch.bfloat16):
    frames = decode(payload, default_shelf().get, threads=int(sys.argv[2]))
print(hashlib.sha256(frames.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "environment",
    [{}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"ONEDNN_MAX_CPU_ISA": "SSE41"}, {"NUMBA_CPU_NAME": "generic"}],
    ids=["plain", "avx2", "sse41", "generic-cpu"],
)
def test_a_payload_decodes_alike_in_other_processes_and_instruction_sets(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    frames = np.stack([noisy(90, 80, seed) for seed in range(3)])
    payload = bytes(
        encode(
            frames,
            FORMAT,
            profile=Profile.parse("lossless"),
            model=default_shelf().newest(),
            effort="default",
        )
    )
    (tmp_path / "payload").write_bytes(payload)
    wanted = hashlib.sha256(frames.tobytes()).hexdigest()
    settings = {**os.environ, **environment}
    if "NUMBA_CPU_NAME" in environment:
        settings["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "payload"), threads],
            env=settings,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.stdout.strip() == wanted, done.stderr


def test_decoding_needs_no_torch(tmp_path: Path) -> None:
    frames = noisy(64, 70, 8)[None]
    payload = bytes(
        encode(
            frames, FORMAT, profile=Profile.parse("lossless"), model=default_shelf().newest(), effort="fast"
        )
    )
    (tmp_path / "payload").write_bytes(payload)
    script = (
        "import sys, hashlib\nsys.modules['torch'] = None\n"
        "from dicomnn.codec.decode import decode\nfrom dicomnn.shelf import default_shelf\n"
        "frames = decode(open(sys.argv[1], 'rb').read(), default_shelf().get)\n"
        "print(hashlib.sha256(frames.tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "payload")], capture_output=True, text=True, timeout=280
    )
    assert done.stdout.strip() == hashlib.sha256(frames.tobytes()).hexdigest(), done.stderr


def test_decoding_is_the_same_with_one_and_two_threads() -> None:
    frames = np.stack([noisy(300, 280, seed) for seed in range(2)])
    payload = bytes(
        encode(
            frames, FORMAT, profile=Profile.parse("lossless"), model=default_shelf().newest(), effort="fast"
        )
    )
    for threads in (1, 2):
        np.testing.assert_array_equal(decode(payload, default_shelf().get, threads=threads), frames)
