"""Makes the golden payloads of the lossy tier: `python tests/golden/make_lossy.py MODEL.bin`.

It writes only what is not there. A golden payload is never changed and never removed; when one no longer
decodes to its pixels, the decoder is wrong.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from dicomnn.codec.lossy.frame import decode_frame, encode_frame, index_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import VERSION, build

HERE = Path(__file__).resolve().parent


def scene(shape: tuple[int, int], seed: int) -> np.ndarray:
    """An edge, a wave and interpolated noise: uint16 round 1000."""
    noise = np.random.default_rng(seed).normal(0, 60, shape)
    for axis in (0, 1, 0, 1):
        noise = (noise + np.roll(noise, 1, axis)) / np.sqrt(2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.rint(1000 + 250 * np.sin(x / 7) + 500 * (x > y) + noise / 3).astype(np.uint16)


def cases() -> dict[str, tuple[list[np.ndarray], float]]:
    """Name -> planes of one shape, step."""
    padded = scene((70, 61), 1)
    y, x = np.mgrid[:70, :61]
    padded[(y - 35) ** 2 + (x - 30) ** 2 > 900] = 0
    wide = np.random.default_rng(2).integers(0, 65536, (16, 24)).astype(np.uint16)
    return {
        "fine": ([scene((48, 65), 3)], 2.0),
        "coarse": ([scene((90, 75), 4), scene((90, 75), 5)], 40.0),
        "padded": ([padded], 12.0),
        "whole-range": ([wide], 0.25),
        "row": ([scene((1, 50), 6)], 8.0),
        "one-value": ([np.full((9, 12), 777, np.uint16)], 100.0),
    }


def main(model_file: Path) -> None:
    data = model_file.read_bytes()
    model = LossyModel(data)
    folder = HERE / f"lossy-{VERSION}"
    index = folder / "cases.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    for name, (planes, step) in cases().items():
        if name in known:
            continue
        streams = [encode_frame(plane, index_of(step), model) for plane in planes]
        decoded = [
            decode_frame(stream, plane.shape, model) for stream, plane in zip(streams, planes, strict=True)
        ]
        payload, pixels = build(streams, decoded, model), np.stack(decoded).astype("<u2").tobytes()
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "payload.bin").write_bytes(payload)
        (folder / name / "pixels.bin").write_bytes(pixels)
        kept = folder / "models" / model.id / "model.bin"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(data)
        known[name] = {
            "shape": list(np.stack(decoded).shape),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "pixels_sha256": hashlib.sha256(pixels).hexdigest(),
        }
    index.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
