"""Learning curves as a picture (matplotlib, extra ``train``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FEW = 3


def groups_of(records: list[dict[str, Any]]) -> list[str]:
    """Modality groups that were validated."""
    keys = {key for record in records for key in record}
    return sorted(key[: -len(" code")] for key in keys if key.endswith(" code"))


def draw(records: list[dict[str, Any]], path: Path, title: str) -> bool:
    """Write a PNG of loss and validation over minutes; False where matplotlib is not installed.

    The first record is where training started from: for a fine-tuning the dotted line is the parent.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    groups = groups_of(records)
    figure = Figure(figsize=(4.2 * (1 + len(groups)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(groups), squeeze=False)[0]
    steps = [r for r in records if r.get("loss") is not None]
    axes[0].plot([r["minutes"] for r in steps], [r["loss"] for r in steps], color="tab:gray", marker=".")
    axes[0].set_title("training loss")
    axes[0].set_ylabel("bits / (bits + 2), mean of crops")
    for axis, group in zip(axes[1:], groups, strict=True):
        # A fresh network's first figure would press all others to the ground.
        shown = records[1:] if len(records) > FEW and not records[0].get("parent") else records
        minutes = [r["minutes"] for r in shown]
        axis.plot(minutes, [r[f"{group} zero"] for r in shown], color="tab:orange", label="without tile code")
        axis.plot(
            minutes, [r[f"{group} code"] for r in shown], color="tab:blue", marker=".", label="with tile code"
        )
        if records[0].get("parent"):
            axis.axhline(records[0][f"{group} code"], color="black", linestyle=":", label="parent model")
        axis.set_title(f"{group}: validation crops")
        axis.set_ylabel("bits per pixel (ideal)")
        axis.legend(fontsize="small", loc="upper right")
    write(figure, axes, path, title)
    return True


def write(figure: Any, axes: Iterable[Any], path: Path, title: str) -> None:
    """Write curves over minutes; a reader sees the old picture or the new."""
    for axis in axes:
        axis.set_xlabel("minutes")
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, format="png", dpi=110)
    os.replace(partial, path)
