"""From a trained network to a model: integers, tables, fingerprint. `load_network` is the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dicomnn.codec import tables, tile_coder
from dicomnn.codec.model import CODE_LENGTH, CODE_LIMIT, CODE_SYMBOLS, Model, to_bytes
from dicomnn.errors import ModelCorrupt

from .network import TileCodec

WEIGHT_ONE = 512


def integers(tensor: torch.Tensor, one: float, dtype: type = np.int64) -> np.ndarray:
    """tensor * one, rounded half to even as training rounds."""
    return np.rint(tensor.detach().double().numpy() * one).astype(dtype)


def weight_integers(tensor: torch.Tensor) -> np.ndarray:
    return np.clip(integers(tensor, WEIGHT_ONE), -2047, 2047)


def code_frequencies(codes: np.ndarray) -> np.ndarray:
    """(16, 7) frequencies summing to 65536, each at least 64, from codes (N, 16) in -3..3."""
    out = np.zeros((CODE_LENGTH, CODE_SYMBOLS), dtype=np.int64)
    for i in range(CODE_LENGTH):
        counts = np.bincount(codes[:, i].astype(int) + CODE_LIMIT, minlength=CODE_SYMBOLS) + 0.5
        f = np.maximum(np.floor(counts / counts.sum() * 65536), 64).astype(np.int64)
        f[np.argmax(f)] += 65536 - f.sum()
        out[i] = f
    return out


def arrays_of(network: TileCodec, codes: np.ndarray) -> dict[str, np.ndarray]:
    """All arrays of the model file from a trained network and the codes seen on training tiles."""
    causal, encoder, decoder = network.causal, network.encoder, network.decoder
    cdfs = tables.cdf_tables().astype(np.int64)
    out: dict[str, np.ndarray] = {
        "log": tables.log_table(),
        "frequencies": np.diff(cdfs, axis=-1),
        "code_frequencies": code_frequencies(codes),
        "causal1": weight_integers(causal.first.weight).T,
        "causal1_bias": integers(causal.first.bias, 8192),
        "causal2": weight_integers(causal.second.weight).T,
        "causal2_bias": integers(causal.second.bias, 16384),
        "causal3": weight_integers(causal.third.weight).T,
        "causal3_bias": integers(causal.third.bias, 16384),
        "decoder1": weight_integers(decoder.first.weight).T,
        "decoder1_bias": integers(decoder.first.bias, 512),
        "decoder2": weight_integers(decoder.second.weight).T,
        "decoder2_bias": integers(decoder.second.bias, 16384),
        "encoder_dense": weight_integers(encoder.dense.weight).T,
        "encoder_dense_bias": integers(encoder.dense.bias, 16384),
    }
    for n, layer in enumerate(encoder.convolutions, 1):
        out[f"encoder{n}"] = weight_integers(layer.weight)
        out[f"encoder{n}_bias"] = integers(layer.bias, 8192 if n == 1 else 16384)
    return out


def export(network: TileCodec, codes: np.ndarray, about: dict[str, Any]) -> Model:
    """The model of a network, parsed back from its own bytes with every check and the self-test run."""
    arrays = arrays_of(network, codes)
    bare = Model.from_bytes(to_bytes(arrays, about))
    return Model.from_bytes(to_bytes(arrays, {**about, "fingerprint": tile_coder.fingerprint(bare)}))


@torch.no_grad()
def codes_of(network: TileCodec, maps: list[np.ndarray]) -> np.ndarray:
    """(N, 16) codes of maps (4, h, w) int8, one by one since their sizes differ."""
    return np.concatenate([network.encoder(torch.from_numpy(m[None]).float() / 16).numpy() for m in maps])


def no_codes() -> np.ndarray:
    """What stands for codes where every image is too small for the encoder: the zero code."""
    return np.zeros((1, CODE_LENGTH))


def load_network(arrays: dict[str, np.ndarray]) -> TileCodec:
    """The inverse of `arrays_of`: a network whose export gives these very integers. For going on from a
    released model; what the arrays do not hold (optimiser, code statistics) begins anew.

    Raises ModelCorrupt where the arrays are those of another kind of network.
    """
    network = TileCodec()
    causal, encoder, decoder = network.causal, network.encoder, network.decoder
    layers: list[tuple[str, Any, float]] = [
        ("causal1", causal.first, 8192),
        ("causal2", causal.second, 16384),
        ("causal3", causal.third, 16384),
        ("decoder1", decoder.first, 512),
        ("decoder2", decoder.second, 16384),
        ("encoder_dense", encoder.dense, 16384),
    ]
    for n, layer in enumerate(encoder.convolutions, 1):
        layers.append((f"encoder{n}", layer, 8192 if n == 1 else 16384))
    with torch.no_grad():
        for name, layer, one in layers:
            weights = arrays[name].astype(np.float64) / WEIGHT_ONE
            weights = weights.T if weights.ndim == 2 else weights
            if tuple(layer.weight.shape) != weights.shape:
                raise ModelCorrupt(
                    f"{name} is {weights.shape}, this version trains {tuple(layer.weight.shape)}",
                    cure="Train from the start, or from a model that this version exported.",
                )
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)).float())
            layer.bias.copy_(torch.from_numpy(arrays[name + "_bias"].astype(np.float64) / one).float())
    return network
