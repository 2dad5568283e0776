"""The folder of a run: what was asked for, its images and their sides, its release; one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from dicomnn.errors import RunMismatch, TrainingError
from dicomnn.training.images.records import ImageFile, LeftOut, Measures, Neighbour, PlaneRecord
from dicomnn.training.images.split import APART, SIDES, Split

FORMAT = 1


class RunFolder:
    """``with RunFolder(path) as folder:`` made when it is not there, locked against a second process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> RunFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunMismatch(
                "Another process trains in this folder.",
                subject=str(self.path),
                cure="Wait for it, stop it, or name another folder with --run.",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    # ------------------------------------------------------------------ what was asked for
    def begin(self, fixed: dict[str, Any]) -> None:
        """Write the order down, or compare it with the one that began the run. Raises RunMismatch."""
        told = self._read("run.json")
        if told is None:
            self._write("run.json", json.dumps({"format": FORMAT, **fixed}, indent=2))
            return
        if told.pop("format", None) != FORMAT:
            raise RunMismatch("The run was begun by another version.", subject=str(self.path))
        differs = [key for key in fixed if told.get(key) != json.loads(json.dumps(fixed[key]))]
        if differs:
            was = "; ".join(f"{key}: {json.dumps(told.get(key))}" for key in differs)
            raise RunMismatch(f"The run was begun with other settings ({was}).", subject=str(self.path))

    # ------------------------------------------------------------------ images
    def keep_images(self, dealt: Split, reasons: dict[str, int]) -> None:
        """Fix the run's images and their sides."""
        rows: list[dict[str, Any]] = [{"level": dealt.level, "left_out": reasons}]
        for side, planes in [*dealt.sides.items(), (APART, dealt.apart)]:
            for plane in planes:
                rows.append(
                    {"side": side, "frame": plane.frame}
                    | {"measures": asdict(plane.measures), "file": asdict(plane.file)}
                    | ({"before": asdict(plane.before)} if plane.before else {})
                )
        self._write("images.jsonl", "\n".join(json.dumps(row) for row in rows))

    def images(self) -> tuple[Split, dict[str, int]] | None:
        """Split and reasons as they were fixed, None before. Raises TrainingError for a damaged file."""
        return read_images(self.path)

    def left_out(self, left: Iterable[LeftOut]) -> None:
        """The list of what is no training data, for the user to look at."""
        rows = [asdict(one) | {"why": one.sentence} for one in left]
        self._write("left_out.jsonl", "\n".join(json.dumps(row) for row in rows))

    # ------------------------------------------------------------------ released
    def note_release(self, model_id: str, step: int) -> None:
        self._write("released.json", json.dumps({"id": model_id, "step": step}))

    def released(self) -> dict[str, Any]:
        """``id`` and ``step`` of the latest release of this run, empty before."""
        return self._read("released.json") or {}

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TrainingError(f"{name} is damaged ({error}).", subject=str(self.path)) from error
        return found

    def _write(self, name: str, text: str) -> None:
        part = self.path / f".{name}.part"
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, self.path / name)


def read_images(run: Path) -> tuple[Split, dict[str, int]] | None:
    """Split and reasons of the run in a folder, None where none was begun. Raises TrainingError."""
    path = run / "images.jsonl"
    if not path.exists():
        return None
    sides: dict[str, list[PlaneRecord]] = {side: [] for side in (*SIDES, APART)}
    try:
        with path.open(encoding="utf-8") as lines:
            head = json.loads(next(lines))
            for line in lines:
                row = json.loads(line)
                file, measures = ImageFile(**row["file"]), Measures(**row["measures"])
                before = Neighbour(**row["before"]) if "before" in row else None
                sides[row["side"]].append(PlaneRecord(file, row["frame"], measures, before))
        apart = sides.pop(APART)
        return Split(head["level"], sides, apart), head["left_out"]
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise TrainingError(f"images.jsonl is damaged ({error}).", subject=str(run)) from error
