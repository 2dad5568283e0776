"""The figure: triples of one test image, the others at the same bytes, every seed of both filters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.seed.codec.metrics import measure
from dicomnn.seed.codec.triple import Triple
from dicomnn.seed.study.peers import LABELS
from dicomnn.seed.study.table import VARIANT_WORDS

COLOURS = {"2": "#d1495b", "3": "#1f6fb4"}


@dataclass(frozen=True)
class Row:
    """One autoencoder's triple, and what the others give in as many bytes (codec -> image uint8)."""

    title: str
    triple: Triple
    others: dict[str, np.ndarray]


def draw(rows: list[Row], record: dict[str, Any], path: Path) -> None:
    """Write a PNG. Raises ModuleNotFoundError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 3 + len(LABELS)
    figure = Figure(figsize=(1.75 * columns, 2.05 * len(rows) + 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(rows) + 1, columns, height_ratios=[1.0] * len(rows) + [1.15])
    for number, row in enumerate(rows):
        _row([figure.add_subplot(grid[number, place]) for place in range(columns)], row)
    _seeds(figure.add_subplot(grid[len(rows), :]), record)
    figure.savefig(path, format="png", dpi=92)


def _row(axes: list[Any], row: Row) -> None:
    made = row.triple
    pictures: list[tuple[str, np.ndarray | None]] = [
        ("original", made.original),
        (f"latent, {len(made.coded)} bytes (1:{made.metrics.ratio:.1f})", made.latent),
        (f"decompressed, {made.metrics.psnr:.1f} dB", made.decompressed),
    ]
    for name, label in ((name, label.replace("`", "")) for name, label in LABELS.items()):
        other = row.others.get(name)
        if other is None:
            pictures.append((f"{label}: not so small", None))
        else:
            found = measure(made.original, other, len(made.coded))
            told = f"{found.psnr:.1f} dB" if np.isfinite(found.psnr) else "exact"
            pictures.append((f"{label}, {told}", other))
    for axis, (title, picture) in zip(axes, pictures, strict=True):
        axis.set_title(title, fontsize=6)
        axis.set_xticks([])
        axis.set_yticks([])
        if picture is None:
            axis.set_axis_off()
        else:
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes[0].set_ylabel(row.title, fontsize=7)


def _seeds(axis: Any, record: dict[str, Any]) -> None:
    names = []
    for place, group in enumerate(record["groups"]):
        names.append(f"{VARIANT_WORDS[group['variant']]}\n{group['side']}x{group['side']}")
        for shift, (kernel, seeds) in zip((-0.15, 0.15), group["kernels"].items(), strict=False):
            values = [one["psnr"] for one in seeds]
            axis.plot(
                [place + shift] * len(values),
                values,
                "o",
                color=COLOURS[kernel],
                markersize=5,
                alpha=0.8,
                label=f"filters {kernel}x{kernel}, a dot a seed" if place == 0 else None,
            )
            axis.plot(
                [place + shift - 0.1, place + shift + 0.1], [np.mean(values)] * 2, color=COLOURS[kernel]
            )
    axis.set_xticks(range(len(names)), names, fontsize=7)
    axis.set_ylabel("PSNR in dB, MAX = 1", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=7, frameon=False)
