"""Models are found by their id, in an order that is stated, and checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomnn.codec.model import Model
from dicomnn.errors import ConfigurationError, ModelCorrupt, UnknownModel
from dicomnn.shelf import Shelf, default_shelf


def put(folder: Path, model: Model, released: list[str]) -> None:
    (folder / model.id).mkdir(parents=True)
    (folder / model.id / "model.bin").write_bytes(model.data)
    (folder / "released.json").write_text(json.dumps({"models": released}))


def test_the_newest_model_is_the_last_released_one(
    tmp_path: Path, made_model: Model, other_model: Model
) -> None:
    order = [other_model.id, made_model.id]
    put(tmp_path, made_model, order)
    put(tmp_path, other_model, order)
    shelf = Shelf([tmp_path])
    assert shelf.ids() == order
    assert shelf.newest().id == made_model.id
    assert shelf.get(other_model.id).id == other_model.id
    assert shelf.get(other_model.id) is shelf.get(other_model.id)


def test_the_archives_copy_serves_where_no_folder_has_the_model(made_model: Model) -> None:
    asked = []

    def extra(model_id: str) -> bytes | None:
        asked.append(model_id)
        return made_model.data if model_id == made_model.id else None

    shelf = Shelf(extra=extra)
    assert shelf.get(made_model.id).id == made_model.id
    assert shelf.model_bytes(made_model.id) == made_model.data
    with pytest.raises(UnknownModel) as caught:
        shelf.get("0" * 32)
    assert "0" * 32 in str(caught.value) and "models/" in caught.value.cure
    assert asked[0] == made_model.id


@pytest.mark.parametrize("model_id", ["", "../../etc", "ABCDEF0123456789ABCDEF0123456789", "0" * 31])
def test_what_is_no_id_never_becomes_a_path(tmp_path: Path, model_id: str) -> None:
    with pytest.raises(UnknownModel):
        Shelf([tmp_path], extra=lambda asked: pytest.fail(f"{asked} was asked for")).get(model_id)


def test_a_model_under_a_wrong_id_is_refused(tmp_path: Path, made_model: Model, other_model: Model) -> None:
    put(tmp_path, made_model, [made_model.id])
    (tmp_path / made_model.id / "model.bin").write_bytes(other_model.data)
    with pytest.raises(ModelCorrupt):
        Shelf([tmp_path]).newest()


def test_a_shelf_without_models_and_an_unreadable_list_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="No released model"):
        Shelf([tmp_path]).newest()
    (tmp_path / "released.json").write_text('{"models": 3}')
    with pytest.raises(ConfigurationError):
        Shelf([tmp_path]).ids()


def test_the_default_shelf_holds_what_came_with_the_checkout(checkout: Path) -> None:
    listed = default_shelf().ids()
    path = checkout / "models" / "released.json"
    assert listed == (json.loads(path.read_text())["models"] if path.is_file() else [])
