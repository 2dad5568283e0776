"""dicomnn train-lossy: a model of the lossy tier from your own images, or a released one fitted to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dicomnn.cli.train import image_order, run_options, told

FINE_TUNING_RATE = 5e-3


@click.command("train-lossy")
@run_options
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Highest learning rate.  [default: 0.04, with --from 0.005]",
)
@click.option(
    "--pool", type=click.IntRange(1), default=600, show_default=True, help="Frames in memory (1 MB each)."
)
@click.option(
    "--start-pool",
    type=click.IntRange(1),
    default=150,
    show_default=True,
    help="Frames before the first step.",
)
@click.option("--checks", type=click.IntRange(1), default=72, show_default=True, help="Validation frames.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="Steps between models that are tried on them.",
)
@click.option(
    "--fits",
    type=click.IntRange(1),
    default=48,
    show_default=True,
    help="Frames that such a model is fitted on.",
)
@click.option(
    "--final",
    type=click.IntRange(1),
    default=150,
    show_default=True,
    help="Frames that the released one is fitted on.",
)
def command(
    folders: tuple[Path, ...], run_folder: Path, minutes: float, parent: str, models: Path, **settings: Any
) -> None:
    """Train a model of the lossy tier on the images below FOLDERS, or fit a released one (--from) to them.

    FOLDERS and the split are those of `dicomnn train`. A few minutes are enough: the networks are small. The
    figures are bits at equal error of validation frames, against the parent or the newest model there is.
    Ctrl-C saves; the same command goes on. When the time is used up, tables and first chances are fitted with
    the real encoder, the model is proven and written to MODELS/lossy/<id>/ with its card.
    docs/training.md says more.

    Exit code 0: a model was released. 1: stopped, or no better than its parent. 2: usage.
    """
    from dicomnn.cli._telling import TerminalTeller
    from dicomnn.training.lossy.model_choice import find_lossy_model, newest_lossy_model
    from dicomnn.training.lossy.run import LossyOrder, train_lossy
    from dicomnn.training.lossy.trainer import Recipe
    from dicomnn.training.stopping import Stop

    rate = settings["rate"] or (FINE_TUNING_RATE if parent else Recipe().rate)
    chosen = {
        key: settings[key] for key in ("seed", "pool", "start_pool", "checks", "every", "fits", "final")
    }
    begun = find_lossy_model(parent, models) if parent else None
    order = LossyOrder(
        folders=folders,
        run=run_folder,
        minutes=minutes,
        models=models,
        recipe=Recipe(**chosen, rate=rate),
        parent=begun,
        reference=begun or newest_lossy_model(models),
        **image_order(settings),
    )
    with TerminalTeller() as teller, Stop() as stop:
        outcome = train_lossy(order, teller, stop)
    told(outcome, run_folder)
