"""Where models are found by their id: the site's own, the released ones that came with dicomnn, then the
archive's own copies.

A folder of models holds ``<id>/model.bin`` for each model and ``released.json``, ``{"models": [ids]}``,
oldest first. The order is stated there because file times survive neither a checkout nor a wheel.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.model import Model
from dicomnn.errors import ConfigurationError, ModelCorrupt, UnknownModel

OWN_MODELS = "DICOMNN_MODELS"
"""Environment variable: a folder of models that is searched first, and whose newest one codes."""

LOSSY_DIGITS = 16
"""Length of the id of a model of the lossy tier; others have 32."""

ModelBytes = Callable[[str], bytes | None]
"""Gives the bytes of a model by its id, or None: how an archive lends its copies."""


class Shelf:
    """Models by id, read once and kept. ``folders`` are searched in order, then ``extra`` is asked.

    May be used from several threads. A shelf's ``get`` is what decode takes as ``models``.
    """

    def __init__(self, folders: Sequence[Path] = (), *, extra: ModelBytes | None = None) -> None:
        self._folders = [Path(folder) for folder in folders]
        self._extra = extra
        self.lossy = LossyShelf(folders, extra=extra)
        """The models of the lossy tier, in the same places."""
        self._models: dict[str, Model] = {}
        self._lock = Lock()

    def ids(self) -> list[str]:
        """Ids of the released models, oldest first, folder by folder. The archive's copies are not listed.

        Raises ConfigurationError where a released.json is unreadable.
        """
        listed: dict[str, None] = {}
        for folder in self._folders:
            listed.update(dict.fromkeys(_released(folder)))
        return list(listed)

    def newest(self) -> Model:
        """The model that new encodes use: the last one of the first folder that lists any. Raises
        UnknownModel.
        """
        for folder in self._folders:
            released = _released(folder)
            if released:
                newest: Model = self.get(released[-1])
                return newest
        raise UnknownModel(
            "No released model was found in "
            + (", ".join(str(folder) for folder in self._folders) or "any folder")
            + ".",
            cure="Install the complete package, or put a model and released.json into models/.",
        )

    def get(self, model_id: str) -> Any:
        """The model with this id: a Model (32 hex digits), or one of the lossy tier, a LossyModel (16).

        Raises UnknownModel, ModelCorrupt.
        """
        if len(model_id) == LOSSY_DIGITS:
            return self.lossy.get(model_id)
        with self._lock:
            if model_id not in self._models:
                self._models[model_id] = self._load(model_id)
            return self._models[model_id]

    def model_bytes(self, model_id: str) -> bytes:
        """The bytes of a model, for whoever keeps a copy. Raises UnknownModel; does not look inside."""
        if len(model_id) == LOSSY_DIGITS:
            return self.lossy.model_bytes(model_id)
        # An id comes out of a payload: only what looks like one may become part of a path.
        if re.fullmatch(r"[0-9a-f]{32}", model_id):
            for folder in self._folders:
                path = folder / model_id / "model.bin"
                if path.is_file():
                    return path.read_bytes()
            if self._extra is not None:
                data = self._extra(model_id)
                if data is not None:
                    return data
        raise UnknownModel(f"The model {model_id!r} is not on the shelf.")

    def _load(self, model_id: str) -> Model:
        model = Model.from_bytes(self.model_bytes(model_id))
        if model.id != model_id:
            raise ModelCorrupt(
                f"The model kept under {model_id} has the id {model.id}: its bytes have changed."
            )
        return model


def default_shelf(*, extra: ModelBytes | None = None) -> Shelf:
    """The site's own models (the folder that ``DICOMNN_MODELS`` names, `dicomnn train` writes there), then
    those that came with this dicomnn: in the installed package, or in ``models/`` of the checkout.
    """
    return Shelf(_default_folders(), extra=extra)


def _default_folders() -> list[Path]:
    package = Path(__file__).resolve().parent
    own = os.environ.get(OWN_MODELS)
    folders = [Path(own)] if own else []
    folders += [package / "models", package.parent / "models"]
    return [folder for folder in folders if folder.is_dir()]


def _released(folder: Path) -> list[str]:
    path = folder / "released.json"
    if not path.is_file():
        return []
    try:
        released = json.loads(path.read_text(encoding="utf-8"))["models"]
        if not isinstance(released, list) or not all(isinstance(entry, str) for entry in released):
            raise TypeError("'models' is not a list of ids")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a list of released models ({error}).") from error
    return released


class LossyShelf:
    """Models of the lossy tier: ``lossy/<id>/model.bin`` (16 hex digits) in the same folders, in the order
    that ``lossy/released.json`` gives, then ``extra`` is asked. ``get`` is what decoding a lossy payload
    takes as ``models``.
    """

    def __init__(self, folders: Sequence[Path], *, extra: ModelBytes | None = None) -> None:
        self._folders = [Path(folder) / "lossy" for folder in folders]
        self._extra = extra
        self._models: dict[str, LossyModel] = {}
        self._lock = Lock()

    def newest(self) -> LossyModel:
        """The model that new encodes use. Raises UnknownModel."""
        for folder in self._folders:
            released = _released(folder)
            if released:
                return self.get(released[-1])
        raise UnknownModel("No model of the lossy tier was found.", cure="Install the complete package.")

    def get(self, model_id: str) -> LossyModel:
        """The model with this id. Raises UnknownModel, ModelCorrupt."""
        with self._lock:
            if model_id not in self._models:
                model = LossyModel(self.model_bytes(model_id))
                if model.id != model_id:
                    raise ModelCorrupt(f"The model kept under {model_id} has the id {model.id}.")
                self._models[model_id] = model
            return self._models[model_id]

    def model_bytes(self, model_id: str) -> bytes:
        """The bytes of a model. Raises UnknownModel."""
        if re.fullmatch(r"[0-9a-f]{16}", model_id):
            for folder in self._folders:
                path = folder / model_id / "model.bin"
                if path.is_file():
                    return path.read_bytes()
            data = None if self._extra is None else self._extra(model_id)
            if data is not None:
                return data
        raise UnknownModel(f"The model {model_id!r} of the lossy tier is not on the shelf.")


def default_lossy_shelf() -> LossyShelf:
    """In the folders of `default_shelf`."""
    return LossyShelf(_default_folders())
