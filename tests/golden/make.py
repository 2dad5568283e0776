"""Makes the golden payloads of the current format version: `python tests/golden/make.py`.

It writes only what is not there. A golden payload is never changed and never removed; when one no longer
decodes, the decoder is wrong. Only before a format version is released may its folder be removed by hand and
made anew.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np

from dicomnn.codec.decode import decode, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.payload import VERSION
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import METHODS

HERE = Path(__file__).resolve().parent
CT = SampleFormat(16, 12, 11, True)
MR = SampleFormat(16, 16, 15, False)
XRAY = SampleFormat(16, 12, 11, False)


def texture(shape: tuple[int, int, int], middle: float, size: float, seed: int) -> np.ndarray:
    """Interpolated noise round ``middle``: int64 (frames, rows, columns)."""
    noise = np.random.default_rng(seed).normal(0, size, shape)
    for axis in (-1, -2, -1, -2, -1, -2):
        noise = (noise + np.roll(noise, 1, axis)) / np.sqrt(2)
    return np.rint(noise + middle).astype(np.int64)


GROUPED = "neighbour"
"""Cases of this name are coded in groups of three frames."""


def cases() -> dict[str, tuple[np.ndarray, SampleFormat, str, str]]:
    """Name -> frames (int64 stored values or words), format, profile, effort."""
    rng = np.random.default_rng(0)
    neural = texture((1, 34, 36), -300, 40, 1)
    neural[:, 30:, :6] = -2000
    padded = neural.copy()
    padded[:, :, :11] = -2000
    padded[:, 9:12, 20:] = 1500
    made = {
        f"neural-{profile.replace(':', '-')}-{effort}": (neural, CT, profile, effort)
        for profile in ("lossless", "bounded:3")
        for effort in ("fast", "default", "max")
    }
    mixed = texture((3, 6, 270), 1800, 60, 2)
    mixed[1, :, :256] = rng.integers(0, 4096, (6, 256))
    mixed[2] = np.add.outer(np.arange(6) // 2, np.arange(270) // 40) * 3
    overlay = texture((2, 16, 24), 900, 9, 3)
    overlay[1] |= (rng.random((16, 24)) < 0.2) * 0x8000
    sparse = np.rint(texture((2, 40, 44), 500, 20, 4) // 3 * 67)
    stack = texture((1, 20, 44), 700, 60, 6) + texture((5, 20, 44), 0, 3, 7)
    made["neighbour-lossless-fast"] = (stack, MR, "lossless", "fast")
    made["neighbour-lossless-default"] = (stack, MR, "lossless", "default")
    made["neighbour-lossless-max"] = (stack, MR, "lossless", "max")
    made["neighbour-bounded-3-default"] = (stack, MR, "bounded:3", "default")
    made["neighbour-packed"] = (stack // 2 * 37, MR, "lossless", "fast")
    made["jpegls-lossless"] = (padded, CT, "lossless", "fast")
    made["jpegls-bounded-4"] = (padded, CT, "bounded:4", "fast")
    made["multi-frame-tiles"] = (mixed, XRAY, "lossless", "default")
    made["multi-frame-tiles-bounded-5"] = (mixed, XRAY, "bounded:5", "fast")
    made["side-plane"] = (overlay, XRAY, "lossless", "fast")
    made["sign-not-extended"] = (neural & 0xFFF, CT, "lossless", "fast")
    made["sparse-packed"] = (sparse, MR, "lossless", "fast")
    made["16-bit"] = (texture((1, 33, 40), 33000, 9000, 5).clip(0, 65535), MR, "lossless", "default")
    made["8-bit-lines"] = (
        np.tile(np.arange(40) // 9 * 20, (1, 30, 1)),
        SampleFormat(8, 8, 7, False),
        "lossless",
        "fast",
    )
    made["one-pixel"] = (np.array([[[-7]]]), CT, "lossless", "default")
    made["one-bit-words"] = (rng.integers(0, 2, (1, 9, 13)), SampleFormat(8, 1, 0, False), "lossless", "fast")
    return made


def golden_model(folder: Path) -> Model:
    """The model of a version's folder; made from the codec tests' random one when there is none."""
    found = sorted(folder.glob("models/*/model.bin"))
    if found:
        return Model.from_bytes(found[0].read_bytes())
    spec = importlib.util.spec_from_file_location("made_model", HERE.parent / "codec" / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = Model.from_bytes(module.made_model_bytes(1))
    (folder / "models" / model.id).mkdir(parents=True)
    (folder / "models" / model.id / "model.bin").write_bytes(model.data)
    return model


def main() -> None:
    folder = HERE / str(VERSION)
    model = golden_model(folder)
    index_path = folder / "cases.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    for name, (values, sample_format, profile, effort) in cases().items():
        if name in index:
            continue
        frames = values.astype(sample_format.dtype)
        payload = bytes(
            encode(
                frames,
                sample_format,
                profile=Profile.parse(profile),
                model=model,
                effort=effort,
                group=3 if name.startswith(GROUPED) else 0,
            )
        )
        words = decode(payload, lambda model_id: model)
        header = read_header(payload)
        index[name] = {
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
            "pixels_sha256": hashlib.sha256(
                words.astype(words.dtype.newbyteorder("<")).tobytes()
            ).hexdigest(),
            "shape": list(words.shape),
            "dtype": str(words.dtype),
            "profile": profile,
            "effort": effort,
            "methods": sorted({METHODS[method] for method in header.tile_methods}),
        }
        (folder / name).mkdir(parents=True)
        (folder / name / "payload.bin").write_bytes(payload)
        (folder / name / "pixels.bin").write_bytes(words.astype(words.dtype.newbyteorder("<")).tobytes())
        print(f"made {name}: {len(payload)} bytes, {', '.join(index[name]['methods'])}")
    index_path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
