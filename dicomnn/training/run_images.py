"""The images of a run: what an order says of them, and how they are catalogued, split and kept."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dicomnn.training import checkpoint
from dicomnn.training.images import catalogue
from dicomnn.training.images.planes import BUDGET, PlaneCache
from dicomnn.training.images.split import Split, SplitRequest, split
from dicomnn.training.run_folder import RunFolder
from dicomnn.training.stopping import Stop, Teller


@dataclass(frozen=True)
class ImageOrder:
    """What every run is asked for. ``catalogue``: its file, None for one in the run's folder. ``anyway``:
    release a fine-tuned model even if its parent is as good.
    """

    folders: tuple[Path, ...]
    run: Path
    minutes: float
    models: Path
    request: SplitRequest = SplitRequest()
    per_series: int = catalogue.PER_SERIES
    weights: dict[str, float] | None = None
    threads: int = 1
    cache_bytes: int = BUDGET
    catalogue: Path | None = None
    name_sources: bool = False
    licence_note: str = ""
    anyway: bool = False

    def fixed(self) -> dict[str, Any]:
        """What must stay the same when the run goes on."""
        return {
            "folders": [str(folder.resolve()) for folder in self.folders],
            "split": _plain(asdict(self.request)),
            "per_series": self.per_series,
            "weights": self.weights,
        }


@dataclass(frozen=True)
class Outcome:
    """``status``: released, unchanged (released before), stopped (the same command goes on) or not-better."""

    status: str
    model_id: str = ""
    place: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def released_already(order: ImageOrder, folder: RunFolder, models: Path) -> Outcome | None:
    """The outcome of a run whose time is used up and whose model is there, in ``models``."""
    before, saved = folder.released(), checkpoint.load(folder.path / checkpoint.NAME)
    if (
        not before
        or saved is None
        or saved["spent"] < 60.0 * order.minutes
        or saved["step"] != before["step"]
    ):
        return None
    place = models / str(before["id"])
    return Outcome("unchanged", str(before["id"]), place) if (place / "model.bin").exists() else None


def images_of(
    order: ImageOrder, folder: RunFolder, teller: Teller, stop: Stop
) -> tuple[Split, dict[str, int], PlaneCache]:
    """The run's images: as fixed when it began, or catalogued and split now."""

    def progress(what: str, done: int, total: int) -> None:
        stop.check()
        teller.progress(what, done, total)

    known = folder.images()
    if known is None:
        found = catalogue.build(
            order.folders,
            order.catalogue or folder.path / "catalogue.jsonl",
            per_series=order.per_series,
            threads=order.threads,
            progress=progress,
        )
        folder.left_out(found.left_out)
        folder.keep_images(split(found.planes, order.request), found.reasons())
        known = folder.images()
        assert known is not None
    dealt, reasons = known
    for side, numbers in dealt.counts().items():
        if numbers["planes"]:
            teller.say(f"{side}: " + ", ".join(f"{n} {what}" for what, n in numbers.items()))
    for reason, count in reasons.items():
        teller.say(f"left out ({reason}): {count}")
    teller.say(dealt.sentence)
    return dealt, reasons, PlaneCache(catalogue.shelf_of(order.folders), order.cache_bytes)


def images_digest(dealt: Split) -> str:
    """Names a run's images and their sides."""
    digest = hashlib.sha256()
    for side, planes in sorted(dealt.sides.items()):
        for plane in planes:
            digest.update(f"{side} {plane.measures.digest}\n".encode())
    return digest.hexdigest()[:32]


def split_words(order: ImageOrder) -> dict[str, Any]:
    """How the images were split, for manifest and card; sources by name only where they may be told."""
    request = order.request
    return {
        "validation_share": request.validation_share,
        "test_share": request.test_share,
        "shared_scanners": request.shared_scanners,
        "named": bool(request.validation or request.test),
    }


def command_words(order: ImageOrder, command: str) -> list[str]:
    """The command for the card, with placeholders for folders: paths and names of a site stay there."""
    words = [command, *["FOLDER"] * len(order.folders), "--run runs/NAME", f"--minutes {order.minutes:g}"]
    for name, sources in (("validation", order.request.validation), ("test", order.request.test)):
        if sources:
            words.append(f"--{name} " + (",".join(sources) if order.name_sources else "SOURCES"))
    usual = SplitRequest()
    for name, share in (
        ("validation", order.request.validation_share),
        ("test", order.request.test_share),
    ):
        if share != getattr(usual, f"{name}_share"):
            words.append(f"--{name}-share {share:g}")
    words += ["--shared-scanners"] * order.request.shared_scanners
    if order.weights:
        words.append("--weights " + ",".join(f"{group}={share:g}" for group, share in order.weights.items()))
    return words


def recipe_words(recipe: dict[str, Any], default: object) -> list[str]:
    """Options of a recipe that are not as usual."""
    return [
        f"--{name.replace('_', '-')} {value:g}"
        for name, value in recipe.items()
        if value != getattr(default, name)
    ]


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
