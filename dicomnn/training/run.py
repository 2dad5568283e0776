"""`dicomnn train`, the whole walk: catalogue -> split -> training -> export -> verification -> models/<id>/.

Everything that a run needs to go on lies in its folder: ``run.json`` (what was asked for),
``catalogue.jsonl``, ``images.jsonl`` (the images and their sides, fixed when the run begins),
``left_out.jsonl``, ``checkpoint.pt``, ``curves.jsonl``, ``curves.png``. Nothing else is written but the
released model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dicomnn.codec.autoencoder import SMALLEST_MAP
from dicomnn.codec.model import Model
from dicomnn.errors import TrainingError
from dicomnn.training import export, picture
from dicomnn.training.card import card, data_of
from dicomnn.training.data import Crop
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import PlaneRecord
from dicomnn.training.images.split import TRAIN, VALIDATION, Split
from dicomnn.training.loop import Recipe, score
from dicomnn.training.release import release
from dicomnn.training.run_folder import RunFolder
from dicomnn.training.run_images import (
    ImageOrder,
    Outcome,
    command_words,
    images_digest,
    images_of,
    recipe_words,
    released_already,
    split_words,
)
from dicomnn.training.sampler import Sampler
from dicomnn.training.stopping import Interrupted, Stop, Teller
from dicomnn.training.trainer import Trainer, device_of
from dicomnn.training.verification import verify

CHECKS_PER_PLANE, LEAST_CHECKS = 4, 16
CODES_PER_PLANE, LEAST_CODES = 4, 32
PICTURE = "curves.png"


@dataclass(frozen=True)
class Order(ImageOrder):
    """What `dicomnn train` was asked for. ``parent``: a model to go on from."""

    recipe: Recipe = Recipe()
    parent: Model | None = None
    device: str = "cpu"

    def fixed(self) -> dict[str, Any]:
        """What must stay the same when the run goes on."""
        return super().fixed() | {
            "recipe": self.recipe.as_dict(),
            "parent": self.parent.id if self.parent else "",
        }


def train(order: Order, teller: Teller, stop: Stop) -> Outcome:
    """Carry out the order, from wherever the run is. Raises UsageError, RunMismatch, TrainingError."""
    device = device_of(order.device)
    with RunFolder(order.run) as folder:
        folder.begin(order.fixed())
        done = released_already(order, folder, order.models)
        if done is not None:
            return done
        try:
            dealt, reasons, cache = images_of(order, folder, teller, stop)
            told = paired(dealt.sides[TRAIN])
            teller.say(f"with a plane of their series before them: {told} planes of {TRAIN}")
            return _train(order, folder, dealt, reasons, cache, str(device), teller, stop)
        except Interrupted:
            return Outcome("stopped")


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
    sampler = Sampler(to_train, cache, recipe.seed, size=recipe.crop, kept=recipe.kept, weights=order.weights)
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
        "split": {"level": dealt.level, **split_words(order)},
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


def command_of(order: Order) -> str:
    """The command for the card."""
    words = command_words(order, "dicomnn train")
    if order.parent is not None:
        words.append(f"--from {order.parent.id}")
    return " ".join([*words, *recipe_words(order.recipe.as_dict(), Recipe())])
