"""`dicomnn seed`, the whole walk: images -> trainings -> comparison -> record, table, figure, page.

The run's folder holds ``run.json`` (what was asked for), ``catalogue.jsonl``, ``models/<name>-<seed>.npz``
with its learning curve beside it, and at the end ``record.json``, ``table.md`` and ``figure.png``. What is
there is not made again, so an interrupted run goes on with the same command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomnn.codec.model import Model
from dicomnn.errors import UsageError
from dicomnn.seed.codec.model import SeedModel
from dicomnn.seed.codec.network import KERNELS, SIDES, VARIANTS, Design
from dicomnn.seed.codec.triple import triple
from dicomnn.seed.study import picture
from dicomnn.seed.study.compare import AtSize, Compared, of_seed, run_model, verdict
from dicomnn.seed.study.fit import BATCH, STEPS_A_MINUTE, Trained, fit, steps_for
from dicomnn.seed.study.images import Images, one_file, prepare
from dicomnn.seed.study.table import VARIANT_WORDS, generated, table, write_page
from dicomnn.training.run_folder import RunFolder
from dicomnn.training.stopping import Stop, Teller

DESIGNS = tuple(Design(v, side, k) for v in VARIANTS for side in SIDES for k in KERNELS)


@dataclass(frozen=True)
class Order:
    """What was asked for. ``page``: a page to write table and figure into. ``show``: the file that the figure
    shows instead of a test image, ``shown_as`` a sentence about it. ``model``: of our own codec, to
    compare with; None lets it compete without its network.
    """

    folder: Path
    run: Path
    minutes: float = 10.0
    seeds: tuple[int, ...] = (1, 2, 3)
    per_series: int = 4
    page: Path | None = None
    show: Path | None = None
    shown_as: str = ""
    model: Model | None = None
    designs: tuple[Design, ...] = DESIGNS

    def command(self) -> str:
        """For the record; no path of the machine."""
        seeds = ",".join(map(str, self.seeds))
        return (
            f"dicomnn seed FOLDER --minutes {self.minutes:g} --seeds {seeds} --per-series {self.per_series}"
        )


Key = tuple[Design, int]


def carry_out(order: Order, teller: Teller, stop: Stop) -> dict[str, Any]:
    """The record. Raises UsageError, RunMismatch, TrainingError, and Interrupted with everything saved."""
    try:
        import matplotlib  # noqa: F401  (needed at the very end, and missed too late there)
    except ModuleNotFoundError as problem:
        raise UsageError("The figure needs matplotlib.", cure="pip install 'dicomnn[bench]'") from problem
    torch.set_num_threads(1)
    with RunFolder(order.run) as folder:
        images = prepare(order.folder, order.run, order.per_series, order.model, teller, stop)
        fixed = {
            "folder": order.command(),
            "designs": [d.name for d in order.designs],
            "images": images.digest,
        }
        folder.begin(fixed)
        for side, numbers in images.counts.items():
            teller.say(f"{side}: " + ", ".join(f"{n} {what}" for what, n in numbers.items()))
        teller.say(images.sentence)
        trained = _train(order, images, teller, stop)
        record, rows = _compare(order, images, trained, teller, stop)
        _write(order.run / "record.json", json.dumps(record, indent=1) + "\n")
        _write(order.run / "table.md", table(record) + "\n")
        picture.draw(rows, record, order.run / "figure.png")
        if order.page is not None:
            figure = order.page.with_suffix(".png")
            figure.write_bytes((order.run / "figure.png").read_bytes())
            _write(order.page.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
            write_page(order.page, generated(record, figure.name))
        return record


# ------------------------------------------------------------------ training
def _train(order: Order, images: Images, teller: Teller, stop: Stop) -> dict[Key, Trained]:
    place = order.run / "models"
    place.mkdir(exist_ok=True)
    shared = {design: shares(design, order.designs) for design in order.designs}
    keys = [(design, seed) for seed in order.seeds for design in dict.fromkeys(shared.values())]
    steps = {design: steps_for(design, order.minutes, len(order.seeds)) for design in order.designs}
    weight = {design: _weight(design) for design in order.designs}
    total = sum(steps[design] * weight[design] for design, _ in keys)
    done, made = 0, {}
    for design, seed in keys:
        path = place / f"{design.name}-{seed}.npz"
        known = path.with_suffix(".json")

        def advance(step: int, *, done: int = done, design: Design = design) -> None:
            teller.progress("training", done + step * weight[design], total)

        if known.exists():
            curve = json.loads(known.read_text(encoding="utf-8"))
            made[design, seed] = Trained(SeedModel.from_bytes(path.read_bytes()), curve, steps[design])
        else:
            saved = path.with_suffix(".pt")
            found = fit(design, seed, steps[design], images.train, images.validation, saved, stop, advance)
            path.write_bytes(found.model.to_bytes())
            _write(known, json.dumps(found.curve) + "\n")
            saved.unlink()
            made[design, seed] = found
            last = found.curve[-1]
            teller.say(
                f"{design.name}, seed {seed}: validation MSE {last['validation']:.6f} after "
                f"{found.steps} steps, {last['seconds']:.0f} s"
            )
        done += steps[design] * weight[design]
        advance(0, done=done)
    return {(d, seed): made[shared[d], seed] for d in order.designs for seed in order.seeds}


def shares(design: Design, designs: Sequence[Design]) -> Design:
    """Whose training a design uses: with pooling, one serves images of every side."""
    alike = [d for d in designs if (d.variant, d.kernel) == (design.variant, design.kernel)]
    return max(alike) if design.variant == "pool" else design


def _weight(design: Design) -> int:
    """Of a step in the progress: about milliseconds."""
    return round(1600 / STEPS_A_MINUTE[design.variant, 128 if design.side <= 128 else 256])


# ------------------------------------------------------------------ comparing
def _compare(
    order: Order, images: Images, trained: dict[Key, Trained], teller: Teller, stop: Stop
) -> tuple[dict[str, Any], list[picture.Row]]:
    sides = sorted({design.side for design in order.designs})
    kinds = list(dict.fromkeys((design.variant, design.side) for design in order.designs))
    count = len(images.test.records)
    total, done = len(trained) + count * (len(sides) + len(kinds)), 0

    def advance() -> None:
        nonlocal done
        done += 1
        stop.check()
        teller.progress("comparing", done, total)

    compared: dict[Key, Compared] = {}
    for (design, seed), one in trained.items():
        compared[design, seed] = run_model(one.model, images.test.pixels[design.side])
        advance()
    others = {side: AtSize(images.test.pixels[side], order.model) for side in sides}
    lossless = {str(side): others[side].lossless(advance) for side in sides}
    groups = []
    for variant, side in kinds:
        designs = [d for d in order.designs if (d.variant, d.side) == (variant, side)]
        kernels = {
            str(d.kernel): [
                of_seed(trained[d, seed], compared[d, seed], seed, images.test.pixels[side])
                for seed in order.seeds
            ]
            for d in designs
        }
        best = min(kernels, key=lambda kernel: np.mean([one["validation"] for one in kernels[kernel]]))
        chosen = next(d for d in designs if str(d.kernel) == best)
        sizes = [one.metrics.coded_bytes for one in compared[chosen, order.seeds[0]].triples]
        groups.append(
            {
                "variant": variant,
                "side": side,
                "steps": trained[chosen, order.seeds[0]].steps,
                "weights": {
                    str(d.kernel): trained[d, order.seeds[0]].model.network.weights() for d in designs
                },
                "kernels": kernels,
                "verdict": verdict(kernels["2"], kernels["3"]) if len(kernels) == 2 else {},
                "compared": best,
                "peers": others[side].at(sizes, advance),
            }
        )
    shown, caption = _shown(order, images, compared)
    record = {
        "command": order.command(),
        "seeds": list(order.seeds),
        "batch": BATCH,
        "seconds": sum(
            one.curve[-1]["seconds"]
            for (design, _), one in trained.items()
            if design == shares(design, order.designs)
        ),
        "torch": torch.__version__.split("+")[0],
        "images": images.counts,
        "split": images.sentence,
        "groups": groups,
        "lossless": lossless,
        "caption": caption,
    }
    return record, _rows(order, groups, trained, shown)


def _shown(order: Order, images: Images, compared: dict[Key, Compared]) -> tuple[np.ndarray, str]:
    """The image of the figure, (S, S) uint8 of the largest side, and what is said below it: the file that was
    asked for, or the median test image (of CT where there is CT), neither the nicest nor the worst.
    """
    side = max(design.side for design in order.designs)
    rest = (
        "The first three pictures of a row are the paper's triple; the others are no larger than the "
        "autoencoder's file. Below: every seed on the test images."
    )
    if order.show is not None:
        return one_file(order.show, side), f"{order.shown_as} {rest}"
    design = next(design for design in order.designs if design.side == side)
    found = compared[design, order.seeds[0]].triples
    there = [n for n, record in enumerate(images.test.records) if record.file.group == "CT"]
    among = there or list(range(len(found)))
    number = sorted(among, key=lambda n: found[n].metrics.mse)[len(among) // 2]
    told = f"The test image ({images.test.records[number].file.modality}) whose PSNR is the median."
    return images.test.pixels[side][number], f"{told} {rest}"


def _rows(
    order: Order, groups: list[dict[str, Any]], trained: dict[Key, Trained], shown: np.ndarray
) -> list[picture.Row]:
    """Of the largest side: both filters with pooling, and the better one with a bottleneck."""
    side = len(shown)
    better = {(group["variant"], group["side"]): int(group["compared"]) for group in groups}
    others = AtSize(shown[np.newaxis], order.model)
    rows = []
    for design in order.designs:
        if design.side != side or (design.variant == "dense" and design.kernel != better["dense", side]):
            continue
        made = triple(shown.astype(np.float32) / 255, trained[design, order.seeds[0]].model)
        title = f"{VARIANT_WORDS[design.variant]} {design.kernel}x{design.kernel}"
        rows.append(picture.Row(title, made, others.images_at(0, len(made.coded))))
    return rows


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
