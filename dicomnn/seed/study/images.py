"""The images: catalogued and split as `dicomnn train` does it, windowed, resized, 8 bits.

Each image is made square by itself (``codec/square.py``). No patient and no scanner is on two sides. Where
the images are those that the released model of our own codec was trained on, its validation and test sources
are taken, so that neither codec has seen a test image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnn.codec.model import Model
from dicomnn.errors import TrainingError, UsageError
from dicomnn.seed.codec.network import SIDES
from dicomnn.seed.codec.square import resized, windowed
from dicomnn.shelf import default_shelf
from dicomnn.training.images import catalogue, reading
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import NotUsable, PlaneRecord
from dicomnn.training.images.split import TEST, TRAIN, VALIDATION, SplitRequest, split
from dicomnn.training.stopping import Stop, Teller

MOST_VALIDATION, MOST_TEST = 12, 16


@dataclass(frozen=True)
class Prepared:
    """``pixels``: side of the image -> (N, side, side) uint8; ``records``: where each came from."""

    records: list[PlaneRecord]
    pixels: dict[int, np.ndarray]


@dataclass(frozen=True)
class Images:
    """``digest`` names images and sides; ``counts`` and ``sentence`` say how they were split."""

    train: Prepared
    validation: Prepared
    test: Prepared
    counts: dict[str, dict[str, int]]
    sentence: str
    digest: str


def prepare(
    folder: Path, run: Path, per_series: int, model: Model | None, teller: Teller, stop: Stop
) -> Images:
    """Raises UsageError where there are no images, TrainingError where there are too few, Interrupted."""

    def progress(what: str, done: int, total: int) -> None:
        stop.check()
        teller.progress(what, done, total)

    found = catalogue.build([folder], run / "catalogue.jsonl", per_series=per_series, progress=progress)
    dealt = split(found.planes, request_for(found.planes, model))
    cache = PlaneCache(found.shelf)
    wanted = {
        TRAIN: dealt.sides[TRAIN],
        VALIDATION: spread(one_a_series(dealt.sides[VALIDATION]), MOST_VALIDATION),
        TEST: spread(one_a_series(dealt.sides[TEST]), MOST_TEST),
    }
    sides = {}
    total, done = sum(map(len, wanted.values())), 0
    for side, records in wanted.items():
        kept, pixels = [], {size: [] for size in SIDES}  # type: tuple[list[PlaneRecord], dict[int, list[np.ndarray]]]
        for record in records:
            progress("windowing and resizing", done, total)
            done += 1
            try:
                unit = windowed(cache.get(record))
            except NotUsable:
                continue
            kept.append(record)
            for size in SIDES:
                pixels[size].append(resized(unit, size))
        if not kept:
            raise TrainingError(
                f"There is no image for the side '{side}'.", subject=str(folder), cure="Name another folder."
            )
        sides[side] = Prepared(kept, {size: np.stack(each) for size, each in pixels.items()})
    return Images(
        sides[TRAIN],
        sides[VALIDATION],
        sides[TEST],
        counts=_counts(sides),
        sentence=dealt.sentence,
        digest=_digest(sides),
    )


def one_file(path: Path, side: int) -> np.ndarray:
    """(side, side) uint8 of the first frame of a file. Raises UsageError where it is no image."""
    try:
        file = reading.facts(path, reading.root_of(path.parent))
        plane, _ = reading.plane(file, 0, default_shelf())
    except NotUsable as why:
        raise UsageError("The file cannot be shown.", subject=str(path), cure="Name another.") from why
    return resized(windowed(plane), side)


def request_for(planes: Sequence[PlaneRecord], model: Model | None) -> SplitRequest:
    """The validation and test sources of the released model, those of them that are there; else shares."""
    there = {plane.file.source for plane in planes}
    about = model.about if model is not None else {}
    named = {side: tuple(sorted(there & set(about.get(side, ())))) for side in (VALIDATION, TEST)}
    if named[VALIDATION] and named[TEST]:
        return SplitRequest(validation=named[VALIDATION], test=named[TEST])
    return SplitRequest()


def one_a_series(planes: Sequence[PlaneRecord]) -> list[PlaneRecord]:
    """The middle plane of each series: figures are means over series, not over their slices."""
    series: dict[tuple[str, str], list[PlaneRecord]] = {}
    for plane in planes:
        series.setdefault((plane.file.source, plane.file.series), []).append(plane)
    return [members[len(members) // 2] for members in series.values()]


def spread(planes: Sequence[PlaneRecord], most: int) -> list[PlaneRecord]:
    """At most so many, evenly."""
    if len(planes) <= most:
        return list(planes)
    return [planes[round(i * (len(planes) - 1) / (most - 1))] for i in range(most)]


def _counts(sides: dict[str, Prepared]) -> dict[str, dict[str, int]]:
    """Of the images that are used."""
    counts = {}
    for side, prepared in sides.items():
        files = [record.file for record in prepared.records]
        counts[side] = {
            "images": len(files),
            "series": len({(file.source, file.series) for file in files}),
            "scanners": len({file.device for file in files}),
            "patients": len({file.patient for file in files} - {""}),
        }
    return counts


def _digest(sides: dict[str, Prepared]) -> str:
    digest = hashlib.sha256()
    for side, prepared in sides.items():
        for record in prepared.records:
            digest.update(f"{side} {record.measures.digest}\n".encode())
    return digest.hexdigest()[:16]
