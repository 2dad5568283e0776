"""A plain convolutional autoencoder, as the paper describes it; it names no layers, so these are ours.

Every convolution keeps the size, is followed by ReLU (but the last ones of both halves) and has filters of
kernel x kernel. With 2x2 filters the encoder pads at the right and at the bottom, the decoder at the left and
at the top, so that the half pixel by which an even filter shifts is shifted back.

``pool``    encoder conv 1-16, pool, conv 16-32, pool, conv 32-6: a latent of 6 channels at a quarter of the
            side. The decoder goes the same way back, nearest neighbour for pooling. Takes any side that 4
            divides.
``dense``   encoder conv and pool down to 16x16 with 8 channels, then fully connected to 512 values, and back
            the same way. Takes images of the one side it was made for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dicomnn.errors import SamplesInvalid, UsageError

VARIANTS = ("pool", "dense")
KERNELS = (2, 3)
SIDES = (128, 256)
WIDTHS = (8, 16)
POOL_CHANNELS = 6
DENSE_CHANNELS, DENSE_SIDE, DENSE_VALUES = 8, 16, 512


@dataclass(frozen=True, order=True)
class Design:
    """Which of the autoencoders: variant, side of the images that it was trained on, side of its filters."""

    variant: str
    side: int
    kernel: int

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS or self.kernel not in KERNELS:
            raise UsageError(f"There is no seed autoencoder '{self.name}'.")
        halvings = self.side // DENSE_SIDE
        if self.side % DENSE_SIDE or halvings & (halvings - 1) or halvings < 4:
            raise UsageError(f"The side {self.side} is not 16 times 4, 8, 16 ...")

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.side}-{self.kernel}x{self.kernel}"


class Autoencoder(nn.Module):
    """``encode``: images (B, 1, S, S) in [0, 1] -> latents, (B, 6, S/4, S/4) or (B, 512). ``decode``: back,
    not clipped. Both float32.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        k, (narrow, wide) = design.kernel, WIDTHS
        halvings = 2 if design.variant == "pool" else (design.side // DENSE_SIDE).bit_length() - 1
        channels = POOL_CHANNELS if design.variant == "pool" else DENSE_CHANNELS
        widths = [narrow] + [wide] * (halvings - 1)
        down: list[nn.Module] = []
        for before, after in zip([1, *widths], widths, strict=False):
            down += [_conv(before, after, k, encoder=True), nn.ReLU(), nn.MaxPool2d(2)]
        down.append(_conv(widths[-1], channels, k, encoder=True))
        back = widths[::-1]
        up: list[nn.Module] = []
        for before, after in zip([channels, *back], back, strict=False):
            up += [_conv(before, after, k, encoder=False), nn.ReLU()]
            up.append(nn.Upsample(scale_factor=2))
        up.append(_conv(back[-1], 1, k, encoder=False))
        if design.variant == "dense":
            flat = channels * DENSE_SIDE**2
            down += [nn.Flatten(), nn.Linear(flat, DENSE_VALUES)]
            up = [nn.Linear(DENSE_VALUES, flat), nn.Unflatten(1, (channels, DENSE_SIDE, DENSE_SIDE)), *up]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = self.encoder(images)
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.decoder(latents)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    def weights(self) -> int:
        """How many."""
        return sum(weight.numel() for weight in self.parameters())

    def latent_shape(self, rows: int, columns: int) -> tuple[int, ...]:
        """Of an image of that size. Raises SamplesInvalid where the autoencoder does not take it."""
        if self.design.variant == "dense":
            if (rows, columns) != (self.design.side, self.design.side):
                raise SamplesInvalid(
                    f"{self.design.name} takes images of {self.design.side}x{self.design.side} alone."
                )
            return (DENSE_VALUES,)
        if rows % 4 or columns % 4 or not 8 <= min(rows, columns) or max(rows, columns) > 1020:
            raise SamplesInvalid("The sides must be multiples of 4, from 8 to 1020.")
        return POOL_CHANNELS, rows // 4, columns // 4


def _conv(before: int, after: int, kernel: int, *, encoder: bool) -> nn.Module:
    if kernel % 2:
        return nn.Conv2d(before, after, kernel, padding=kernel // 2)
    sides = (0, 1, 0, 1) if encoder else (1, 0, 1, 0)
    return nn.Sequential(nn.ZeroPad2d(sides), nn.Conv2d(before, after, kernel))
