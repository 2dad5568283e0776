"""The numbers of training: batches, loss, schedule, one step, validation. What is around is in `trainer`.

Recipe (codec trial, section 7): AdamW, warm-up, cosine over the time given, beta2 0.98, gradient norm 1,
loss bits / (bits + 2) per crop so that quiet and noisy series weigh alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from dicomnn.codec.autoencoder import SMALLEST_MAP

from .data import CROP, KEPT, Crop
from .network import TileCodec, code_length

HALF_BITS = 2.0
WARM_UP = 200


@dataclass(frozen=True)
class Recipe:
    """Settings of a run that do not change while it lasts.

    rate: the highest learning rate. crop: its side; kept: pixels of it that stay in memory. batch: crops a
    step; pixels: drawn of each crop. pool: crops kept and drawn from; start_pool: how many are there before
    the first step; fresh: new ones a step. checks: validation crops; every: steps between validations.
    codes: training tiles whose codes make the code's table.
    """

    seed: int = 1
    rate: float = 2.5e-3
    crop: int = CROP
    kept: int = KEPT
    batch: int = 12
    pixels: int = 4096
    pool: int = 3000
    start_pool: int = 200
    fresh: int = 2
    checks: int = 160
    every: int = 500
    codes: int = 300

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


def make_network(recipe: Recipe) -> TileCodec:
    """A fresh network, the same for a seed."""
    torch.manual_seed(recipe.seed)
    return TileCodec()


def make_optimiser(network: TileCodec, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=1e-4)


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """At ``step`` when ``progress`` (0..1) of the time is over: warm-up, then a cosine down to 2 %."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return recipe.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def batch_of(
    crops: Sequence[Crop],
    pixels: int,
    random: np.random.Generator,
    size: int,
    device: torch.device | str = "cpu",
) -> tuple[torch.Tensor, ...]:
    """Tensors of a batch: maps (B, 4, size, size), inputs (B, N, 64), targets, scales (B, N), share (B,).

    Small crops are repeated to the batch's size: maps by wrapping, pixels by drawing with replacement.
    """
    maps, inputs, targets, scales, shares = [], [], [], [], []
    for crop in crops:
        _, h, w = crop.maps.shape
        maps.append(np.pad(crop.maps, ((0, 0), (0, size - h), (0, size - w)), mode="wrap"))
        pick = random.integers(0, len(crop.inputs), pixels)
        inputs.append(crop.inputs[pick])
        targets.append(crop.targets[pick])
        scales.append(crop.scales[pick])
        shares.append(crop.share)
    return (
        torch.from_numpy(np.stack(maps)).to(device).float() / 16,
        torch.from_numpy(np.stack(inputs)).to(device).float(),
        torch.from_numpy(np.stack(targets)).to(device),
        torch.from_numpy(np.stack(scales)).to(device),
        torch.tensor(shares, dtype=torch.float32, device=device),
    )


def narrow_of(crops: Sequence[Crop], device: torch.device | str = "cpu") -> torch.Tensor:
    """(B, 1): 1 for crops that the coder would code with the narrow network and without a tile code."""
    return torch.tensor([[float(crop.narrow)] for crop in crops], device=device)


def crop_loss(bits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """bits / (bits + 2) of the mean bits per pixel of each crop, averaged."""
    rate = bits.mean(1) * share
    return (rate / (rate + HALF_BITS)).mean()


@torch.no_grad()
def validate(
    network: TileCodec, crops: Sequence[Crop], size: int, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Mean bits per pixel over crops, by group, with the code and with the zero code.

    Crops with a plane before them are groups of their own ('CT ref code').
    """
    random = np.random.default_rng(0)
    sums: dict[str, list[float]] = {}
    for first in range(0, len(crops), 16):
        part = crops[first : first + 16]
        maps, inputs, targets, scales, share = batch_of(part, 4096, random, size, device)
        for name, use in (("code", 1.0), ("zero", 0.0)):
            narrow = narrow_of(part, device)
            outputs, _ = network(maps, inputs, use * (1.0 - narrow), narrow)
            rate = code_length(outputs, targets, scales).mean(1) * share
            for crop, value in zip(part, rate.tolist(), strict=True):
                sums.setdefault(f"{crop.group} {name}", []).append(value)
    return {key: float(np.mean(values)) for key, values in sorted(sums.items())}


@torch.no_grad()
def promised_bits(network: TileCodec, crop: Crop) -> float:
    """Ideal code length of all pixels of a crop but those of the flat rule, without an online stage."""
    if not len(crop.inputs):
        return 0.0
    looked_at = min(crop.maps.shape[1:]) >= SMALLEST_MAP
    maps = crop.maps if looked_at else np.zeros((len(crop.maps), SMALLEST_MAP, SMALLEST_MAP), np.int8)
    outputs, _ = network(
        torch.from_numpy(maps[None]).float() / 16,
        torch.from_numpy(crop.inputs[None]).float(),
        torch.full((1, 1), float(looked_at)),
    )
    bits = code_length(outputs, torch.from_numpy(crop.targets[None]), torch.from_numpy(crop.scales[None]))
    return float(bits.sum())


def train_step(
    network: TileCodec,
    optimiser: torch.optim.Optimizer,
    crops: Sequence[Crop],
    recipe: Recipe,
    rate: float,
    random: np.random.Generator,
    size: int,
    device: torch.device | str = "cpu",
) -> float:
    """One step of the optimiser over a batch; its loss. A quarter of the crops is coded without tile code."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    maps, inputs, targets, scales, share = batch_of(crops, recipe.pixels, random, size, device)
    narrow = narrow_of(crops, device)
    use = (torch.rand(len(crops), 1) < 0.75).float().to(device) * (1.0 - narrow)
    outputs, _ = network(maps, inputs, use, narrow)
    loss = crop_loss(code_length(outputs, targets, scales), share)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def score(figures: dict[str, float]) -> float:
    """What is made small: bits per pixel with the tile code, mean over the groups of `validate` that there
    are.
    """
    return float(np.mean([value for key, value in figures.items() if key.endswith(" code")]))
