"""dicomnn evaluate: a model's real bytes on images, beside JPEG-LS and JPEG XL."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from dicomnn.cli import one_line
from dicomnn.cli.compress import EFFORTS
from dicomnn.cli.train import image_options, models_option


@click.command("evaluate")
@click.argument("model")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--split",
    "side",
    type=click.Choice(["all", "train", "validation", "test"]),
    default="all",
    show_default=True,
    help="Which images: all, or one side of the split.",
)
@click.option(
    "--run",
    "run_folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Take the split of this training run instead of making it again.",
)
@click.option("--effort", type=click.Choice(EFFORTS), default="default", show_default=True)
@models_option
@image_options
@click.option("--series", "show_series", is_flag=True, help="Print every series too, the worst first.")
@click.option(
    "--json",
    "out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write the report there; - prints it instead of the tables.",
)
@click.option(
    "--card", "to_card", is_flag=True, help="Put the figures into the model's CARD.md and evaluation.json."
)
def command(
    model: str,
    folders: tuple[Path, ...],
    side: str,
    run_folder: Path | None,
    effort: str,
    models: Path,
    show_series: bool,
    out: Path | None,
    to_card: bool,
    **settings: Any,
) -> None:
    """Code the images below FOLDERS with MODEL (an id, models/<id>, or newest), decode, compare, and say how
    large they are beside tiled JPEG-LS and JPEG XL (effort 7) on the same planes.

    \b
    JSON: schema "dicomnn.evaluate/1"; library_version, model_id, effort, side, level (how far the sides are
    apart), images, failed [{path, detail}]; groups {CT, MR, XR, ..., "CT + MR", all}: series, images, planes,
    bits_per_pixel {ours, jpegls, jpegxl}, ratio_to_jpegls and ratio_to_jpegxl {mean, low, high, median,
    worst} over series (low..high: 95 % bootstrap, null below five series), tiles_won (share of the learned
    contender); series [{source, series, group, modality, scanner, images, planes, pixels, bytes,
    bits_per_pixel, ratio_to_jpegls, ratio_to_jpegxl, tiles}]. Series are named by digests.
    """
    from dicomnn.cli._telling import TerminalTeller
    from dicomnn.errors import UsageError
    from dicomnn.training.card import with_evaluation
    from dicomnn.training.evaluation import as_table, evaluate, series_table, without_names
    from dicomnn.training.images.split import SplitRequest
    from dicomnn.training.model_choice import find_model
    from dicomnn.training.selection import Images
    from dicomnn.training.stopping import Interrupted, Stop

    found, place = find_model(model, models)
    if to_card and place is None:
        raise UsageError(
            f"Model {found.id} came with dicomnn: its card is not changed.",
            cure="Name the folder of a model of your own, or leave --card out.",
        )
    request = SplitRequest(
        settings["validation_share"],
        settings["test_share"],
        settings["validation"],
        settings["test"],
        settings["shared_scanners"],
    )
    with TerminalTeller(quiet=str(out) == "-") as teller, Stop() as stop:
        try:
            images = Images(folders, request, settings["per_series"], settings["catalogue"], run_folder)
            planes, level = images.of(side, settings["threads"], teller, stop)
            report = evaluate(
                found,
                planes,
                images.shelf,
                effort=effort,
                threads=settings["threads"],
                side=side,
                level=level,
                teller=teller,
                stop=stop,
            )
        except Interrupted:
            click.echo("stopped; nothing was written", err=True)
            sys.exit(1)
    text = json.dumps(report, indent=1)
    if str(out) == "-":
        click.echo(text)
    else:
        click.echo(as_table(report))
        if show_series:
            click.echo("\n" + series_table(report))
        for one in report["failed"]:
            click.echo(one_line(f"failed: {one['path']}: {one['detail']}"))
        if out is not None:
            out.write_text(text + "\n", encoding="utf-8")
    if to_card and place is not None:
        card = place / "CARD.md"
        told = json.dumps(without_names(report), indent=1)
        (place / "evaluation.json").write_text(told + "\n", encoding="utf-8")
        measured = f"Real bytes on the {side} images, effort {effort}:\n\n{as_table(report)}"
        card.write_text(with_evaluation(card.read_text(encoding="utf-8"), measured), encoding="utf-8")
    sys.exit(1 if report["failed"] else 0)
