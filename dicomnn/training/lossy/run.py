"""`dicomnn train-lossy`, the whole walk: images -> steps and tries -> fitting -> proof -> models/lossy/<id>/.

The run's folder holds what that of `dicomnn train` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicomnn.codec.lossy.model import LossyModel
from dicomnn.errors import TrainingError
from dicomnn.training.card import data_of
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.split import TRAIN, VALIDATION, Split
from dicomnn.training.release import put
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
from dicomnn.training.stopping import Interrupted, Stop, Teller

from . import picture
from .card import card
from .fitting import Arrays, model_of
from .frames import Drawer, Drawn
from .trainer import LossyTrainer, Recipe
from .verification import verify

CHECKS_PER_PLANE, LEAST_CHECKS = 6, 12
FOLDER = "lossy"
PICTURE = "curves.png"


@dataclass(frozen=True)
class LossyOrder(ImageOrder):
    """What `dicomnn train-lossy` was asked for. ``parent``: a model to go on from; ``reference``: one that
    the figures are compared with.
    """

    recipe: Recipe = Recipe()
    parent: LossyModel | None = None
    reference: LossyModel | None = None

    def fixed(self) -> dict[str, Any]:
        """What must stay the same when the run goes on."""
        return super().fixed() | {
            "recipe": self.recipe.as_dict(),
            "parent": self.parent.id if self.parent else "",
        }


def train_lossy(order: LossyOrder, teller: Teller, stop: Stop) -> Outcome:
    """Carry out the order, from wherever the run is. Raises UsageError, RunMismatch, TrainingError."""
    with RunFolder(order.run) as folder:
        folder.begin(order.fixed())
        done = released_already(order, folder, order.models / FOLDER)
        if done is not None:
            return done
        try:
            dealt, reasons, cache = images_of(order, folder, teller, stop)
            return _train(order, folder, dealt, reasons, cache, teller, stop)
        except Interrupted:
            return Outcome("stopped")


def _train(
    order: LossyOrder,
    folder: RunFolder,
    dealt: Split,
    reasons: dict[str, int],
    cache: PlaneCache,
    teller: Teller,
    stop: Stop,
) -> Outcome:
    recipe, to_check = order.recipe, dealt.sides[VALIDATION] or dealt.sides[TRAIN]
    if not dealt.sides[VALIDATION]:
        teller.say("no image validates: those that train check the model too")
    drawer = Drawer(dealt.sides[TRAIN], cache, recipe.seed, order.weights)
    checks = _drawn(
        Drawer(to_check, cache, recipe.seed + 1),
        min(recipe.checks, max(LEAST_CHECKS, CHECKS_PER_PLANE * len(to_check))),
        teller,
        stop,
    )
    trainer = LossyTrainer(
        folder.path,
        recipe,
        drawer,
        checks,
        images=images_digest(dealt),
        parent=order.parent,
        reference=order.reference,
        teller=teller,
    )
    finished = trainer.train(60.0 * order.minutes, stop)
    picture.draw(trainer.curves(), folder.path / PICTURE, "learning curves")
    if not finished:
        return Outcome("stopped")
    if trainer.best is None:
        raise TrainingError("No weights of this run can be exported: a sum could leave its integers.")
    if order.parent is not None and trainer.best.step == 0 and not order.anyway:
        return Outcome("not-better", order.parent.id, figures=trainer.curves()[-1])
    arrays, figures = trainer.result(stop)
    outcome = _release(order, trainer, arrays, figures, checks, dealt, reasons, stop)
    folder.note_release(outcome.model_id, trainer.step)
    return outcome


def _drawn(drawer: Drawer, count: int, teller: Teller, stop: Stop) -> list[Drawn]:
    found = []
    for number in range(count):
        stop.check()
        teller.progress("reading validation frames", number, count)
        found.append(drawer.draw(number))
    return found


def _release(
    order: LossyOrder,
    trainer: LossyTrainer,
    arrays: Arrays,
    figures: dict[str, float],
    checks: Sequence[Drawn],
    dealt: Split,
    reasons: dict[str, int],
    stop: Stop,
) -> Outcome:
    """Prove, write."""
    assert trainer.best is not None
    about = {
        "steps": trainer.step,
        "best_step": trainer.best.step,
        "minutes": round(trainer.spent / 60, 1),
        "recipe": order.recipe.as_dict(),
        "parent": order.parent.id if order.parent else None,
        "reference": trainer.reference or None,
        "split": {"level": dealt.level, **split_words(order)},
        "validation": list(order.request.validation) if order.name_sources else [],
        "test": list(order.request.test) if order.name_sources else [],
        "validated": {key: round(value, 5) for key, value in figures.items()},
    }
    model, file = model_of(arrays, about)
    verification = verify(model, file, checks, stop.check)
    data = data_of(dealt, reasons, name_sources=order.name_sources)
    words = command_words(order, "dicomnn train-lossy")
    if order.parent is not None:
        words.append(f"--from {order.parent.id}")
    text = card(
        model.id,
        about,
        data,
        verification,
        licence_note=order.licence_note,
        command=" ".join([*words, *recipe_words(order.recipe.as_dict(), Recipe())]),
    )
    manifest = {
        "id": model.id,
        "bytes": len(file),
        "about": about,
        "data": data,
        "verification": verification,
    }
    folder: Path = order.models / FOLDER
    place = put(
        model.id, file, folder, manifest, curves=trainer.curves(), card=text, picture=order.run / PICTURE
    )
    return Outcome("released", model.id, place, figures)
