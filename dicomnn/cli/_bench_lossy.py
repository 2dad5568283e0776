"""What `dicomnn bench --lossy` does: curves, BD-rates, pictures."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line

if TYPE_CHECKING:
    from dicomnn.benchmark.lossy import Curves


def measure(
    folder: Path, json_path: Path | None, *, sources: Sequence[str], exclude: Sequence[str], plots: bool
) -> bool:
    """Whether every frame could be measured."""
    import numpy as np

    from dicomnn.benchmark.lossy import OURS, alike, means, run
    from dicomnn.shelf import default_lossy_shelf

    model = default_lossy_shelf().newest()
    if plots and importlib.util.find_spec("matplotlib") is None:
        click.echo("no pictures: matplotlib is not installed (pip install 'dicomnn[bench]')", err=True)
        plots = False

    def told(curves: Curves) -> None:
        first = curves.bd_rate("jpeg2000", "psnr")
        text = curves.problem or ("-" if first is None else f"{100 * first:+.1f} % of JPEG 2000's bits")
        click.echo(one_line(f"{curves.frame}: {text}"), err=True)

    worst: dict[str, float] = {}

    def seen(curves: Curves, plane: np.ndarray) -> None:
        """A picture of the frame of each group that ours restores worst at a quarter of a bit per pixel."""
        if json_path is None or not plots:
            return
        from dicomnn.benchmark.lossy_plots import draw_tile

        nearest = min(curves.points[OURS], key=lambda p: abs(p.rate - 0.25))
        if nearest.psnr < worst.get(curves.group, np.inf):
            worst[curves.group] = nearest.psnr
            json_path.parent.mkdir(parents=True, exist_ok=True)
            picture = json_path.with_name(f"{json_path.stem}-tile-{curves.group}.png")
            draw_tile(plane, alike(curves, plane, model, 0.25), picture)

    found = run(folder, model, sources=sources, exclude=exclude, done=told, seen=seen)
    rows = means(found)
    lines = [f"{'group':8} {'against':10} {'quality':14} {'n':>3} {'mean':>8} {'median':>8} {'worst':>8}"]
    for row in rows:
        figures = " ".join(f"{100 * value:+7.1f}%" for value in (row.mean, row.median, row.worst))
        lines.append(f"{row.group:8} {row.peer:10} {row.quality:14} {row.count:3} {figures}")
    click.echo("\n".join(lines))
    if json_path is not None:
        values: dict[str, Any] = {
            "schema": "dicomnn.bench-lossy/1",
            "model": model.id,
            "bd_rates": [dataclasses.asdict(row) for row in rows],
            "frames": [dataclasses.asdict(curves) for curves in found],
        }
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        if plots and any(curves.points for curves in found):
            _draw(found, json_path)
    return not any(curves.problem for curves in found)


def _draw(found: list[Curves], json_path: Path) -> None:
    from dicomnn.benchmark.lossy_plots import draw_curves

    picture = json_path.with_name(f"{json_path.stem}-curves.png")
    draw_curves(found, picture)
    click.echo(f"written: {json_path}, {picture}")
