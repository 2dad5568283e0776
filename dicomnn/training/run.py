"""`dicomnn train`, the whole walk: catalogue -> split -> training -> export -> verification -> models/<id>/.

Everything that a run needs to go on lies in its folder: ``run.json`` (what was asked for),
``catalogue.jsonl``, ``images.jsonl`` (the images and their sides, fixed when the run begins),
``left_out.jsonl``, ``checkpoint.pt``, ``curves.jsonl``, ``curves.png``. Nothing else is written but the
released model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dicomnn.codec.autoencoder import SMALLEST_MAP
from dicomnn.codec.model import Model
from dicomnn.errors import TrainingError
from dicomnn.training import checkpoint, export, picture
from dicomnn.training.card import card, data_of
from dicomnn.training.data import Crop
from dicomnn.training.images import catalogue
from dicomnn.training.images.planes import BUDGET, PlaneCache
from dicomnn.training.images.records import PlaneRecord
from dicomnn.training.images.split import TRAIN, VALIDATION, Split, SplitRequest, split
from dicomnn.training.loop import Recipe, score
from dicomnn.training.release import release
from dicomnn.training.run_folder import RunFolder
from dicomnn.training.sampler import Sampler
from dicomnn.training.stopping import Interrupted, Stop, Teller
from dicomnn.training.trainer import Trainer, device_of
from dicomnn.training.verification import verify

CHECKS_PER_PLANE, LEAST_CHECKS = 4, 16
CODES_PER_PLANE, LEAST_CODES = 4, 32
PICTURE = "curves.png"


@dataclass(frozen=True)
class Order:
    """What `dicomnn train` was asked for. ``parent``: a model to go on from. ``catalogue``: its file, None
    for one in the run's folder. ``anyway``: release a fine-tuned model even if its parent is as good.
    """

    folders: tuple[Path, ...]
    run: Path
    minutes: float
    models: Path
    request: SplitRequest = SplitRequest()
    recipe: Recipe = Recipe()
    parent: Model | None = None
    per_series: int = catalogue.PER_SERIES
    weights: dict[str, float] | None = None
    threads: int = 1
    device: str = "cpu"
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
            "recipe": self.recipe.as_dict(),
            "parent": self.parent.id if self.parent else "",
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


def train(order: Order, teller: Teller, stop: Stop) -> Outcome:
    """Carry out the order, from wherever the run is. Raises UsageError, RunMismatch, TrainingError."""
    device = device_of(order.device)
    with RunFolder(order.run) as folder:
        folder.begin(order.fixed())
        done = _released_already(order, folder)
        if done is not None:
            return done
        try:
            dealt, reasons, cache = _images(order, folder, teller, stop)
            return _train(order, folder, dealt, reasons, cache, str(device), teller, stop)
        except Interrupted:
            return Outcome("stopped")


def _released_already(order: Order, folder: RunFolder) -> Outcome | None:
    """The outcome of a run whose time is used up and whose model is there."""
    before, saved = folder.released(), checkpoint.load(folder.path / checkpoint.NAME)
    if (
        not before
        or saved is None
        or saved["spent"] < 60.0 * order.minutes
        or saved["step"] != before["step"]
    ):
        return None
    place = order.models / str(before["id"])
    return Outcome("unchanged", str(before["id"]), place) if (place / "model.bin").exists() else None


def _images(
    order: Order, folder: RunFolder, teller: Teller, stop: Stop
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
    teller.say(f"with a plane of their series before them: {paired(dealt.sides[TRAIN])} planes of {TRAIN}")
    teller.say(dealt.sentence)
    return dealt, reasons, PlaneCache(catalogue.shelf_of(order.folders), order.cache_bytes)


def _train(
    order: Order,
    folder: RunFolder,
    dealt: Split,
    reasons: dict[str, int],
    cache: PlaneCache,
    device: str,
    teller: Teller,
    stop: Stop,
) -> Outcome:
    recipe = order.recipe
    to_train = dealt.sides[TRAIN]
    to_check = dealt.sides[VALIDATION] or to_train
    if not dealt.sides[VALIDATION]:
        teller.say("no image validates: those that train check the model too")
    sampler = Sampler(
        to_train, cache, recipe.seed, size=recipe.crop, kept=recipe.kept, weights=order.weights
    )
    checks = _crops(
        Sampler(to_check, cache, recipe.seed + 1, size=recipe.crop, kept=recipe.kept, plain=True),
        min(recipe.checks, max(LEAST_CHECKS, CHECKS_PER_PLANE * len(to_check))),
        "reading validation crops",
        teller,
        stop,
    )
    trainer = Trainer(
        folder.path,
        recipe,
        sampler,
        checks,
        images=images_digest(dealt),
        start=export.load_network(order.parent.arrays) if order.parent else None,
        parent=order.parent.id if order.parent else "",
        device=device,
        threads=order.threads,
        teller=teller,
    )
    finished = trainer.train(60.0 * order.minutes, stop)
    picture.draw(trainer.curves(), folder.path / PICTURE, "learning curves")
    if not finished:
        return Outcome("stopped")
    if order.parent is not None and trainer.state.best_step == 0 and not order.anyway:
        return Outcome("not-better", order.parent.id, figures=trainer.curves()[-1])
    outcome = _release(order, trainer, sampler, dealt, reasons, to_check, cache, teller, stop)
    folder.note_release(outcome.model_id, trainer.state.step)
    return outcome


def _release(
    order: Order,
    trainer: Trainer,
    sampler: Sampler,
    dealt: Split,
    reasons: dict[str, int],
    to_check: Sequence[PlaneRecord],
    cache: PlaneCache,
    teller: Teller,
    stop: Stop,
) -> Outcome:
    """Export, prove, write."""
    recipe, curves, network = order.recipe, trainer.curves(), trainer.result()
    if trainer.state.best is None:
        raise TrainingError("No weights of this run can be exported: a sum could reach 2^24.")
    count = min(recipe.codes, max(LEAST_CODES, CODES_PER_PLANE * len(dealt.sides[TRAIN])))
    # Draws that training did not use: numbers from far behind.
    drawn = _crops(sampler, count, "reading tiles for the code's table", teller, stop, first=1 << 40)
    seen = [crop.maps for crop in drawn if min(crop.maps.shape[1:]) >= SMALLEST_MAP]
    codes = export.codes_of(network, seen) if seen else export.no_codes()
    best = next(record for record in reversed(curves) if record["step"] == trainer.state.best_step)
    validated = {key: float(value) for key, value in best.items() if key.endswith((" code", " zero"))}
    about = {
        "steps": trainer.state.step,
        "best_step": trainer.state.best_step,
        "minutes": round(trainer.state.spent / 60, 1),
        "recipe": recipe.as_dict(),
        "parent": order.parent.id if order.parent else None,
        "split": {
            "level": dealt.level,
            "validation_share": order.request.validation_share,
            "test_share": order.request.test_share,
            "shared_scanners": order.request.shared_scanners,
            "named": bool(order.request.validation or order.request.test),
        },
        "validation": list(order.request.validation) if order.name_sources else [],
        "test": list(order.request.test) if order.name_sources else [],
        "validated": validated,
    }
    model = export.export(network, codes, about)

    def advance(what: str, done: int, total: int) -> None:
        stop.check()
        teller.progress(what, done, total)

    verification = verify(model, to_check, cache, advance)
    data = data_of(dealt, reasons, name_sources=order.name_sources)
    text = card(
        model.id,
        model.about,
        data,
        verification,
        licence_note=order.licence_note,
        command=command_of(order),
    )
    place = release(
        model,
        order.models,
        curves=curves,
        card=text,
        data=data,
        verification=verification,
        picture=order.run / PICTURE,
    )
    return Outcome("released", model.id, place, verification["groups"] | {"score": score(validated)})


def _crops(sampler: Sampler, count: int, what: str, teller: Teller, stop: Stop, first: int = 0) -> list[Crop]:
    crops = []
    for number in range(count):
        stop.check()
        teller.progress(what, number, count)
        crops.append(sampler.draw(first + number))
    return crops


def paired(planes: Sequence[PlaneRecord]) -> int:
    """How many can be drawn with the plane before them."""
    return sum(plane.before is not None and not plane.measures.packed for plane in planes)


def images_digest(dealt: Split) -> str:
    """Names a run's images and their sides."""
    digest = hashlib.sha256()
    for side, planes in sorted(dealt.sides.items()):
        for plane in planes:
            digest.update(f"{side} {plane.measures.digest}\n".encode())
    return digest.hexdigest()[:32]


def command_of(order: Order) -> str:
    """The command for the card, with placeholders for folders: paths and names of a site stay there."""
    words = [
        "dicomnn train",
        *["FOLDER"] * len(order.folders),
        "--run runs/NAME",
        f"--minutes {order.minutes:g}",
    ]
    if order.parent is not None:
        words.append(f"--from {order.parent.id}")
    for name, sources in (("validation", order.request.validation), ("test", order.request.test)):
        if sources:
            words.append(f"--{name} " + (",".join(sources) if order.name_sources else "SOURCES"))
    default = Recipe()
    for name, value in order.recipe.as_dict().items():
        if value != getattr(default, name):
            words.append(f"--{name.replace('_', '-')} {value:g}")
    return " ".join(words)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
