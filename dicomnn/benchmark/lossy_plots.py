"""Pictures of a lossy run: curves by group, and the worst tile of a frame at equal bytes.

matplotlib comes with the extra `bench`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.benchmark.lossy import HIGHEST, LOWEST, OURS, Curves, by_group
from dicomnn.benchmark.lossy_peers import LABELS
from dicomnn.benchmark.lossy_points import shown, window_of

COLOURS = {
    OURS: "#d1495b",
    "jpeg2000": "#1f6fb4",
    "jxl": "#2e8b57",
    "jxl-srgb": "#8fc7a3",
    "jpegls": "#8a8a8a",
    "jpeg": "#c9a227",
}
NAMES = {OURS: "dicomnn lossy", **LABELS}
AXES = {
    "psnr": "PSNR, dB (MAX: frame's range)",
    "windowed_psnr": "windowed PSNR, dB (MAX 255)",
    "windowed_ssim": "windowed SSIM",
    "max_error": "largest error, % of the range",
    "noise": "noise power, decoded / original",
}
TILE = 96
LARGER = 1.1
"""A file that takes more than so much of the bytes of ours could not be made smaller."""
_SHARE = {"max_error"}


def figure_of(width: float, height: float) -> Any:
    """An empty figure, inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curves(found: Sequence[Curves], path: Path) -> None:
    """Mean over the frames of each group, one row a group. A line is drawn where its codec reaches that rate
    on every frame of the group, so that all lines of a panel are of the same images.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    codecs = list(dict.fromkeys(key for curves in found for key in curves.points))
    groups = {group: members for group, members in by_group(found).items() if group != "all"}
    at = np.geomspace(LOWEST, HIGHEST, 25)
    figure = figure_of(3.1 * len(AXES), 2.7 * max(1, len(groups)) + 0.4)
    panels = figure.subplots(max(1, len(groups)), len(AXES), squeeze=False)
    lines: dict[str, Any] = {}
    for row, (group, members) in zip(panels, groups.items(), strict=False):
        for panel, (name, label) in zip(row, AXES.items(), strict=True):
            for codec in codecs:
                values = _mean(members, codec, name, at)
                if np.isfinite(values).any():
                    style = {"color": COLOURS.get(codec, "#444444"), "linewidth": 2 if codec == OURS else 1.3}
                    lines[codec] = panel.plot(at, values, **style)[0]
            panel.set_xscale("log")
            panel.set_xticks([0.1, 0.25, 0.5, 1.0], ["0.1", "0.25", "0.5", "1"])
            panel.minorticks_off()
            panel.set_xlim(LOWEST, HIGHEST)
            panel.set_xlabel("bits per pixel")
            panel.set_ylabel(label, fontsize=9)
            panel.set_title(f"{group} ({len(members)} series)", fontsize=9)
            panel.grid(color="#dddddd", linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
            if name in _SHARE:
                panel.set_yscale("log")
                panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                panel.yaxis.set_major_formatter("{x:g}")
                panel.yaxis.set_minor_locator(NullLocator())
    if lines:
        names = [NAMES.get(codec, codec) for codec in lines]
        figure.legend(lines.values(), names, loc="outside upper center", ncols=len(lines), fontsize=9)
    figure.savefig(path, dpi=130)


def _mean(members: Sequence[Curves], codec: str, name: str, at: np.ndarray) -> np.ndarray:
    """(n,): NaN where any of the frames has none."""
    values = np.array([c.at(codec, name, at) * (100 / c.range if name in _SHARE else 1) for c in members])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(values.mean(axis=0))


def worst_tile(plane: np.ndarray, decoded: np.ndarray) -> tuple[slice, slice]:
    """The TILE x TILE pixels (less where the plane is smaller) of the largest squared error."""
    error = np.square(decoded.astype(np.int64) - plane)
    side = min(TILE, *plane.shape)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = (int(place) for place in np.unravel_index(int(total.argmax()), total.shape))
    return slice(y, y + side), slice(x, x + side)


def draw_tile(plane: np.ndarray, decoded: dict[str, tuple[np.ndarray, float]], path: Path) -> None:
    """The tile that ours restores worst: original, and of each codec the tile and its difference.

    `decoded`: by codec the plane (rows, columns) and its bits per pixel, ours among them.
    """
    cut = worst_tile(plane, decoded[OURS][0])
    window = window_of(plane)
    figure = figure_of(2.9 * (1 + len(decoded)), 6.2)
    panels = figure.subplots(2, 1 + len(decoded))
    look: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
    panels[0][0].imshow(shown(plane, window)[cut], **look)
    panels[0][0].set_title("original", fontsize=9)
    reach = max(1, int(np.percentile(np.abs(decoded[OURS][0].astype(np.int64) - plane)[cut], 99)))
    for column, (codec, (values, rate)) in enumerate(decoded.items(), 1):
        panels[0][column].imshow(shown(values, window)[cut], **look)
        least = " (it cannot go lower)" if rate > LARGER * decoded[OURS][1] else ""
        panels[0][column].set_title(f"LOSSY: {NAMES.get(codec, codec)}\n{rate:.3f} bpp{least}", fontsize=9)
        difference = (values.astype(np.int64) - plane)[cut]
        panels[1][column].imshow(difference, cmap="RdBu", vmin=-reach, vmax=reach, interpolation="nearest")
        root = float(np.sqrt(np.square(difference).mean()))
        text = f"difference, shown +-{reach}\nRMS {root:.1f}, largest {np.abs(difference).max()}"
        panels[1][column].set_title(text, fontsize=9)
    for panel in panels.ravel():
        panel.set_axis_off()
    rows, columns = cut
    about = f"rows {rows.start} to {rows.stop - 1}, columns {columns.start} to {columns.stop - 1}"
    panels[1][0].text(
        0.5, 0.5, f"{about}\nwindow {window[0]:.0f} .. {window[1]:.0f}\nof values less the least",
        ha="center", va="center", fontsize=9,
    )  # fmt: skip
    figure.savefig(path, dpi=130)
