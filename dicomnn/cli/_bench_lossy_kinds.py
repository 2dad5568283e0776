"""The three kinds of `dicomnn bench --lossy`: measuring, with a line for each step on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from dicomnn.cli import one_line
from dicomnn.cli._bench_lossy import Found, Order, beside, can_draw

if TYPE_CHECKING:
    from dicomnn.benchmark.folder import Series
    from dicomnn.benchmark.lossy import Curves
    from dicomnn.benchmark.promises import Done
    from dicomnn.codec.lossy.model import LossyModel


def _told(text: str) -> None:
    click.echo(one_line(text), err=True)


def curves(
    order: Order, series: Sequence[Series], scopes: dict[str, set[str]], model: LossyModel
) -> Found:
    """Rate-distortion curves, BD-rates, the worst tile of each group."""
    from dicomnn.benchmark.lossy import OURS, SHOWN_RATE, alike, means, run
    from dicomnn.benchmark.lossy_tables import CONVENTIONS, lossy_tables, picture_note

    drawing = can_draw(order)
    worst: dict[str, float] = {}
    pictures: dict[str, Path] = {}

    def done(found: Curves) -> None:
        first = found.bd_rate("jpeg2000", "psnr")
        _told(
            f"{found.frame}: "
            + (found.problem or ("-" if first is None else f"{100 * first:+.1f} % of JPEG 2000's bits"))
        )

    def seen(found: Curves, plane: np.ndarray) -> None:
        """A picture of the frame of each group that ours restores worst."""
        nearest = min(found.points[OURS], key=lambda p: abs(p.rate - SHOWN_RATE))
        if drawing and nearest.psnr < worst.get(found.group, np.inf):
            from dicomnn.benchmark.lossy_plots import draw_tile

            worst[found.group] = nearest.psnr
            name = f"tile-{found.group}"
            pictures[name] = beside(order, name)
            draw_tile(plane, alike(found, plane, model, ("jpeg2000", "jxl")), pictures[name])

    measured = run(series, model, done=done, seen=seen)
    parts = {scope: [c for c in measured if c.source in sources] for scope, sources in scopes.items()}
    if drawing and any(c.points for c in measured):
        from dicomnn.benchmark.lossy_plots import draw_curves

        scope = next(iter(parts))
        pictures = {"curves": beside(order, "curves"), **pictures}
        draw_curves(parts[scope], pictures["curves"])
    problems = [f"not measured: {c.frame}: {c.problem}" for c in measured if c.problem]
    return Found(
        [table for scope, part in parts.items() for table in lossy_tables(scope, part)],
        (*CONVENTIONS, picture_note()),
        {"bd_rates": {scope: means(part) for scope, part in parts.items()}, "frames": measured},
        not problems,
        problems,
        pictures,
    )


def speed(
    order: Order, series: Sequence[Series], scopes: dict[str, set[str]], model: LossyModel
) -> Found:
    """Both directions against OpenJPEG at equal bytes."""
    from dicomnn.benchmark.lossy import middle_planes
    from dicomnn.benchmark.lossy_speed import measure
    from dicomnn.benchmark.lossy_speed_table import conventions, speed_tables
    from dicomnn.errors import DicomnnError

    planes: dict[str, list[np.ndarray]] = {}
    problems = []
    for one, unit, plane in middle_planes(series):
        if isinstance(plane, DicomnnError):
            problems.append(f"not measured: {unit.name}: {plane}")
        else:
            planes.setdefault(one.group, []).append(plane)
    timings = measure(planes, model, threads=order.jobs, rounds=order.rounds, told=_told)
    return Found(
        speed_tables(timings, order.jobs),
        conventions(order.jobs, order.rounds),
        {"timings": timings},
        not problems,
        problems,
    )


def promises(
    order: Order, series: Sequence[Series], scopes: dict[str, set[str]], model: LossyModel
) -> Found:
    """Every promise on every object that may be coded with loss."""
    from dicomnn.benchmark.promise_tables import CONVENTIONS, broken_lines, promise_tables
    from dicomnn.benchmark.promises import run

    def done(result: Done, left: int) -> None:
        states = [outcome.state for outcome in result.outcomes]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        _told(f"{result.name}: {result.problem or counts} ({left} left)")

    campaign = run(series, jobs=order.jobs, done=done)
    tables = []
    for scope, sources in scopes.items():
        tables += promise_tables(scope, [o for o in campaign.outcomes if o.source in sources])
    lines = broken_lines(campaign)
    lines += [f"not coded with loss: {count}: {why}" for why, count in sorted(campaign.left_out.items())]
    lines += [f"failed: {name}: {why}" for name, why in campaign.failed]
    bad = {"broken", "failed"}
    good = not campaign.failed and not any(outcome.state in bad for outcome in campaign.outcomes)
    values = {"outcomes": campaign.outcomes, "left_out": campaign.left_out, "failed": campaign.failed}
    return Found(tables, CONVENTIONS, values, good, lines)
