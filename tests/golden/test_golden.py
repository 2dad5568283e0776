"""Payloads of every format version decode to the same pixels for ever, by both decoders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dicomnn.codec import reference
from dicomnn.codec.decode import decode, read_header
from dicomnn.codec.model import Model
from dicomnn.codec.payload import VERSION, parse
from dicomnn.codec.tiles import METHODS

HERE = Path(__file__).resolve().parent
VERSIONS = range(2, VERSION + 1)
"""Version 1 was never released."""
CASES = [
    (version, name)
    for version in VERSIONS
    for name in sorted(json.loads((HERE / str(version) / "cases.json").read_text()))
]


def load(version: int, name: str) -> tuple[dict[str, object], bytes, bytes]:
    folder = HERE / str(version)
    case = json.loads((folder / "cases.json").read_text())[name]
    return case, (folder / name / "payload.bin").read_bytes(), (folder / name / "pixels.bin").read_bytes()


def model_bytes(version: int, model_id: str) -> bytes:
    return (HERE / str(version) / "models" / model_id / "model.bin").read_bytes()


@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_golden_payload_decodes_to_its_pixels_by_both_decoders(version: int, name: str) -> None:
    case, payload, pixels = load(version, name)
    assert hashlib.sha256(payload).hexdigest() == case["payload_sha256"], "a golden payload was changed"
    assert hashlib.sha256(pixels).hexdigest() == case["pixels_sha256"], "golden pixels were changed"
    header = read_header(payload)
    assert (str(header.profile), header.effort) == (case["profile"], case["effort"])
    for words in (
        decode(payload, lambda model_id: Model.from_bytes(model_bytes(version, model_id)), threads=2),
        reference.decode(payload, lambda model_id: model_bytes(version, model_id)),
    ):
        assert list(words.shape) == case["shape"] and str(words.dtype) == case["dtype"]
        assert words.astype(words.dtype.newbyteorder("<")).tobytes() == pixels


@pytest.mark.parametrize("version", VERSIONS)
def test_no_golden_case_is_missing_and_each_version_shows_every_method_profile_and_effort(
    version: int,
) -> None:
    folder = HERE / str(version)
    index = json.loads((folder / "cases.json").read_text())
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {*index, "models"}
    neural = [case for case in index.values() if "neural" in case["methods"]]
    assert {method for case in index.values() for method in case["methods"]} == set(METHODS)
    assert {case["profile"].split(":")[0] for case in neural} == {"lossless", "bounded"}
    assert {case["effort"] for case in neural} == {"fast", "default", "max"}
    neighbours = [case for case in index.values() if "neighbour" in case["methods"]]
    assert {case["effort"] for case in neighbours} == {"fast", "default", "max"}
    assert {case["profile"].split(":")[0] for case in neighbours} == {"lossless", "bounded"}
    assert any(read_header((folder / name / "payload.bin").read_bytes()).side_frames.size for name in index)
    assert any(parse(memoryview((folder / name / "payload.bin").read_bytes())).tables for name in index)
