"""A run's state on disk: replaced in one step, read without unpickling anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from dicomnn.errors import TrainingError

FORMAT = 2
NAME = "checkpoint.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, text, dicts and lists of them); a reader sees the old or the new."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """The state, None when there is none yet. Raises TrainingError for a damaged or foreign file."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        found = state.get("format")
    except Exception as problem:  # torch raises many types on bad files
        raise TrainingError(
            f"The checkpoint cannot be read ({type(problem).__name__}).",
            subject=str(path),
            cure="Put an intact copy in its place, or begin a new run.",
        ) from problem
    if found != FORMAT:
        raise TrainingError(
            f"The checkpoint has format {found}; this version reads {FORMAT}.",
            subject=str(path),
            cure="Begin a new run; go on from the run's released model with --from.",
        )
    return state


def read_curves(path: Path, until: int | None = None) -> list[dict[str, Any]]:
    """Records of curves.jsonl up to step ``until``; a torn last line is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if until is None or record["step"] <= until:
                records.append(record)
    return records


def write_curves(path: Path, records: list[dict[str, Any]]) -> None:
    """Replace curves.jsonl: what was measured after the checkpoint that goes on has not happened."""
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    os.replace(partial, path)


def add_curve(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")
