"""A made model: random integers of the right shapes within the exactness bounds. It codes as well as no
network would.
"""

from __future__ import annotations

import numpy as np
import pytest

from dicomnn.codec.causal import INPUTS, WIDTH_1, WIDTH_2
from dicomnn.codec.model import CODE_LENGTH, CODE_SYMBOLS, MODULATIONS, Model, to_bytes
from dicomnn.codec.tables import cdf_tables, log_table


def made_model_bytes(seed: int) -> bytes:
    """Bytes of a model with random weights."""
    rng = np.random.default_rng(seed)

    def integers(limit: int, *shape: int) -> np.ndarray:
        return rng.integers(-limit, limit + 1, shape)

    inner, channels = 24, (4, 6, 8)
    code = np.full((CODE_LENGTH, CODE_SYMBOLS), 65536 // CODE_SYMBOLS)
    code[:, 3] += 65536 - code.sum(axis=1)
    arrays = {
        "log": log_table(),
        "frequencies": np.diff(cdf_tables().astype(np.int64), axis=-1),
        "code_frequencies": code,
        "causal1": integers(40, INPUTS, WIDTH_1),
        "causal1_bias": integers(2000, WIDTH_1),
        "causal2": integers(40, WIDTH_1, WIDTH_2),
        "causal2_bias": integers(2000, WIDTH_2),
        "causal3": integers(2, WIDTH_2, 3),
        "causal3_bias": np.array([0, 0, 64 * 512]),
        "decoder1": integers(60, CODE_LENGTH, inner),
        "decoder1_bias": integers(200, inner),
        "decoder2": integers(30, inner, MODULATIONS),
        "decoder2_bias": integers(200, MODULATIONS),
        "encoder1": integers(30, channels[0], 4, 5, 5),
        "encoder1_bias": integers(500, channels[0]),
        "encoder2": integers(60, channels[1], channels[0], 3, 3),
        "encoder2_bias": integers(500, channels[1]),
        "encoder3": integers(60, channels[2], channels[1], 3, 3),
        "encoder3_bias": integers(500, channels[2]),
        "encoder_dense": integers(400, 2 * channels[2], CODE_LENGTH),
        "encoder_dense_bias": integers(4000, CODE_LENGTH),
    }
    return to_bytes(arrays, {"made": "for tests", "seed": seed})


@pytest.fixture(scope="session")
def made_model() -> Model:
    return Model.from_bytes(made_model_bytes(1))


@pytest.fixture(scope="session")
def other_model() -> Model:
    return Model.from_bytes(made_model_bytes(2))
