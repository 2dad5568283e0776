"""Which model is meant: an id, a folder models/<id>, a model file, or 'newest'."""

from __future__ import annotations

from pathlib import Path

from dicomnn.codec.model import Model
from dicomnn.errors import UnknownModel, UsageError
from dicomnn.shelf import Shelf, default_shelf


def find_model(text: str, models: Path) -> tuple[Model, Path | None]:
    """The model and, where it lies in a folder of its own, that folder. ``models`` is searched before the
    shelf. Raises UsageError, ModelCorrupt.
    """
    path = Path(text)
    for file in (path / "model.bin", path, models / text / "model.bin"):
        if file.is_file():
            place = file.parent if file.name == "model.bin" else None
            return Model.from_bytes(file.read_bytes()), place
    shelf = default_shelf()
    try:
        if text == "newest":
            return (Shelf([models]) if Shelf([models]).ids() else shelf).newest(), None
        return shelf.get(text), None
    except UnknownModel as error:
        known = ", ".join(dict.fromkeys([*Shelf([models]).ids(), *shelf.ids()]))
        raise UsageError(
            f"'{text}' is no model: neither a folder with model.bin, nor one of {known or '(none)'}."
        ) from error
