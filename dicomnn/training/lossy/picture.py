"""Learning curves of a lossy run as a picture (matplotlib, extra ``train``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dicomnn.training.picture import write

from .validation import EQUAL


def draw(records: list[dict[str, Any]], path: Path, title: str) -> bool:
    """Write a PNG of loss and bits at equal error over minutes; False where matplotlib is not installed or
    nothing was tried yet.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not records:
        return False
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    steps = [r for r in records if r.get("loss") is not None]
    left.plot([r["minutes"] for r in steps], [r["loss"] for r in steps], color="tab:gray", marker=".")
    left.set_title("training loss")
    left.set_ylabel("bits of magnitudes by those when drawn")
    minutes = [r["minutes"] for r in records]
    for key in sorted({key for r in records for key in r if key.endswith(f" {EQUAL}")}):
        right.plot(minutes, [100 * r[key] for r in records], marker=".", label=key[: -len(EQUAL) - 1])
    right.set_title("validation frames, real streams")
    right.set_ylabel("bits at equal error, % of the reference")
    right.legend(fontsize="small", loc="upper right")
    write(figure, (left, right), path, title)
    return True
