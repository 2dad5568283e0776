"""The training loop: resumable, interruptible, one thread by default.

`python -m dicomnn.training.loop --data FOLDER --run runs/NAME --minutes 120` goes on from
``runs/NAME/checkpoint.pt`` when there is one. Recipe (codec trial, section 7): AdamW, cosine
schedule with warm-up over the minutes given, beta2 0.98, gradient norm 1, loss bits / (bits + 2)
per crop so that quiet and noisy series weigh alike.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch

from .data import Crop, Sampler, load
from .network import TileCodec, code_length

LOG = logging.getLogger("dicomnn.training")
HALF_BITS = 2.0


def batch_of(
    crops: list[Crop], pixels: int, random: np.random.Generator, size: int
) -> tuple[torch.Tensor, ...]:
    """Tensors of a batch: maps (B, 4, size, size), inputs (B, N, 32), targets, scales (B, N), share (B,).

    Small crops are repeated to the batch's size: maps by wrapping, pixels by drawing with replacement.
    """
    maps, inputs, targets, scales, shares = [], [], [], [], []
    for crop in crops:
        _, h, w = crop.maps.shape
        maps.append(np.pad(crop.maps, ((0, 0), (0, size - h), (0, size - w)), mode="wrap"))
        n = len(crop.inputs)
        pick = random.integers(0, n, pixels)
        inputs.append(crop.inputs[pick])
        targets.append(crop.targets[pick])
        scales.append(crop.scales[pick])
        shares.append(n / crop.area)
    return (
        torch.from_numpy(np.stack(maps)).float() / 16,
        torch.from_numpy(np.stack(inputs)).float(),
        torch.from_numpy(np.stack(targets)),
        torch.from_numpy(np.stack(scales)),
        torch.tensor(shares, dtype=torch.float32),
    )


def crop_loss(bits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """bits / (bits + 2) of the mean bits per pixel of each crop, averaged."""
    rate = bits.mean(1) * share
    return (rate / (rate + HALF_BITS)).mean()


@torch.no_grad()
def validate(network: TileCodec, crops: list[Crop], size: int) -> dict[str, float]:
    """Mean bits per pixel over crops, by group, with the code and with the zero code."""
    random = np.random.default_rng(0)
    sums: dict[str, list[float]] = {}
    for first in range(0, len(crops), 16):
        part = crops[first : first + 16]
        maps, inputs, targets, scales, share = batch_of(part, 4096, random, size)
        for name, use in (("code", 1.0), ("zero", 0.0)):
            outputs, _ = network(maps, inputs, torch.full((len(part), 1), use))
            rate = code_length(outputs, targets, scales).mean(1) * share
            for crop, value in zip(part, rate.tolist(), strict=True):
                sums.setdefault(f"{crop.group} {name}", []).append(value)
    return {key: float(np.mean(values)) for key, values in sorted(sums.items())}


def train(arguments: argparse.Namespace) -> None:
    """Train for ``minutes`` and leave checkpoint.pt and curves.jsonl in the run's folder."""
    torch.set_num_threads(1)
    run = Path(arguments.run)
    run.mkdir(parents=True, exist_ok=True)
    held = [s for s in (arguments.validation + "," + arguments.test).split(",") if s]
    folder = Path(arguments.data)
    sampler = Sampler(load(folder, exclude=held), arguments.seed)
    check = Sampler(load(folder, sources=arguments.validation.split(",")), 1)
    checks = [check.draw() for _ in range(arguments.checks)]
    LOG.info(
        "training series %s, validation crops %d",
        {g: len(s) for g, s in sampler.by_group.items()},
        len(checks),
    )
    network = TileCodec(arguments.width)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=1e-4
    )
    step, spent = 0, 0.0
    state_path = run / "checkpoint.pt"
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
        sampler.random = np.random.default_rng(arguments.seed + step)
        LOG.info("going on at step %d after %.1f minutes", step, spent / 60)
    random = np.random.default_rng(arguments.seed + 7 + step)
    budget = arguments.minutes * 60.0
    pool: list[Crop] = [sampler.draw() for _ in range(arguments.start_pool)]
    stop = False

    def ask_to_stop(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)

    def save() -> None:
        partial = state_path.with_suffix(".partial")
        torch.save(
            {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "spent": spent,
                "width": arguments.width,
                "validation": arguments.validation,
                "test": arguments.test,
            },
            partial,
        )
        os.replace(partial, state_path)

    seen: list[float] = []
    clock = time.monotonic()
    saved = clock
    while spent < budget and not stop:
        fresh = sampler.draw()
        if len(pool) < arguments.pool:
            pool.append(fresh)
        else:
            pool[int(random.integers(len(pool)))] = fresh
        for _ in range(arguments.reuse):
            progress = min(spent / budget, 1.0)
            rate = (
                arguments.rate
                * min(1.0, (step + 1) / 200)
                * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
            for group in optimiser.param_groups:
                group["lr"] = rate
            picked = [pool[int(i)] for i in random.integers(0, len(pool), arguments.batch)]
            maps, inputs, targets, scales, share = batch_of(picked, arguments.pixels, random, sampler.size)
            use = (torch.rand(len(picked), 1) < 0.75).float()
            outputs, _ = network(maps, inputs, use)
            loss = crop_loss(code_length(outputs, targets, scales), share)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
            seen.append(float(loss.detach()))
            now = time.monotonic()
            spent += min(now - clock, 5.0)  # a paused process does not use up its budget
            clock = now
            if step % arguments.every == 0:
                record = {
                    "step": step,
                    "minutes": round(spent / 60, 2),
                    "loss": round(float(np.mean(seen)), 5),
                    "rate": rate,
                    "pool": len(pool),
                    **validate(network, checks, sampler.size),
                }
                seen.clear()
                with (run / "curves.jsonl").open("a") as out:
                    out.write(json.dumps(record) + "\n")
                eta = (budget - spent) / 60
                LOG.info(
                    "step %d loss %.4f %s, %.0f minutes left",
                    step,
                    record["loss"],
                    {k: round(v, 4) for k, v in record.items() if k[:2] in ("CT", "MR", "XR")},
                    eta,
                )
            if now - saved > 60:
                save()
                saved = now
    save()
    LOG.info("stopped at step %d after %.1f minutes", step, spent / 60)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--validation", default="")
    parser.add_argument("--test", default="")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--pixels", type=int, default=6144)
    parser.add_argument("--pool", type=int, default=3000)
    parser.add_argument("--start-pool", type=int, default=200)
    parser.add_argument("--reuse", type=int, default=3)
    parser.add_argument("--checks", type=int, default=160)
    parser.add_argument("--every", type=int, default=500)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
