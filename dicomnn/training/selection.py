"""Images for `dicomnn evaluate`: catalogued and split now, or as a training run fixed them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dicomnn.errors import UsageError
from dicomnn.shelf import Shelf
from dicomnn.training.images import catalogue
from dicomnn.training.images.records import PlaneRecord
from dicomnn.training.images.split import SplitRequest, split
from dicomnn.training.run_folder import read_images
from dicomnn.training.stopping import Stop, Teller


@dataclass(frozen=True)
class Images:
    """``lines``: the catalogue's file, None for a passing one. ``run``: whose split to take."""

    folders: tuple[Path, ...]
    request: SplitRequest
    per_series: int = catalogue.PER_SERIES
    lines: Path | None = None
    run: Path | None = None

    @cached_property
    def shelf(self) -> Shelf:
        return catalogue.shelf_of(self.folders)

    def of(self, side: str, threads: int, teller: Teller, stop: Stop) -> tuple[list[PlaneRecord], str]:
        """Planes of a side (or 'all'), and the level of the split ('' for all). Raises UsageError where there
        are none, Interrupted.
        """
        if self.run is not None and side != "all":
            known = read_images(self.run)
            if known is None:
                raise UsageError(f"No run was begun in {self.run}.")
            planes, level = known[0].sides[side], known[0].level
        else:
            everything = self._catalogued(threads, teller, stop)
            if side == "all":
                planes, level = everything, ""
            else:
                dealt = split(everything, self.request)
                planes, level = dealt.sides[side], dealt.level
        if not planes:
            raise UsageError(f"There is no image on the side '{side}'.", cure="Name another folder or side.")
        return planes, level

    def _catalogued(self, threads: int, teller: Teller, stop: Stop) -> list[PlaneRecord]:
        def progress(what: str, done: int, total: int) -> None:
            stop.check()
            teller.progress(what, done, total)

        with tempfile.TemporaryDirectory() as passing:
            lines = self.lines or Path(passing) / "catalogue.jsonl"
            found = catalogue.build(
                self.folders, lines, per_series=self.per_series, threads=threads, progress=progress
            )
        for reason, count in found.reasons().items():
            teller.say(f"left out ({reason}): {count}")
        return found.planes
