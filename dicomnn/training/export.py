"""From a checkpoint to a released model: integers, tables, checks, files under models/<id>/."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomnn.codec import tables, tile_coder
from dicomnn.codec.model import CODE_LENGTH, CODE_LIMIT, CODE_SYMBOLS, Model, check_bounds, to_bytes

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


def release(model: Model, folder: Path, curves: list[dict[str, Any]], card: str) -> Path:
    """Write models/<id>/ and make it the newest in models/released.json."""
    place = folder / model.id
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.bin").write_bytes(model.data)
    manifest = {
        "id": model.id,
        "bytes": len(model.data),
        "about": model.about,
        "largest_sums": check_bounds(model.arrays),
    }
    (place / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    (place / "curves.json").write_text(json.dumps(curves) + "\n")
    (place / "CARD.md").write_text(card)
    listing = folder / "released.json"
    released = json.loads(listing.read_text()) if listing.exists() else {"models": []}
    released["models"] = [m for m in released["models"] if m != model.id] + [model.id]
    listing.write_text(json.dumps(released, indent=2) + "\n")
    return place


def load_checkpoint(path: Path) -> tuple[TileCodec, dict[str, Any]]:
    """Network and state of a run's checkpoint.pt (tensors only; nothing is unpickled)."""
    state = torch.load(path, weights_only=True)
    network = TileCodec()
    network.load_state_dict(state["network"])
    return network.eval(), state


@torch.no_grad()
def codes_of(network: TileCodec, maps: list[np.ndarray]) -> np.ndarray:
    """(N, 16) codes of maps (4, h, w) int8, one by one since their sizes differ."""
    return np.concatenate([network.encoder(torch.from_numpy(m[None]).float() / 16).numpy() for m in maps])


def main() -> None:
    from .data import Sampler, load

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", default="models")
    parser.add_argument("--card", default="")
    arguments = parser.parse_args()
    run = Path(arguments.run)
    network, state = load_checkpoint(run / "checkpoint.pt")
    held = [s for s in (state["validation"] + "," + state["test"]).split(",") if s]
    sampler = Sampler(load(Path(arguments.data), exclude=held), 99)
    crops = [sampler.draw() for _ in range(300)]
    codes = codes_of(network, [c.maps for c in crops if min(c.maps.shape[1:]) >= 32])
    curves = [json.loads(line) for line in (run / "curves.jsonl").read_text().splitlines()]
    about = {
        "steps": state["step"],
        "minutes": round(state["spent"] / 60, 1),
        "width": state["width"],
        "validation": state["validation"].split(","),
        "test": state["test"].split(","),
        "validated": curves[-1] if curves else {},
    }
    card = (
        Path(arguments.card).read_text() if arguments.card else f"# Model\n\n{json.dumps(about, indent=2)}\n"
    )
    model = export(network, codes, about)
    print(
        model.id,
        release(model, Path(arguments.models), curves, card),
        len(model.data),
        check_bounds(model.arrays),
    )


if __name__ == "__main__":
    main()
