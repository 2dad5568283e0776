"""Which model of the lossy tier is meant: an id, a folder lossy/<id>, a model file, or 'newest'."""

from __future__ import annotations

from pathlib import Path

from dicomnn.codec.lossy.model import LossyModel
from dicomnn.errors import ModelCorrupt, UnknownModel, UsageError
from dicomnn.shelf import LossyShelf, default_lossy_shelf


def find_lossy_model(text: str, models: Path) -> LossyModel:
    """The model. ``models`` is searched before the shelf. Raises UsageError, ModelCorrupt."""
    path = Path(text)
    for file in (path / "model.bin", path):
        if file.is_file():
            return LossyModel(file.read_bytes())
    for shelf in (LossyShelf([models]), default_lossy_shelf()):
        try:
            return shelf.newest() if text == "newest" else shelf.get(text)
        except UnknownModel:
            continue
    raise UsageError(
        f"'{text}' is no model of the lossy tier: neither a folder with model.bin, nor an id of one."
    )


def newest_lossy_model(models: Path) -> LossyModel | None:
    """What a new model is compared with: the newest one; None where there is none that this version reads."""
    try:
        return find_lossy_model("newest", models)
    except (UsageError, ModelCorrupt):
        return None
