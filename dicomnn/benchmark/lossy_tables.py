"""A lossy run as tables, with what the figures mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicomnn.benchmark.lossy import HIGHEST, LOWEST, OURS, SHOWN_RATE, Curves, Mean, by_group, means
from dicomnn.benchmark.lossy_peers import LABELS
from dicomnn.benchmark.tables import Table

RATES = (0.1, 0.25, 0.5, 1.0)
QUALITY_NAMES = {
    "psnr": "PSNR (frame's range)",
    "windowed_psnr": "windowed PSNR (255)",
    "windowed_ssim": "windowed SSIM",
}
FIGURES = {
    "psnr": ("PSNR dB", 1.0, 2),
    "windowed_psnr": ("windowed PSNR dB", 1.0, 2),
    "windowed_ssim": ("windowed SSIM", 1.0, 4),
    "max_error": ("largest error, % of range", 100.0, 2),
    "noise": ("noise power", 1.0, 3),
}

CONVENTIONS = (
    "Measured: the middle frame of every series, as a plane (stored value less the frame's minimum, "
    "unsigned). Every stream of every codec was decoded; one that does not decode to the plane's size, or a "
    "JPEG-LS beyond its NEAR, fails the frame. A stream that decodes to one value everywhere is no point.",
    "Rate: bits a pixel of whole files of one frame, container, header and checksum of ours included (a few "
    "tens of bytes: on 64x64 pixels that is 0.1 bit), markers and tables of the others'.",
    "PSNR: 10 log10(MAX^2 / MSE), MAX the frame's own range (largest less smallest value), not "
    "2^BitsStored - 1.",
    "Windowed PSNR (MAX 255) and SSIM (7x7, range 255): both sides as 8 bits through a window from the 1st "
    "to the 99th percentile of the values above the frame's least one; errors outside of it do not show. No "
    "clinical window.",
    "Largest error: of one pixel, in the table as a share of the range. Noise power: mean square of what a "
    "3x3 mean leaves, decoded by original, outside of the least value; below 1, texture was removed.",
    f"BD-rate: mean of log(rate of ours / rate of the other) at equal quality, monotone cubics, over "
    f"{LOWEST:g} to {HIGHEST:g} bits a pixel of the other and the qualities that both reach; -10 % is a "
    "tenth fewer bits. SSIM enters as -log10(1 - SSIM). Mean over series, each counted once, with a 95 % "
    "bootstrap interval over series; n of N: of N frames n have such a range.",
    "JPEG 2000: OpenJPEG, 9/7, one tile, one layer, declared with the bits that the values need, its "
    "comment (39 bytes) taken out. JPEG XL: libjxl effort 7, the values spread over all of 16 bits, once "
    "so that its own scale is even in stored values (uniform: its better PSNR) and once as plain sRGB; "
    "left in the low end of 16 bits it would be crushed. JPEG-LS: CharLS with NEAR, declared with the bits "
    "that the values need; it cannot go far below half a bit.",
    "JPEG: libjpeg-turbo, baseline, optimised Huffman tables. It has 8 bits, so it gets the window's 8 bits "
    "and has windowed figures only: what lies outside of the window is gone, and no figure here counts it.",
)


def lossy_tables(scope: str, found: Sequence[Curves]) -> list[Table]:
    """BD-rates, then figures at fixed rates. `scope` names the series in the titles."""
    return [bd_table(scope, means(found)), at_rates_table(scope, found)]


def bd_table(scope: str, rows: Sequence[Mean]) -> Table:
    """A row for each group, anchor and quality."""
    cells = [
        [
            row.group,
            LABELS.get(row.peer, row.peer),
            QUALITY_NAMES[row.quality],
            f"{row.count} of {row.frames}",
            *(f"{100 * value:+.1f} %" for value in (row.mean, row.low, row.high, row.median, row.worst)),
        ]
        for row in rows
    ]
    columns = ["group", "against", "quality", "n", "mean", "95 % from", "to", "median", "worst"]
    return Table(f"BD-rate of ours, {scope}", columns, cells)


def at_rates_table(scope: str, found: Sequence[Curves]) -> Table:
    """Means at RATES over the frames that ours, JPEG 2000 and JPEG XL reach; of another codec only where it
    reaches all of those, else how many.
    """
    cells = []
    for group, members in by_group(found).items():
        codecs = list(dict.fromkeys(key for curves in members for key in curves.points))
        for rate in RATES:
            at = np.array([rate])
            core = [codec for codec in codecs if codec not in ("jpegls", "jpeg")]
            there = [c for c in members if all(_known(c.at(codec, "windowed_psnr", at)) for codec in core)]
            if not there:
                continue
            for codec in codecs:
                name = LABELS.get(codec, "dicomnn lossy" if codec == OURS else codec)
                figures = [_cell(there, codec, figure, at) for figure in FIGURES]
                cells.append([group, f"{rate:g}", str(len(there)), name, *figures])
    columns = ["group", "bpp", "n", "codec", *(title for title, _, _ in FIGURES.values())]
    note = (
        "Means over the same n frames in all rows of a rate, between the points of each curve. 'k of n': the "
        "codec reaches that rate on k of them only, so a mean would be of other images."
    )
    return Table(f"At equal rates, {scope}", columns, cells, note, detail=True)


def _known(value: np.ndarray) -> bool:
    return bool(np.isfinite(value).all())


def _cell(members: Sequence[Curves], codec: str, name: str, at: np.ndarray) -> str:
    _, factor, digits = FIGURES[name]
    scale = [factor / c.range if name == "max_error" else factor for c in members]
    values = [float(c.at(codec, name, at)[0]) * part for c, part in zip(members, scale, strict=True)]
    known = [value for value in values if np.isfinite(value)]
    if len(known) < len(values):
        return f"{len(known)} of {len(values)}" if known else "-"
    return f"{np.mean(known):.{digits}f}"


def picture_note() -> str:
    """What the pictures show."""
    return (
        f"Pictures: the tile that ours restores worst, of the frame of each group with the lowest PSNR at "
        f"{SHOWN_RATE:g} bits a pixel; every codec at the bytes of ours."
    )
