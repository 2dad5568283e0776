"""Lossy payloads of every format version decode to the same pixels for ever, by both decoders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dicomnn.codec import reference_lossy
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import VERSION, decode

HERE = Path(__file__).resolve().parent
OLDEST = 2  # version 1 was never written by a node
CASES = [
    (version, name)
    for version in range(OLDEST, VERSION + 1)
    for name in sorted(json.loads((HERE / f"lossy-{version}" / "cases.json").read_text()))
]


def test_there_are_golden_lossy_payloads() -> None:
    assert len(CASES) >= 6


@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_golden_lossy_payload_decodes_to_its_pixels_by_both_decoders(version: int, name: str) -> None:
    folder = HERE / f"lossy-{version}"
    case = json.loads((folder / "cases.json").read_text())[name]
    payload = (folder / name / "payload.bin").read_bytes()
    pixels = (folder / name / "pixels.bin").read_bytes()
    assert hashlib.sha256(payload).hexdigest() == case["payload_sha256"], "a golden payload was changed"
    assert hashlib.sha256(pixels).hexdigest() == case["pixels_sha256"], "golden pixels were changed"

    def model_bytes(model_id: str) -> bytes:
        return (folder / "models" / model_id / "model.bin").read_bytes()

    for decoded in (
        decode(payload, lambda model_id: LossyModel(model_bytes(model_id))),
        reference_lossy.decode(payload, model_bytes),
    ):
        assert list(decoded.shape) == case["shape"]
        assert decoded.astype("<u2").tobytes() == pixels
