"""The reference decoder, written from the document alone, gives what the production decoder gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dicomnn.codec import contenders, reference
from dicomnn.codec.contenders import JPEGLS, NEURAL
from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.reference_jpegls import decode_scan
from dicomnn.codec.reference_model import ReferenceModel
from dicomnn.codec.reference_neural import decode_neural
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import TileContext
from dicomnn.errors import PayloadCorrupt, PayloadError, UnknownModel
from dicomnn.shelf import default_shelf


def tile_of(kind: str, shape: tuple[int, int], peak: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "noise":
        tile = rng.integers(0, peak + 1, shape)
    elif kind == "edges":
        tile = (rng.random(shape) < 0.3).cumsum(axis=1) % 3 * (peak // 2)
    elif kind == "padding":
        tile = np.where(np.arange(shape[1]) < shape[1] // 2, 0, rng.integers(0, peak // 8 + 2, shape))
    else:
        noise = rng.normal(0, 1, shape)
        for axis in (0, 1, 0, 1):
            noise = noise + np.roll(noise, 1, axis)
        tile = np.clip(peak * (0.5 + noise / 30), 0, peak)
    return tile.astype(np.uint16)


KINDS = ("noise", "edges", "padding", "texture")


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("bound", [0, 1, 6])
def test_neural_tiles_decode_alike(made_model: Model, effort: str, bound: int) -> None:
    model = ReferenceModel(made_model.data)
    module = contenders.contender(NEURAL)
    for seed, kind in enumerate(KINDS):
        # From 32 pixels on a tile gets a code; the widest window is 25 pixels wide.
        large = (33, 34) if kind == "texture" else (12, 14)
        for shape, peak in ((large, 4095), ((7, 5), 65535), ((1, 9), 1), ((9, 1), 200)):
            tile = tile_of(kind, shape, peak, seed)
            context = TileContext(peak, bound, effort, made_model)
            if not module.applies(tile, context):
                continue
            data = module.encode(tile, context)
            assert data is not None
            fast = module.decode(data, shape, context)
            slow = decode_neural(data, *shape, peak, bound, effort, model)
            assert np.array_equal(fast, slow), (kind, shape, peak)
            assert int(np.abs(fast.astype(int) - tile).max()) <= bound


def test_every_released_model_decodes_alike() -> None:
    shelf = default_shelf()
    tile = tile_of("texture", (33, 34), 4095, 1)
    for model_id in shelf.ids():
        context = TileContext(4095, 0, "default", shelf.get(model_id))
        data = contenders.contender(NEURAL).encode(tile, context)
        assert data is not None
        slow = decode_neural(data, 33, 34, 4095, 0, "default", ReferenceModel(shelf.model_bytes(model_id)))
        assert np.array_equal(slow, tile)


@pytest.mark.parametrize("bound", [0, 1, 3, 200, 1000])
def test_jpegls_tiles_decode_alike(bound: int) -> None:
    module = contenders.contender(JPEGLS)
    for seed, kind in enumerate(KINDS):
        for shape, peak in (
            ((40, 33), 4095),
            ((20, 21), 65535),
            ((17, 9), 1),
            ((30, 40), 127),
            ((25, 25), 255),
        ):
            tile = tile_of(kind, shape, peak, seed)
            context = TileContext(peak, bound, "fast", None)
            data = module.encode(tile, context)
            if data is not None:
                slow = np.minimum(decode_scan(data[1:], *shape, data[0], bound), peak)
                assert np.array_equal(module.decode(data, shape, context), slow), (kind, shape, peak)


def test_long_runs_and_full_context_counters_decode_alike() -> None:
    module = contenders.contender(JPEGLS)
    tile = np.zeros((120, 200), np.uint16)
    tile[::7, ::31] = 9
    tile[60:, 100:] = tile_of("noise", (60, 100), 15, 0)
    context = TileContext(15, 0, "fast", None)
    data = module.encode(tile, context)
    assert data is not None
    assert np.array_equal(decode_scan(data[1:], 120, 200, data[0], 0), tile)


@pytest.mark.parametrize("profile", ["lossless", "bounded:2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "stored", "high_bit"), [(16, 12, 11), (16, 10, 13), (8, 7, 7)])
def test_whole_payloads_decode_alike(
    made_model: Model, profile: str, signed: bool, allocated: int, stored: int, high_bit: int
) -> None:
    sample_format = SampleFormat(allocated, stored, high_bit, signed)
    rng = np.random.default_rng(stored)
    frames = np.zeros((4, 3, 260), sample_format.dtype)
    for frame, kind in enumerate(KINDS):
        frames[frame] = tile_of(kind, (3, 260), sample_format.mask, frame) << sample_format.shift
    frames[1] |= rng.integers(0, 1 << allocated, frames[1].shape).astype(frames.dtype) & frames.dtype.type(
        1 << 7
    )
    payload = bytes(
        encode(
            frames, sample_format, profile=Profile.parse(profile), model=made_model, effort="fast", group=2
        )
    )
    assert np.array_equal(
        reference.decode(payload, lambda model_id: made_model.data),
        decode(payload, lambda model_id: made_model),
    )


def test_the_reference_notices_damage_too(made_model: Model) -> None:
    frames = tile_of("texture", (20, 20), 4095, 0)[None]
    payload = bytes(
        encode(
            frames,
            SampleFormat(16, 12, 11, False),
            profile=Profile("lossless"),
            model=made_model,
            effort="fast",
        )
    )
    for position in range(0, len(payload), 7):
        damaged = bytearray(payload)
        damaged[position] ^= 4
        with pytest.raises((PayloadError, PayloadCorrupt)):
            reference.decode(bytes(damaged), lambda model_id: made_model.data)
    with pytest.raises(UnknownModel):
        reference.decode(payload, lambda model_id: made_model.data + b"x")


def test_the_reference_needs_neither_torch_nor_numba_nor_any_other_part_of_the_codec(checkout: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'numba', 'jpeg_ls', 'imagecodecs', 'pydicom'): sys.modules[name] = None\n"
        "import dicomnn.codec.reference\n"
        "print(sorted(name for name in sys.modules if name.startswith('dicomnn.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=checkout, check=True
    )
    assert set(eval(done.stdout)) == {
        "dicomnn.codec",
        "dicomnn.codec.reference",
        "dicomnn.codec.reference_jpegls",
        "dicomnn.codec.reference_model",
        "dicomnn.codec.reference_neural",
        "dicomnn.codec.reference_predict",
        "dicomnn.errors",
    }
