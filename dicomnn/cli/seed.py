"""dicomnn seed: the paper that dicomnn started from, reproduced and measured."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dicomnn.cli import one_line
from dicomnn.errors import UsageError


@click.command("seed")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--run",
    "run_folder",
    default=Path("runs/seed"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for models, record, table and figure.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="About how long, on one core that has nothing else to do; sets the steps of training.",
)
@click.option("--seeds", default="1,2,3", show_default=True, help="Starting points, each trained by itself.")
@click.option(
    "--per-series", type=click.IntRange(1), default=4, show_default=True, help="Planes of a series at most."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Page to write table and figure into, between its marks.",
)
@click.option(
    "--show",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Image of the figure, where no image of FOLDER may be shown to others.",
)
@click.option("--shown-as", default="", help="A sentence about that image, for the figure's caption.")
def command(
    folder: Path,
    run_folder: Path,
    minutes: float,
    seeds: str,
    per_series: int,
    page: Path | None,
    show: Path | None,
    shown_as: str,
) -> None:
    """Train the paper's plain autoencoders on the images below FOLDER and measure them beside JPEG, PNG,
    JPEG 2000 and our own codec, at the same number of bytes.

    Images become 128x128 and 256x256 in [0, 1]; patients and scanners are kept apart. One thread. Ctrl-C
    saves; the same command goes on. The models are for benchmarks: no archive uses them. docs/seed.md says
    more.

    Exit code 0: done. 1: stopped. 2: usage.
    """
    from dicomnn.cli._telling import TerminalTeller
    from dicomnn.seed.study.run import Order, carry_out
    from dicomnn.seed.study.table import sentences
    from dicomnn.shelf import default_shelf
    from dicomnn.training.stopping import Interrupted, Stop

    try:
        numbers = tuple(dict.fromkeys(int(seed) for seed in seeds.split(",")))
    except ValueError as problem:
        raise UsageError(f"'{seeds}' is no list of numbers such as 1,2,3.") from problem
    model = default_shelf().newest()
    order = Order(folder, run_folder, minutes, numbers, per_series, page, show, shown_as, model)
    with TerminalTeller() as teller, Stop() as stop:
        try:
            record = carry_out(order, teller, stop)
        except Interrupted:
            click.echo(one_line(f"stopped and saved in {run_folder}; the same command goes on"))
            sys.exit(1)
    for sentence in sentences(record):
        click.echo(sentence.replace("**", ""))
    click.echo(
        one_line(f"table and figure: {run_folder}/table.md, figure.png" + (f"; {page}" if page else ""))
    )
