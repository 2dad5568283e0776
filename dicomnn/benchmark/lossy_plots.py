"""Pictures of a lossy run: curves by group, and the worst tile of a frame at equal bytes.

matplotlib comes with the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.benchmark.lossy import HIGHEST, LOWEST, OURS, Curves, window_of
from dicomnn.codec.lossy.promise import windowed

COLOURS = {
    OURS: "#d1495b",
    "jpeg2000": "#1f6fb4",
    "jxl": "#2e8b57",
    "jxl-srgb": "#8fc7a3",
    "jpegls": "#8a8a8a",
}
LABELS = {
    OURS: "dicomnn lossy",
    "jpeg2000": "JPEG 2000 9/7",
    "jxl": "JPEG XL, uniform",
    "jxl-srgb": "JPEG XL, sRGB",
}
AXES = {
    "psnr": "PSNR, dB (frame's range)",
    "windowed_psnr": "windowed PSNR, dB (255)",
    "windowed_ssim": "windowed SSIM",
    "noise": "noise power, decoded / original",
}
TILE = 96


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curves(found: Sequence[Curves], path: Path) -> None:
    """Mean over the frames of each group, one row a group: frames that every codec coded, at rates that every
    one of them reaches, so that all lines of a panel are of the same images.
    """
    codecs = list(dict.fromkeys(key for curves in found for key in curves.points))
    at = np.geomspace(LOWEST, HIGHEST, 25)
    whole = [c for c in found if all(_at_rates(c, codec, "psnr", at) is not None for codec in codecs)]
    groups = list(dict.fromkeys(curves.group for curves in whole))
    figure = _figure(3.4 * len(AXES), 2.6 * max(1, len(groups)))
    panels = figure.subplots(max(1, len(groups)), len(AXES), squeeze=False)
    for row, group in zip(panels, groups, strict=False):
        members = [c for c in whole if c.group == group]
        for panel, (name, label) in zip(row, AXES.items(), strict=True):
            for codec in codecs:
                lines = np.array([_at_rates(c, codec, name, at) for c in members], dtype=np.float64)
                colour = COLOURS.get(codec, "#444444")
                panel.plot(at, lines.mean(axis=0), color=colour, label=LABELS.get(codec, codec))
            panel.set_xscale("log")
            panel.set_xlabel("bits per pixel")
            panel.set_ylabel(label)
            panel.set_title(f"{group} ({len(members)})", fontsize=9)
            panel.grid(color="#dddddd", linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
    if groups:
        panels[0][0].legend(fontsize=7)
    figure.savefig(path, dpi=130)


def _at_rates(curves: Curves, codec: str, name: str, at: np.ndarray) -> np.ndarray | None:
    points = sorted((p.rate, getattr(p, name)) for p in curves.points.get(codec, []) if np.isfinite(p.psnr))
    if len(points) < 2:
        return None
    rates, values = np.array(points).T
    return np.asarray(np.interp(np.log(at), np.log(rates), values, left=np.nan, right=np.nan))


def draw_tile(plane: np.ndarray, decoded: dict[str, tuple[np.ndarray, float]], path: Path) -> None:
    """The tile that ours restores worst: original, and of each codec the tile and its difference.

    `decoded`: by codec the plane (rows, columns) and its bits per pixel, ours among them.
    """
    error = np.square(decoded[OURS][0].astype(np.int64) - plane)
    side = min(TILE, *plane.shape)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(total.argmax()), total.shape)
    cut = np.s_[y : y + side, x : x + side]
    window = window_of(plane)
    figure = _figure(2.6 * (1 + len(decoded)), 5.6)
    panels = figure.subplots(2, 1 + len(decoded))
    panels[0][0].imshow(windowed(plane, window)[cut], cmap="gray", vmin=0, vmax=255)
    panels[0][0].set_title("original", fontsize=9)
    reach = max(1, int(np.percentile(np.abs(decoded[OURS][0].astype(np.int64) - plane)[cut], 99)))
    for column, (codec, (values, rate)) in enumerate(decoded.items(), 1):
        panels[0][column].imshow(windowed(values, window)[cut], cmap="gray", vmin=0, vmax=255)
        panels[0][column].set_title(f"{LABELS.get(codec, codec)}, lossy, {rate:.2f} bpp", fontsize=9)
        difference = values.astype(np.int64) - plane
        panels[1][column].imshow(difference[cut], cmap="RdBu", vmin=-reach, vmax=reach)
        panels[1][column].set_title(f"difference, +-{reach}", fontsize=9)
    for panel in panels.ravel():
        panel.set_axis_off()
    figure.savefig(path, dpi=130)
