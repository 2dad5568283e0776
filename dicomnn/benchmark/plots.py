"""Two pictures out of a record: the ratio of every series, and rate against speed.

matplotlib comes with the extra `bench`; nothing else here needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.benchmark.ours import PREFIX
from dicomnn.benchmark.peers import THREADED
from dicomnn.benchmark.record import YARDSTICK, bound_of

COLOURS = {"CT": "#1f6fb4", "thin CT": "#7db8e8", "MR": "#d1495b", "X-ray": "#2e8b57", "other": "#8a8a8a"}
OURS, THEIRS = "#d1495b", "#44546a"
HIGHEST = 1.5
"""Ratios above it are drawn at it: some almost empty series have ratios of ten and more."""


def draw(record: dict[str, Any], beside: Path) -> list[Path]:
    """PNG files beside `beside` (the JSON file), named after it; [] where there is nothing to draw.

    Raises ModuleNotFoundError without matplotlib.
    """
    pictures: dict[str, Callable[[dict[str, Any]], Any]] = {"series": _series, "speed": _speed}
    drawn = []
    for name, function in pictures.items():
        figure = function(record)
        if figure is not None:
            drawn.append(beside.with_name(f"{beside.stem}-{name}.png"))
            figure.savefig(drawn[-1], dpi=140)
    return drawn


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axis: Any, grid: str) -> None:
    axis.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _counted(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [series for series in record["series"] if not series["noise"]]


# ------------------------------------------------------------------ every series
def _series(record: dict[str, Any]) -> Any:
    """A panel for each of our efforts: series sorted by their ratio to the yardstick."""
    panels = {}
    for codec in record["codecs"]:
        if codec.startswith(PREFIX) and not bound_of(codec):
            found = [
                (
                    series["ratios"][codec][YARDSTICK],
                    series["codecs"][codec]["payload_bytes"] / series["codecs"][YARDSTICK]["bytes"],
                    "thin CT" if series["thin"] else series["group"],
                )
                for series in _counted(record)
                if YARDSTICK in series["ratios"].get(codec, {})
            ]
            if found:
                panels[codec] = sorted(found)
    if not panels:
        return None
    figure = _figure(max(6.0, 4.0 * len(panels) + 1.2), 4.8)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (codec, found) in zip(axes, panels.items(), strict=True):
        _dots(axis, found, record["codecs"][codec])
    ratios = [ratio for found in panels.values() for ratio, _, _ in found]
    payloads = [payload for found in panels.values() for _, payload, _ in found]
    axes[0].set_ylim(min(*payloads, 1) - 0.04, min(max(*ratios, 1) + 0.04, HIGHEST + 0.05))
    axes[0].set_ylabel(f"our bytes / {record['codecs'][YARDSTICK]}")
    handles: dict[str, Any] = {}
    for axis in axes:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
    )
    return figure


def _dots(axis: Any, found: list[tuple[float, float, str]], label: str) -> None:
    """`found` has ratio, ratio of the payload alone, and group of each series, in the order of the ratios."""
    ratios = np.array([ratio for ratio, _, _ in found])
    payloads = np.array([payload for _, payload, _ in found])
    axis.axhline(1, color="black", linewidth=1)
    axis.axhline(ratios.mean(), color="black", linewidth=0.9, linestyle=(0, (5, 3)))
    for number, (ratio, payload, group) in enumerate(found, 1):
        axis.plot([number] * 2, np.minimum([payload, ratio], HIGHEST), color=COLOURS[group], linewidth=0.8)
    axis.scatter(
        np.arange(1, len(found) + 1),
        np.minimum(payloads, HIGHEST),
        s=14,
        facecolor="white",
        edgecolor=[COLOURS[group] for _, _, group in found],
        linewidth=0.8,
        label="payload alone",
        zorder=2.5,
    )
    for group, colour in COLOURS.items():
        there = np.array([number for number, (_, _, name) in enumerate(found) if name == group], dtype=int)
        for marker, part in (
            ("o", there[ratios[there] <= HIGHEST]),
            ("^", there[ratios[there] > HIGHEST]),
        ):
            if part.size:
                axis.scatter(
                    part + 1,
                    np.minimum(ratios[part], HIGHEST),
                    s=32,
                    marker=marker,
                    color=colour,
                    edgecolor="white",
                    linewidth=0.5,
                    label=group if marker == "o" else None,
                    zorder=3,
                )
    above = int((ratios > HIGHEST).sum())
    axis.set_title(
        f"{label}\nmean {ratios.mean():.3f} (dashed), {int((ratios < 1).sum())} of {len(ratios)} below 1"
        + (f", {above} above {HIGHEST:g}" if above else ""),
        fontsize=10,
    )
    axis.set_xlabel("series, sorted")
    axis.set_xlim(0, len(found) + 1)
    axis.xaxis.get_major_locator().set_params(integer=True)
    _plain(axis, "y")


# ------------------------------------------------------------------ rate against speed
def _speed(record: dict[str, Any]) -> Any:
    """Mean ratio to the yardstick against MB/s of one core, for encoding and decoding."""
    counted = [one for one in _counted(record) if YARDSTICK in one["codecs"]]
    known = [one for one in counted if one["group"] != "other"]
    series = [one["codecs"] for one in known or counted]
    rates = {}
    for codec in record["codecs"]:
        found = [one[codec]["bytes"] / one[YARDSTICK]["bytes"] for one in series if codec in one]
        if found and not bound_of(codec) and not codec.startswith(THREADED):
            rates[codec] = float(np.mean(found))
    if not rates:
        return None
    figure = _figure(10.5, 5.0)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, way in zip(axes, ("encode", "decode"), strict=True):
        points = {
            codec: (speed, rate)
            for codec, rate in rates.items()
            if (speed := record["speeds"][codec][f"{way}_core"]) is not None
        }
        axis.axhline(1, color="black", linewidth=0.8)
        ours = sorted(point for codec, point in points.items() if codec.startswith(PREFIX))
        if ours:
            axis.plot(*zip(*ours, strict=True), color=OURS, linewidth=1, alpha=0.5)
        for codec, (speed, rate) in points.items():
            axis.scatter(speed, rate, s=46, color=_colour(codec), zorder=3)
        axis.set_xscale("log")
        axis.margins(x=0.2, y=0.14)
        axis.set_xlabel(f"{way}, MB/s of 16-bit pixels on one core")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        _plain(axis, "both")
    which = f"{len(series)} {'CT, MR and X-ray ' if known else ''}series"
    axes[0].set_ylabel(f"bytes / {record['codecs'][YARDSTICK]}, mean over {which}")
    figure.canvas.draw()  # the layout is known from here on
    for axis, way in zip(axes, ("encode", "decode"), strict=True):
        names = {
            record["codecs"][codec]: (record["speeds"][codec][f"{way}_core"], rate, _colour(codec))
            for codec, rate in rates.items()
            if record["speeds"][codec][f"{way}_core"] is not None
        }
        _label(axis, names)
    return figure


def _colour(codec: str) -> str:
    return OURS if codec.startswith(PREFIX) else THEIRS


def _label(axis: Any, points: dict[str, tuple[float, float, str]]) -> None:
    """Names beside the points, each where it hides least and is nearest; a line where that is not near."""
    renderer = axis.figure.canvas.get_renderer()
    boxes = {name: _box(axis, speed, rate) for name, (speed, rate, _) in points.items()}
    taken = list(boxes.values())
    for name, (speed, rate, colour) in sorted(points.items(), key=lambda item: item[1][0]):
        choices = []
        for across, up, align in _places():
            text = axis.annotate(
                name,
                (speed, rate),
                xytext=(across, up),
                textcoords="offset points",
                ha=align,
                va="center",
                fontsize=8.5,
                color=colour,
            )
            box = text.get_window_extent(renderer)
            text.remove()
            outside = not (axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1)
            hidden = sum(box.overlaps(other) for other in taken) + 2 * outside
            # A name that lies nearer to another point would be read as that one's.
            mine = _distance(box, boxes[name])
            foreign = sum(_distance(box, other) < mine + 4 for key, other in boxes.items() if key != name)
            choices.append((10 * hidden + 3 * foreign + mine / 20, across, up, align, box))
        _, across, up, align, box = min(choices, key=lambda choice: choice[0])
        far = _distance(box, boxes[name]) > 12
        axis.annotate(
            name,
            (speed, rate),
            xytext=(across, up),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=8.5,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkB": 4} if far else None,
        )
        taken.append(box)


def _places() -> Iterable[tuple[int, int, str]]:
    for up in (11, -11, 24, -24, 40, -40):
        yield 0, up, "center"
    for up in (0, 11, -11, 24, -24, 40, -40):
        yield 9, up, "left"
        yield -9, up, "right"


def _distance(a: Any, b: Any) -> float:
    """Pixels between the edges of two boxes, 0 where they meet."""
    across = max(a.x0 - b.x1, b.x0 - a.x1, 0.0)
    up = max(a.y0 - b.y1, b.y0 - a.y1, 0.0)
    return float(np.hypot(across, up))


def _box(axis: Any, x: float, y: float) -> Any:
    from matplotlib.transforms import Bbox

    across, up = axis.transData.transform((x, y))
    return Bbox.from_extents(across - 6, up - 6, across + 6, up + 6)
