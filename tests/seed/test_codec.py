"""The seed's codec: bytes are real, and what comes back is made from them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dicomnn.errors import ModelCorrupt, PayloadCorrupt, SamplesInvalid, UnknownModel
from dicomnn.seed.codec.coding import decode_symbols, encode_symbols, tables_of
from dicomnn.seed.codec.model import SeedModel
from dicomnn.seed.codec.triple import beside, shown_model, square, triple


def unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def test_coded_bytes_decode_to_the_same_latent(model: SeedModel, pixels: np.ndarray) -> None:
    again = SeedModel.from_bytes(model.to_bytes())  # as another process would have it
    for image in pixels:
        coded = model.encode(unit(image))
        assert np.array_equal(again.decode_latent(coded), model.latent(unit(image)))


def test_latents_that_training_never_saw_are_coded_too(model: SeedModel) -> None:
    noise = np.random.default_rng(1).random((128, 128)).astype(np.float32)
    assert np.array_equal(model.decode_latent(model.encode(noise)), model.latent(noise))


def test_the_ratio_counts_the_real_bytes(model: SeedModel, pixels: np.ndarray) -> None:
    made = triple(unit(pixels[0]), model)
    assert made.metrics.coded_bytes == len(made.coded)
    assert made.metrics.ratio == pixels[0].size / len(made.coded)


def test_the_decompressed_image_is_made_from_the_bytes_alone(model: SeedModel, pixels: np.ndarray) -> None:
    made = triple(unit(pixels[1]), model)
    decoded = SeedModel.from_bytes(model.to_bytes()).decode(made.coded)
    assert np.array_equal(np.rint(decoded * 255), made.decompressed)
    assert np.array_equal(made.original, pixels[1])


@pytest.mark.parametrize("seed", range(4))
def test_any_symbols_come_back_under_any_tables(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 10 ** random.integers(0, 6), (3, 256))
    symbols = random.integers(0, 256, (3, int(random.integers(1, 500)))).astype(np.uint8)
    tables = tables_of(counts)
    assert (np.diff(tables.astype(np.int64)) > 0).all() and (tables[:, -1] == 65536).all()
    assert np.array_equal(decode_symbols(encode_symbols(symbols, tables), tables, symbols.shape[1]), symbols)


def test_cut_and_foreign_bytes_are_refused(model: SeedModel, pixels: np.ndarray) -> None:
    coded = model.encode(unit(pixels[0]))
    for bad in (b"", coded[:9], coded[:-2], coded[:-1], coded + b"\0\0", b"DNNP" + coded[4:]):
        with pytest.raises(PayloadCorrupt):
            model.decode_latent(bad)
    with pytest.raises(PayloadCorrupt):
        model.decode_latent(coded[:8] + b"\1\1" + coded[10:])
    with pytest.raises(UnknownModel):
        model.decode_latent(coded[:4] + bytes(4) + coded[8:])


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((128, 128), np.uint8),
        np.full((128, 128), 1.5, np.float32),
        np.full((128, 128), np.nan, np.float32),
        np.zeros((130, 126), np.float32),
        np.zeros((1, 128, 128), np.float32),
    ],
)
def test_what_is_no_image_in_0_to_1_is_refused(model: SeedModel, bad: np.ndarray) -> None:
    with pytest.raises(SamplesInvalid):
        triple(bad, model)


def test_a_damaged_model_file_is_refused(model: SeedModel) -> None:
    data = model.to_bytes()
    for bad in (b"", data[:100], b"DNNMODEL" + data):
        with pytest.raises(ModelCorrupt):
            SeedModel.from_bytes(bad[: len(bad)])


@pytest.mark.parametrize("kernel", [2, 3])
def test_the_model_for_pages_takes_images_of_any_fitting_size(kernel: int) -> None:
    ramp = np.linspace(0, 1, 96 * 160, dtype=np.float32).reshape(96, 160)
    made = triple(ramp, shown_model(kernel))
    assert made.decompressed.shape == made.original.shape == (96, 160)
    assert made.metrics.psnr > 20
    with pytest.raises(UnknownModel):
        shown_model(5)


def test_our_codec_stands_beside_it_at_no_more_bytes_and_without_loss(pixels: np.ndarray) -> None:
    made = triple(unit(pixels[2]), shown_model(3))
    exact = beside(made, None)[-1]
    assert exact.profile == "lossless" and np.array_equal(exact.decoded, made.original)
    small = replace(made, coded=bytes(exact.metrics.coded_bytes - 1))
    first, last = beside(small, None)
    assert first.profile.startswith("bounded:") and first.metrics.coded_bytes <= len(small.coded)
    assert last.profile == "lossless" and not np.array_equal(first.decoded, made.original)
    large = replace(made, coded=bytes(exact.metrics.coded_bytes))
    assert [each.profile for each in beside(large, None)] == ["lossless"]
    assert [each.profile for each in beside(replace(made, coded=b"1"), None)] == ["lossless"]


def test_any_plane_of_numbers_becomes_a_square_the_codec_takes() -> None:
    values = np.random.default_rng(2).normal(-500, 300, (60, 90)).astype(np.int16)
    found = square(values, 128)
    assert found.shape == (128, 128) and found.dtype == np.float32
    assert found.min() >= 0 and 0.9 < found.max() <= 1
    assert np.allclose(np.rint(found * 255), found * 255, atol=1e-3)
    assert triple(square(np.zeros((5, 5)), 128), shown_model(2)).original.max() == 0
