"""Training of the lossy tier's networks: they learn, and what they learned codes smaller and exactly."""

from __future__ import annotations

import numpy as np

from dicomnn.codec.lossy.frame import decode_frame, encode_frame, index_of
from dicomnn.codec.lossy.model import LossyModel, to_bytes
from dicomnn.training.lossy_network import bits, export, start, train
from dicomnn.training.lossy_samples import samples


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:128, :128]
    edge = 600 * (np.hypot(y - rng.integers(40, 90), x - rng.integers(40, 90)) < rng.integers(15, 50))
    return np.clip(
        np.rint(800 + edge + 90 * np.sin(x / 6 + seed) + rng.normal(0, 15, x.shape)), 0, 4095
    ).astype(np.uint16)


def test_training_saves_bits_and_its_export_codes_smaller_than_the_start() -> None:
    found = samples([scene(seed) for seed in range(6)], 1)
    assert [len(part.values) > 1000 for part in found] == [True] * 3
    before = [start(seed) for seed in range(3)]
    after = [train(part, seed, 120) for seed, part in enumerate(found)]
    for part, untrained, trained in zip(found, before, after, strict=True):
        assert bits(part, trained) < 0.8 * bits(part, untrained)
    plane, sizes = scene(99), []
    for networks in (before, after):
        model = LossyModel(to_bytes(export(networks), {}))
        stream = encode_frame(plane, index_of(30.0), model)
        assert decode_frame(stream, plane.shape, model).shape == plane.shape
        sizes.append(len(stream))
    assert sizes[1] < 0.9 * sizes[0]
