"""The record as Markdown: one table, and the sentences that follow from its figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dicomnn.errors import UsageError
from dicomnn.seed.study.paper import ROWS
from dicomnn.seed.study.peers import LABELS, LOSSLESS_LABELS

BEGIN, END = "<!-- made by `make seed`: begin -->", "<!-- made by `make seed`: end -->"
HEADS = (
    "image",
    "codec",
    "coded bytes",
    "CR",
    "MSE in [0,1]",
    "PSNR, MAX=1",
    "the same MSE under MAX=255",
    "SSIM",
)
VARIANT_WORDS = {"pool": "pooling", "dense": "fully connected"}


def table(record: dict[str, Any]) -> str:
    """The one table."""
    lines = ["| " + " | ".join(HEADS) + " |", "| " + " | ".join(["---"] * len(HEADS)) + " |"]
    for row in ROWS:
        k = row.kernel
        name, size = f"the paper, {k}x{k}, as printed", f"{row.compressed_kb:g} 'kb'"
        lines.append(f"| | {name} | {size} | {row.ratio:g} | {row.mse:g} | | {row.psnr:g} | {row.ssim:g} |")
    for group in record["groups"]:
        size = f"{group['side']}x{group['side']}"
        words = VARIANT_WORDS[group["variant"]]
        for kernel, seeds in group["kernels"].items():
            name = f"autoencoder, {words}, {kernel}x{kernel}"
            lines.append(_row(size, name, seeds, with_spread=True))
        for codec, figures in group["peers"].items():
            count, small = record["images"]["test"]["images"], figures["images"]
            name = LABELS[codec] + (
                f" (of the {small} of {count} images that it makes so small)" if small < count else ""
            )
            lines.append(_row(size, name, [figures], with_spread=False))
        for codec in [codec for codec in LABELS if codec not in group["peers"]]:
            lines.append(f"| {size} | {LABELS[codec]} | none gets so small | | | | | |")
    for side, sizes in record["lossless"].items():
        for codec, size in sizes.items():
            told = f"{size:.0f} | {int(side) ** 2 / size:.2f}"
            lines.append(f"| {side}x{side} | {LOSSLESS_LABELS[codec]} | {told} | 0 | exact | exact | 1 |")
    return "\n".join(lines)


def _row(size: str, name: str, found: list[dict[str, float]], *, with_spread: bool) -> str:
    def mean(key: str) -> float:
        return sum(one[key] for one in found) / len(found)

    def spread(key: str) -> float:
        middle = mean(key)
        return math.sqrt(sum((one[key] - middle) ** 2 for one in found) / max(len(found) - 1, 1))

    def cell(key: str, form: str, with_spread: bool = with_spread and len(found) > 1) -> str:
        if key not in found[0]:
            return "exact"
        text = format(mean(key), form)
        return f"{text} ± {format(spread(key), form)}" if with_spread else text

    return (
        f"| {size} | {name} | {mean('coded_bytes'):.0f} | {cell('ratio', '.2f')} | {mean('mse'):.6f} | "
        f"{cell('psnr', '.2f')} | {cell('psnr_255', '.2f', with_spread=False)} | {cell('ssim', '.3f')} |"
    )


def sentences(record: dict[str, Any]) -> list[str]:
    """Which filter size is better, and who wins at equal bytes, in words that follow from the figures."""
    made = []
    for group in record["groups"]:
        found = group["verdict"]
        if not found:
            continue
        where = f"{VARIANT_WORDS[group['variant']]}, {group['side']}x{group['side']}"
        gain, deviation = found["psnr"], found["psnr_spread"]
        sure = found["ups"] in (0, found["seeds"]) and found["seeds"] > 1 and abs(gain) > deviation
        better = "3x3" if gain > 0 else "2x2"
        word = f"**{better} is better**" if sure else f"no filter size is surely better ({better} on average)"
        made.append(
            f"* {where}: {word}: 3x3 less 2x2 is {gain:+.2f} dB (deviation over seeds {deviation:.2f}), SSIM "
            f"{found['ssim']:+.3f}; 3x3 ahead in {found['ups']} of {found['seeds']} seeds."
        )
    for group in record["groups"]:
        best = group["compared"]
        own = group["kernels"][best][0]
        others = {
            LABELS[name]: f"{figures['psnr'] - own['psnr']:+.1f} dB" if "psnr" in figures else "exact"
            for name, figures in group["peers"].items()
            if figures["images"] == own["images"]
        }
        told = ", ".join(f"{name} {gain}" for name, gain in others.items())
        if told:
            made.append(
                f"* At the bytes of the autoencoder ({VARIANT_WORDS[group['variant']]}, {best}x{best}, "
                f"{group['side']}x{group['side']}), compared with it: {told}."
            )
    return made


def generated(record: dict[str, Any], figure: str) -> str:
    """All that stands between the marks of the page."""
    counts = record["images"]
    told = "; ".join(
        f"{side}: " + ", ".join(f"{n} {what}" for what, n in numbers.items())
        for side, numbers in counts.items()
    )
    steps = "; ".join(
        f"{VARIANT_WORDS[group['variant']]} {group['side']}x{group['side']}: {group['steps']}"
        for group in record["groups"]
    )
    return "\n".join(
        [
            f"![Original, latent drawn, decompressed, and the others at the same bytes]({figure})",
            "",
            record["caption"],
            "",
            table(record),
            "",
            f"Made by `{record['command']}`: seeds {', '.join(map(str, record['seeds']))}; steps of "
            f"{record['batch']} images ({steps}); {record['seconds'] / 60:.1f} minutes of one core for "
            "training. Bytes, MSE and SSIM are means over test images, CR and PSNR those of the mean bytes "
            f"and the mean MSE; ± is the standard deviation over seeds. {told}. {record['split']}",
            "",
            *sentences(record),
        ]
    )


def write_page(page: Path, text: str) -> None:
    """Replace what stands between the marks of ``page``. Raises UsageError where it has none."""
    whole = page.read_text(encoding="utf-8")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        cure = f"Put these two lines in: {BEGIN} and {END}."
        raise UsageError("The page has no place for the table.", subject=str(page), cure=cure)
    head, tail = whole.split(BEGIN)[0], whole.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")
