"""These models can never name a payload."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from dicomnn.codec.decode import read_header
from dicomnn.codec.model import Model
from dicomnn.codec.payload import FIXED
from dicomnn.errors import ModelCorrupt, PayloadError, UnknownModel
from dicomnn.seed.codec.model import SeedModel
from dicomnn.seed.codec.triple import SHOWN
from dicomnn.shelf import Shelf, default_shelf


def test_their_ids_do_not_fit_into_a_header(model: SeedModel) -> None:
    (field,) = [size for size in (16,) if f"{size}s" in FIXED.format]
    assert len(bytes.fromhex(model.id)) < field
    assert struct.calcsize("<16s") == field


def test_no_shelf_gives_them_even_where_their_file_lies_on_one(model: SeedModel, tmp_path: Path) -> None:
    assert model.id not in default_shelf().ids()
    for name in (model.id, model.id * 4):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(model.to_bytes())
    shelf = Shelf([tmp_path])
    with pytest.raises(UnknownModel):
        shelf.get(model.id)
    with pytest.raises(ModelCorrupt):
        shelf.get(model.id * 4)


def test_their_files_are_no_models_and_their_streams_no_payloads(
    model: SeedModel, pixels: np.ndarray
) -> None:
    with pytest.raises(ModelCorrupt):
        Model.from_bytes(model.to_bytes())
    with pytest.raises(PayloadError):
        read_header(model.encode(pixels[0].astype(np.float32) / 255))


def test_the_files_for_pages_are_on_no_shelf(checkout: Path) -> None:
    shown = {path.name for path in SHOWN.glob("*.npz")}
    assert len(shown) == 2 and checkout / "models" not in SHOWN.parents
    assert not shown & {path.name for path in (checkout / "models").rglob("*")}
