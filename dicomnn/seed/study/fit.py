"""One autoencoder trained: MSE, Adam, a learning rate that rises and falls (one cycle).

Steps are counted, not seconds, and batch n of a seed is always the same images, so both filter sizes see the
same images in the same order, and the same command gives the same models again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomnn.seed.codec.model import SeedModel, fitted
from dicomnn.seed.codec.network import SIDES, Autoencoder, Design
from dicomnn.seed.study.images import Prepared
from dicomnn.training import checkpoint
from dicomnn.training.stopping import Stop

BATCH = 4
CROP = 64
RATES = {"pool": 0.01, "dense": 0.003}
"""The highest learning rate; it rises to it over the first third of the steps and falls to nothing after."""
VALIDATIONS = 4
STEPS_A_MINUTE = {("pool", 128): 300, ("pool", 256): 300, ("dense", 128): 75, ("dense", 256): 32}
"""Steps for each minute of the whole command's budget with three seeds: the kinds then take about the same
time, and the command its budget, on one core that has nothing else to do.
"""
MOST_COUNTED = 32
"""Training images over which ranges and tables are counted."""
FEWEST_STEPS = 4


@dataclass(frozen=True)
class Trained:
    """``curve``: records of step, processor seconds, training MSE, validation MSE, learning rate."""

    model: SeedModel
    curve: list[dict[str, float]]
    steps: int


def steps_for(design: Design, minutes: float, seeds: int) -> int:
    """Of each model; the same for both filter sizes."""
    side = 128 if design.side <= 128 else 256
    return max(FEWEST_STEPS, round(STEPS_A_MINUTE[design.variant, side] * minutes * 3 / seeds))


def fit(
    design: Design,
    seed: int,
    steps: int,
    train: Prepared,
    validation: Prepared,
    saved: Path,
    stop: Stop,
    advance: Callable[[int], None],
) -> Trained:
    """Train, from the checkpoint ``saved`` if there is one; the weights of the best validation are kept.

    ``advance(step)`` is called after each step. Raises Interrupted, all but a quarter of the steps saved.
    """
    torch.manual_seed(seed)
    network = Autoencoder(design).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), RATES[design.variant])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATES[design.variant], total_steps=steps)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": None, "best_mse": float("inf"), "curve": []}
    before = checkpoint.load(saved)
    if before is not None:
        network.load_state_dict(before["network"])
        optimiser.load_state_dict(before["optimiser"])
        schedule.load_state_dict(before["schedule"])
        state.update({key: before[key] for key in state})
    every = max(1, steps // VALIDATIONS)
    begun, losses = time.process_time(), []
    while state["step"] < steps:
        stop.check()
        losses.append(_step(network, optimiser, batch_of(design, train, seed, state["step"])))
        schedule.step()
        state["step"] += 1
        advance(state["step"])
        if state["step"] % every == 0 or state["step"] == steps:
            state["seconds"] += time.process_time() - begun
            found = mse_of(network, validation.pixels[design.side])
            state["curve"].append(
                {
                    "step": state["step"],
                    "seconds": round(state["seconds"], 2),
                    "loss": float(np.mean(losses)),
                    "validation": found,
                    "rate": optimiser.param_groups[0]["lr"],
                }
            )
            if found < state["best_mse"]:
                best = {name: value.clone() for name, value in network.state_dict().items()}
                state.update(best=best, best_mse=found)
            checkpoint.save(
                saved,
                {
                    **state,
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                },
            )
            begun, losses = time.process_time(), []
    network.load_state_dict(state["best"])
    plain = network.to(memory_format=torch.contiguous_format)
    return Trained(fitted(plain, train.pixels[design.side][:MOST_COUNTED]), state["curve"], steps)


def batch_of(design: Design, train: Prepared, seed: int, step: int) -> torch.Tensor:
    """(BATCH, 1, s, s) float32 in [0, 1]: whole images; for `pool` crops of 64, of both sides in turn: a
    convolution knows neither where it is nor how large the image is.
    """
    random = np.random.default_rng([seed, step])
    pool = design.variant == "pool"
    side = SIDES[step % len(SIDES)] if pool else design.side
    size, pixels = CROP if pool else side, train.pixels[side]
    parts = []
    for number in random.integers(len(pixels), size=BATCH):
        top, left = random.integers(side - size + 1, size=2)
        parts.append(pixels[number, top : top + size, left : left + size])
    batch = torch.from_numpy(np.stack(parts)).float()[:, None] / 255
    return batch.contiguous(memory_format=torch.channels_last)


def _step(network: Autoencoder, optimiser: torch.optim.Optimizer, images: torch.Tensor) -> float:
    loss = torch.nn.functional.mse_loss(network(images), images)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def mse_of(network: Autoencoder, pixels: np.ndarray) -> float:
    """Mean over images (N, S, S) uint8 of the MSE in [0, 1], without coding the latents."""
    total = 0.0
    for at in range(0, len(pixels), 8):
        units = torch.from_numpy(pixels[at : at + 8]).float()[:, None] / 255
        units = units.contiguous(memory_format=torch.channels_last)
        total += float(((network(units).clamp(0, 1) - units) ** 2).mean()) * len(units)
    return total / len(pixels)
