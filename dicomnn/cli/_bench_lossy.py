"""What `dicomnn bench --lossy` does: curves, speeds or promises, as tables, JSON, Markdown and pictures."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from dicomnn.cli import one_line
from dicomnn.cli._tables import show
from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.benchmark.folder import Series
    from dicomnn.benchmark.tables import Table
    from dicomnn.codec.lossy.model import LossyModel

COMMANDS = {
    "curves": "make bench-lossy",
    "speed": "make bench-lossy-speed",
    "promises": "make bench-lossy-promises",
}
"""Names of the marks in a page."""


@dataclass(frozen=True)
class Order:
    """`json_path`: where the figures go, pictures beside it; `page`: a Markdown page with marks."""

    folder: Path
    json_path: Path | None
    page: Path | None
    sources: Sequence[str]
    exclude: Sequence[str]
    most: int
    held_out: bool
    plots: bool
    jobs: int
    rounds: int


@dataclass
class Found:
    """What a run brings. `values` go to the JSON; `pictures`: PNG files by name. `good`: nothing failed."""

    tables: list[Table]
    conventions: Sequence[str]
    values: dict[str, Any]
    good: bool
    lines: list[str] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)


def measure(order: Order, what: str) -> bool:
    """'curves', 'speed' or 'promises'. Whether everything could be measured and every promise holds."""
    from dicomnn.benchmark.folder import look
    from dicomnn.benchmark.held_out import held_out_sources
    from dicomnn.cli import _bench_lossy_kinds as kinds
    from dicomnn.shelf import default_lossy_shelf

    most = order.most if what == "promises" else 1
    series = look(order.folder, sources=order.sources, exclude=order.exclude, most=most).series
    held_out = held_out_sources(series)
    if order.held_out:
        series = [one for one in series if one.source in held_out]
    if not series:
        raise UsageError(f"nothing below '{order.folder}' can be measured")
    model = default_lossy_shelf().newest()
    if order.page is not None:  # before an hour of work, not behind it
        from dicomnn.benchmark.pages import part

        part(order.page, COMMANDS[what])
    kind = {"curves": kinds.curves, "speed": kinds.speed, "promises": kinds.promises}[what]
    found = kind(order, series, scopes_of(series, held_out), model)
    _publish(order, what, found, model)
    return found.good


def scopes_of(series: Sequence[Series], held_out: Sequence[str]) -> dict[str, set[str]]:
    """Names of sets of series, for titles, to the sources in them: what training never saw stands apart."""
    sources = {one.source for one in series}
    apart = sources & set(held_out)
    if not apart:
        return {"whole folder": sources}
    if apart == sources:
        return {"held-out sources": sources}
    return {"held-out sources": apart, "whole folder, training series among them": sources}


def can_draw(order: Order) -> bool:
    """Whether pictures are wanted, have a place, and matplotlib is there."""
    if not order.plots or order.json_path is None:
        return False
    if importlib.util.find_spec("matplotlib") is None:
        click.echo("no pictures: matplotlib is not installed (pip install 'dicomnn[bench]')", err=True)
        return False
    order.json_path.parent.mkdir(parents=True, exist_ok=True)
    return True


def beside(order: Order, name: str) -> Path:
    """The path of a picture."""
    assert order.json_path is not None
    return order.json_path.with_name(f"{order.json_path.stem}-{name}.png")


def plain(value: Any) -> Any:
    """JSON as it is: what is no number, or infinite, becomes null."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ------------------------------------------------------------------ what is shown and written
def _publish(order: Order, what: str, found: Found, model: LossyModel) -> None:
    from dicomnn.benchmark.record import machine, versions

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for table in found.tables:
        if not table.detail:
            show(console, table)
    for line in found.lines:
        console.print(one_line(line), markup=False, soft_wrap=True)
    for line in found.conventions:
        console.print(f"* {line}", markup=False)
    values = {
        "schema": "dicomnn.bench-lossy/1",
        "what": what,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(order).items()
        },
        "machine": machine(),
        "versions": versions(),
        "model": model.id,
        "conventions": list(found.conventions),
        **found.values,
    }
    head = _head(values)
    written: list[Path] = []
    if order.json_path is not None:
        order.json_path.parent.mkdir(parents=True, exist_ok=True)
        order.json_path.write_text(json.dumps(plain(values), indent=1) + "\n", encoding="utf-8")
        text = order.json_path.with_suffix(".md")
        conventions = "\n".join(f"* {line}" for line in found.conventions)
        body = f"# dicomnn bench --lossy\n\n{_body(found, head)}\n## Conventions\n\n{conventions}\n"
        text.write_text(body, encoding="utf-8", errors="backslashreplace")
        written += [order.json_path, text, *found.pictures.values()]
    if order.page is not None:
        written += _fill(order.page, what, found, head)
    if written:
        click.echo("written: " + ", ".join(map(str, written)))


def _head(values: dict[str, Any]) -> str:
    machine, versions = values["machine"], values["versions"]
    names = ("dicomnn", "openjpeg", "libjxl", "charls", "imagecodecs")
    return (
        f"{values['time'][:10]}, model {values['model']}, {machine['processor']}, {machine['cores']} cores; "
        + ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    )


def _body(found: Found, head: str) -> str:
    from dicomnn.benchmark.tables import markdown

    pictures = [f"![{picture.stem}]({picture.name})\n" for picture in found.pictures.values()]
    lines = [f"* {line}" for line in found.lines]
    return "\n".join([head + ".", "", *map(markdown, found.tables), *pictures, *lines, ""])


def _fill(page: Path, what: str, found: Found, head: str) -> list[Path]:
    """The page's own part, and copies of the plots beside the page: pieces of patients' images stay away."""
    from dicomnn.benchmark.pages import fill

    plots = {name: picture for name, picture in found.pictures.items() if not name.startswith("tile")}
    copies = {name: page.with_name(f"{page.stem}-{name}.png") for name in plots}
    for name, picture in plots.items():
        shutil.copyfile(picture, copies[name])
    there = dataclasses.replace(found, pictures=copies)
    fill(page, COMMANDS[what], _body(there, head).replace("\n## ", "\n### "))
    return [page, *copies.values()]
