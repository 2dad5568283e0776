"""models/<id>/: a released model appears whole, and is never changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicomnn.codec.model import Model, check_bounds


def release(
    model: Model,
    folder: Path,
    *,
    curves: Sequence[dict[str, Any]],
    card: str,
    data: dict[str, Any],
    verification: dict[str, Any],
    picture: Path | None = None,
) -> Path:
    """Write ``folder``/<id>/ and make it the newest in released.json; one that is there stays as it is."""
    manifest = {
        "id": model.id,
        "bytes": len(model.data),
        "about": model.about,
        "data": data,
        "verification": verification,
        "largest_sums": check_bounds(model.arrays),
    }
    return put(model.id, model.data, folder, manifest, curves=curves, card=card, picture=picture)


def put(
    model_id: str,
    model: bytes,
    folder: Path,
    manifest: dict[str, Any],
    *,
    curves: Sequence[dict[str, Any]],
    card: str,
    picture: Path | None = None,
) -> Path:
    """As `release`, for the bytes of any kind of model."""
    place = folder / model_id
    if not (place / "model.bin").exists():
        partial = folder / f".{model_id}.part"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "model.bin").write_bytes(model)
        _write(partial / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True))
        _write(partial / "curves.json", json.dumps(list(curves)))
        _write(partial / "CARD.md", card.rstrip("\n"))
        if picture is not None and picture.exists():
            shutil.copyfile(picture, partial / "curves.png")
        for path in [*partial.iterdir(), partial]:
            _sync(path)
        os.rename(partial, place)
    listing = folder / "released.json"
    released = json.loads(listing.read_text(encoding="utf-8")) if listing.exists() else {"models": []}
    released["models"] = [known for known in released["models"] if known != model_id] + [model_id]
    part = folder / ".released.json.part"
    _write(part, json.dumps(released, indent=2))
    _sync(part)
    os.replace(part, listing)
    _sync(folder)
    return place


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
