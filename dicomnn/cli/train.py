"""dicomnn train: a model from your own images, or a released one fitted to them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line

if TYPE_CHECKING:
    from dicomnn.training.run_images import Outcome

GROUPS = ("CT", "MR", "XR", "NM", "US", "OT")


def names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """'a,b' as ('a', 'b')."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def weights_of(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, float] | None:
    """'CT=0.5,MR=0.5' as a dict. A bad one is a usage error."""
    found = {}
    for pair in names(context, parameter, value):
        group, _, share = pair.partition("=")
        try:
            found[group.strip().upper()] = float(share)
        except ValueError:
            raise click.BadParameter(f"'{pair}' is not like CT=0.5.") from None
    unknown = sorted(set(found) - set(GROUPS))
    if unknown or any(share < 0 for share in found.values()):
        raise click.BadParameter(f"The groups are {', '.join(GROUPS)}, their weights not negative.")
    return found or None


def models_option(function: Any) -> Any:
    """--models: where own models lie."""
    return click.option(
        "--models",
        type=click.Path(path_type=Path, file_okay=False),
        default=lambda: os.environ.get("DICOMNN_MODELS") or "models",
        show_default="DICOMNN_MODELS, else models",
        help="Folder of models.",
    )(function)


def image_options(function: Any) -> Any:
    """Which images there are, and which side each is on: the same for train and evaluate."""
    options = [
        click.option(
            "--validation", default="", callback=names, help="Sources (first folders) that validate."
        ),
        click.option("--test", default="", callback=names, help="Sources that are kept for the test."),
        click.option(
            "--validation-share",
            type=click.FloatRange(0, 0.9),
            default=0.1,
            show_default=True,
            help="Share of the scanners that validate, where none are named.",
        ),
        click.option(
            "--test-share",
            type=click.FloatRange(0, 0.9),
            default=0.1,
            show_default=True,
            help="Share of the scanners that are kept for the test, where none are named.",
        ),
        click.option(
            "--shared-scanners",
            is_flag=True,
            help="Allow scanners on two sides (patients never are); the card says so.",
        ),
        click.option(
            "--per-series",
            type=click.IntRange(0),
            default=24,
            show_default=True,
            help="Planes of a series at most, spread evenly; 0 takes all.",
        ),
        click.option(
            "--catalogue",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File of measured images, used and added to.",
        ),
        click.option(
            "--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="CPU threads."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def run_options(function: Any) -> Any:
    """What every run is told beside its images."""
    options: list[Any] = [
        click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option(
            "--run",
            "run_folder",
            required=True,
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the run: checkpoints, curves, catalogue. Never leaves this machine by itself.",
        ),
        click.option(
            "--minutes",
            type=click.FloatRange(min=0, min_open=True),
            default=60.0,
            show_default=True,
            help="Time to train, all interruptions left out.",
        ),
        click.option(
            "--from", "parent", default="", help="Go on from a model: its id, its folder, or 'newest'."
        ),
        models_option,
        image_options,
        click.option(
            "--weights",
            default="",
            callback=weights_of,
            help="How often each group is drawn, as CT=0.5,MR=0.4,XR=0.1. By default evenly.",
        ),
        click.option(
            "--cache-mb",
            type=click.IntRange(16),
            default=512,
            show_default=True,
            help="Memory for decoded planes, MiB.",
        ),
        click.option(
            "--name-sources",
            is_flag=True,
            help="Tell names of sources (folders) in the model and its card. Not where they name patients.",
        ),
        click.option(
            "--licence-note",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Text file for the card: where the images came from, under which terms.",
        ),
        click.option(
            "--anyway", is_flag=True, help="Release a fine-tuned model even if its parent does as well."
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all random draws."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def image_order(settings: dict[str, Any]) -> dict[str, Any]:
    """Fields of an `ImageOrder` from the options of `image_options` and `run_options`."""
    from dicomnn.training.images.split import SplitRequest

    note = settings["licence_note"]
    return {
        "request": SplitRequest(
            settings["validation_share"],
            settings["test_share"],
            settings["validation"],
            settings["test"],
            settings["shared_scanners"],
        ),
        "per_series": settings["per_series"],
        "weights": settings["weights"],
        "threads": settings["threads"],
        "cache_bytes": settings["cache_mb"] << 20,
        "catalogue": settings["catalogue"],
        "name_sources": settings["name_sources"],
        "licence_note": note.read_text(encoding="utf-8") if note else "",
        "anyway": settings["anyway"],
    }


def told(outcome: Outcome, run: Path) -> None:
    """Say how a run ended, and leave with its exit code."""
    sentence = SENTENCES[outcome.status].format(id=outcome.model_id, place=outcome.place, run=run)
    click.echo(one_line(sentence))
    sys.exit(0 if outcome.status in ("released", "unchanged") else 1)


@click.command("train")
@run_options
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="auto: a GPU when there is one.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Highest learning rate.  [default: 0.0025, with --from 0.0005]",
)
@click.option("--batch", type=click.IntRange(1), default=12, show_default=True, help="Crops a step.")
@click.option(
    "--pool", type=click.IntRange(1), default=3000, show_default=True, help="Crops in memory (0.7 MB each)."
)
@click.option(
    "--start-pool",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Crops before the first step.",
)
@click.option("--checks", type=click.IntRange(1), default=160, show_default=True, help="Validation crops.")
@click.option(
    "--every", type=click.IntRange(1), default=500, show_default=True, help="Steps between validations."
)
def command(
    folders: tuple[Path, ...], run_folder: Path, minutes: float, parent: str, models: Path, **settings: Any
) -> None:
    """Train a model on the images below FOLDERS, or fit a released one (--from) to a site's own images.

    FOLDERS hold DICOM (any lossless transfer syntax, coded by dicomnn or not), NIfTI, NRRD or MetaImage, and
    grey PNG or TIFF; or are an archive of dicomnn. Patients and scanners are kept apart in train, validation
    and test. Ctrl-C saves; the same command goes on. When the time is used up the model is exported, proven
    on validation images, and written to MODELS/<id>/ with its card. docs/training.md says more.

    Exit code 0: a model was released. 1: stopped, or no better than its parent. 2: usage.
    """
    from dicomnn.cli._telling import TerminalTeller
    from dicomnn.training.loop import Recipe
    from dicomnn.training.model_choice import find_model
    from dicomnn.training.run import Order, train
    from dicomnn.training.stopping import Stop

    own = Recipe()
    rate = settings["rate"] or (FINE_TUNING_RATE if parent else own.rate)
    chosen = {key: settings[key] for key in ("seed", "batch", "pool", "start_pool", "checks", "every")}
    order = Order(
        folders=folders,
        run=run_folder,
        minutes=minutes,
        models=models,
        recipe=Recipe(**chosen, rate=rate),
        parent=find_model(parent, models)[0] if parent else None,
        device=settings["device"],
        **image_order(settings),
    )
    with TerminalTeller() as teller, Stop() as stop:
        outcome = train(order, teller, stop)
    told(outcome, run_folder)


FINE_TUNING_RATE = 5e-4
SENTENCES = {
    "released": "released model {id}: {place}/CARD.md",
    "unchanged": "nothing to do: the time is used up and model {id} was released: {place}/CARD.md. "
    "More --minutes go on.",
    "stopped": "stopped and saved in {run}; the same command goes on",
    "not-better": "not released: no better on the validation images than model {id} that it came from; "
    "more --minutes go on, --anyway releases it",
}
