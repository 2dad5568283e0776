"""dicomnn bench: our profiles beside the standards on a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from dicomnn.cli import one_line
from dicomnn.cli._stages import Shown
from dicomnn.cli._tables import show
from dicomnn.cli._walk import jobs_option
from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.benchmark.run import Result
    from dicomnn.benchmark.tables import Table


@click.command("bench")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every series' numbers here, and beside it the tables as Markdown.",
)
@click.option("--efforts", default="default", show_default=True, help="Of ours: fast, default, max.")
@click.option("--bounded", "bounds", default="", help="Bounds to measure beside JPEG-LS NEAR: 1,2,4,8.")
@click.option(
    "--peers",
    default="",
    help="Peers to measure, by default all: jpegls, jpegls-tiles, jxl-e7, "
    "jxl-e9, jpeg2000, htj2k; 'none' for none.",
)
@click.option("--sources", default="", help="Only these folders directly below FOLDER.")
@click.option("--exclude", default="", help="Without these folders directly below FOLDER.")
@click.option("--most", type=click.IntRange(0), default=0, help="At most so many frames of a series, evenly.")
@click.option(
    "--neighbours",
    is_flag=True,
    help="Also stack the thin slices of CT series, and code each with the slice before.",
)
@click.option(
    "--group", type=click.IntRange(2, 255), help="Slices of a group with --neighbours (by default 16)."
)
@click.option(
    "--model",
    default="",
    help="Id of a model on the shelf, or a folder that holds one (default: the newest).",
)
@click.option(
    "--yearly-tb",
    "terabytes",
    type=click.FloatRange(0, min_open=True),
    help="Extrapolate the savings to so many TB of files a year.",
)
@click.option(
    "--plots/--no-plots",
    default=True,
    show_default=True,
    help="Draw PNGs beside the JSON (needs matplotlib: the extra 'bench').",
)
@click.option(
    "--lossy",
    is_flag=True,
    help="Instead: rate-distortion curves of the lossy tier beside the lossy standards, and BD-rates.",
)
@click.option("--speed", is_flag=True, help="With --lossy, instead: its speed against OpenJPEG, equal bytes.")
@click.option("--promises", is_flag=True, help="With --lossy, instead: how many promises are kept.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Of --speed.")
@click.option("--held-out", is_flag=True, help="With --lossy: only the sources of the model's test set.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --lossy: write the tables between this Markdown page's marks, the pictures beside it.",
)
@jobs_option
def command(
    folder: Path,
    json_path: Path | None,
    efforts: str,
    bounds: str,
    peers: str,
    sources: str,
    exclude: str,
    most: int,
    neighbours: bool,
    group: int | None,
    model: str,
    terabytes: float | None,
    plots: bool,
    lossy: bool,
    speed: bool,
    promises: bool,
    rounds: int,
    held_out: bool,
    page: Path | None,
    jobs: int,
) -> None:
    """Measure on your own images what dicomnn saves, beside JPEG-LS, JPEG XL, JPEG 2000 and HTJ2K.

    Every stream of every codec is decoded and compared. Nothing in FOLDER is changed. The conventions are
    printed with the tables; docs/benchmark.md has them and the keys of the JSON. Exit code 1 when a file
    failed, which then is listed.
    """
    from dicomnn.benchmark.peers import PEERS
    from dicomnn.benchmark.record import record
    from dicomnn.benchmark.run import Settings, run
    from dicomnn.benchmark.stacks import GROUP
    from dicomnn.benchmark.tables import all_tables

    if (speed or promises or held_out or page is not None) and not lossy:
        raise UsageError("--speed, --promises, --held-out and --page are of no use without --lossy")
    if lossy:
        from dicomnn.cli._bench_lossy import Order, measure

        order = Order(
            folder, json_path, page, _names(sources), _names(exclude), most, held_out, plots, jobs, rounds
        )
        if speed and promises:
            raise UsageError("--speed and --promises are two runs")
        if not measure(order, "speed" if speed else "promises" if promises else "curves"):
            sys.exit(1)
        return
    if group is not None and not neighbours:
        raise UsageError("--group is of no use without --neighbours")
    settings = Settings(
        folder=folder,
        sources=_names(sources),
        exclude=_names(exclude),
        most=most,
        efforts=_names(efforts) or ("default",),
        bounds=_numbers(bounds),
        peers=() if peers == "none" else _names(peers) or PEERS,
        model=model,
        jobs=jobs,
        group=(group or GROUP) if neighbours else 0,
    )
    with Shown() as shown:
        result = run(settings, shown.told())
    values, tables = record(result, terabytes), all_tables(result, terabytes)
    written = _write(result, tables, values, json_path, plots) if json_path is not None else []
    _print(result, tables, values)
    if written:
        click.echo("written: " + ", ".join(map(str, written)))
    if result.interrupted:
        click.echo(
            f"interrupted while measuring {result.interrupted}: these are the stages before it", err=True
        )
    if result.problems or result.interrupted:
        sys.exit(1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _names(text))
    except ValueError as error:
        raise UsageError(f"'{text}' is no list of bounds like 1,2,4") from error


def _write(
    result: Result, tables: list[Table], values: dict[str, Any], json_path: Path, plots: bool
) -> list[Path]:
    """JSON, Markdown and, where matplotlib is there, the pictures."""
    from dicomnn.benchmark.plots import draw

    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    pictures: list[Path] = []
    if plots:
        try:
            pictures = draw(values, json_path)
        except ModuleNotFoundError as error:
            click.echo(f"no pictures: {error.name} is not installed (pip install 'dicomnn[bench]')", err=True)
    text = json_path.with_suffix(".md")
    # File names may hold bytes that are no text in any encoding.
    text.write_text(_markdown(result, tables, values, pictures), encoding="utf-8", errors="backslashreplace")
    return [json_path, text, *pictures]


# ------------------------------------------------------------------ what is shown at the end
def _print(result: Result, tables: list[Table], values: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for table in tables:
        if not table.detail:
            show(console, table)
    for line in _lists(result):
        console.print(one_line(line), markup=False, soft_wrap=True)
    for line in values["conventions"]:
        console.print(f"* {line}", markup=False)


def _lists(result: Result) -> list[str]:
    """Files that were skipped (counted) or failed (named)."""
    lines = [f"skipped ({reason}): {len(items)}" for reason, items in result.folder.skipped().items()]
    lines += [f"not decodable: {found.name}: {found.detail}" for found in result.undecodable]
    if result.stacks is not None:
        lines += [f"not stacked: {name}: {reason}" for name, reason in result.stacks.left_out]
        if not (result.stacks.rows or result.stacks.left_out):
            lines.append("not stacked: no CT series here has thin slices in a row")
    lines += [f"failed: {name}: {codec}: {detail}" for name, codec, detail in result.problems]
    return lines


def _markdown(result: Result, tables: list[Table], values: dict[str, Any], pictures: list[Path]) -> str:
    from dicomnn.benchmark.tables import markdown

    machine, versions = values["machine"], values["versions"]
    head = [
        "# dicomnn bench",
        "",
        f"{values['time']}, {machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items()),
        "",
    ]
    body = [f"![{picture.stem}]({picture.name})\n" for picture in pictures]
    body += [markdown(table) for table in tables]
    lists = [f"* {line}" for line in _lists(result)]
    return "\n".join(
        [*head, *body, *lists, "", "## Conventions", "", *(f"* {line}" for line in values["conventions"]), ""]
    )
