"""The trainable twins of the integer networks: torch modules that round as the exported ones do.

Every weight is used on its integer grid and every activation is floored to its step, with the
gradient passed straight through (Bengio et al. 2013), so what is trained is what is exported.
Grids: inputs 1/16, hidden activations 1/32 in 0..255, weights 1/512, outputs 1/256; see
`dicomnn.codec.causal` for the evaluation and `dicomnn.training.export` for the integers.
"""

from __future__ import annotations

import torch
from torch import nn

from dicomnn.codec.causal import INPUTS, NARROW_WIDTH, WIDTH_1, WIDTH_2
from dicomnn.codec.features import MAP_CHANNELS

WEIGHT_STEP = 1.0 / 512
WEIGHT_LIMIT = 4.0 - WEIGHT_STEP
INPUT_STEP = 1.0 / 16
ACTIVATION_STEP = 1.0 / 32
ACTIVATION_LIMIT = 255 * ACTIVATION_STEP
CODE_LENGTH = 16
CODE_LIMIT = 3


def on_grid(x: torch.Tensor, step: float) -> torch.Tensor:
    """Rounded to multiples of step, gradient unchanged."""
    return x + (torch.round(x / step) * step - x).detach()


def floored(x: torch.Tensor, step: float) -> torch.Tensor:
    """Floored to multiples of step, gradient unchanged."""
    return x + (torch.floor(x / step) * step - x).detach()


def weight(x: torch.Tensor) -> torch.Tensor:
    return on_grid(torch.clamp(x, -WEIGHT_LIMIT, WEIGHT_LIMIT), WEIGHT_STEP)


def hidden(x: torch.Tensor) -> torch.Tensor:
    return torch.clamp(floored(x, ACTIVATION_STEP), 0.0, ACTIVATION_LIMIT)


class TileEncoder(nn.Module):
    """(B, 4, h, w) input maps -> (B, 16) symbols in -3..3: strided convolutions, pooled moments, dense."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(len(MAP_CHANNELS), 16, 5, stride=2),
                nn.Conv2d(16, 24, 3, stride=2),
                nn.Conv2d(24, 32, 3, stride=2),
            ]
        )
        self.dense = nn.Linear(64, CODE_LENGTH)
        with torch.no_grad():
            self.dense.weight.mul_(0.5)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        x = maps
        for layer in self.convolutions:
            x = hidden(nn.functional.conv2d(x, weight(layer.weight), layer.bias, stride=2))
        mean = floored(x.mean((2, 3)), ACTIVATION_STEP)
        square = floored((x * x).mean((2, 3)) / 8.0, ACTIVATION_STEP)
        pooled = torch.cat([mean, torch.clamp(square, 0, ACTIVATION_LIMIT)], 1)
        z = nn.functional.linear(pooled, weight(self.dense.weight), self.dense.bias)
        return torch.clamp(on_grid(z, 1.0), -CODE_LIMIT, CODE_LIMIT)


class CodeDecoder(nn.Module):
    """(B, 16) symbols -> scale and shift (B, H1), (B, H1), (B, H2), (B, H2) of both hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(CODE_LENGTH, 32)
        self.second = nn.Linear(32, 2 * (WIDTH_1 + WIDTH_2))
        with torch.no_grad():
            self.second.weight.mul_(0.1)
            self.second.bias.zero_()

    def forward(self, code: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h = hidden(nn.functional.linear(code, weight(self.first.weight), self.first.bias))
        m = nn.functional.linear(h, weight(self.second.weight), self.second.bias)
        scale1, shift1, scale2, shift2 = torch.split(m, [WIDTH_1, WIDTH_1, WIDTH_2, WIDTH_2], 1)
        return (
            torch.clamp(floored(scale1, 1.0 / 64), -0.75, 0.75),
            floored(shift1, ACTIVATION_STEP),
            torch.clamp(floored(scale2, 1.0 / 64), -0.75, 0.75),
            floored(shift2, ACTIVATION_STEP),
        )


class CausalNetwork(nn.Module):
    """(B, N, 64) integer inputs and a modulation -> (B, N, 3) outputs in 1/256 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, WIDTH_1)
        self.second = nn.Linear(WIDTH_1, WIDTH_2)
        self.third = nn.Linear(WIDTH_2, 3)
        with torch.no_grad():
            self.first.weight.mul_(0.5)
            self.third.weight.mul_(0.1)
            self.third.bias.copy_(torch.tensor([0.0, 0.0, 3.0]))

    def forward(
        self,
        inputs: torch.Tensor,
        modulation: tuple[torch.Tensor, ...],
        narrow: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """``narrow`` (B, 1): 1 where only the first NARROW_WIDTH units of the first layer work."""
        scale1, shift1, scale2, shift2 = (m.unsqueeze(1) for m in modulation)
        x = nn.functional.linear(inputs * INPUT_STEP, weight(self.first.weight), self.first.bias)
        x = hidden(floored(x + shift1, ACTIVATION_STEP) * (1 + scale1))
        if narrow is not None:
            beyond = (torch.arange(WIDTH_1, device=x.device) >= NARROW_WIDTH).float()
            x = x * (1.0 - beyond * narrow.unsqueeze(2))
        x = nn.functional.linear(x, weight(self.second.weight), self.second.bias)
        x = hidden(floored(x + shift2, ACTIVATION_STEP) * (1 + scale2))
        return floored(nn.functional.linear(x, weight(self.third.weight), self.third.bias), 1.0 / 256)


class TileCodec(nn.Module):
    """Autoencoder of the tile code and the causal network that it modulates."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = TileEncoder()
        self.decoder = CodeDecoder()
        self.causal = CausalNetwork()

    def forward(
        self,
        maps: torch.Tensor,
        inputs: torch.Tensor,
        use_code: torch.Tensor,
        narrow: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (B, N, 3) and codes (B, 16); ``use_code`` (B, 1) in {0, 1}: 0 sends the zero code.

        ``narrow`` (B, 1) in {0, 1}: 1 for crops walked at effort fast.
        """
        code = self.encoder(maps) * use_code
        return self.causal(inputs, self.decoder(code), narrow), code


def code_length(outputs: torch.Tensor, targets: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Bits (B, N) of each pixel under its mixture of two logistics.

    targets, scales: (B, N), pixel minus blended prediction and local scale, in stored values.
    """
    correction = torch.clamp(outputs[..., 0], -3, 3)
    s = scales * torch.exp2(torch.clamp(outputs[..., 1], -3, 3))
    s = torch.clamp(s, min=2.0**-5)
    tau = torch.sigmoid(0.9 * (torch.clamp(outputs[..., 2], 0, 7) - 5.0))
    e = targets - correction * scales
    p = torch.zeros_like(e)
    for share, width in ((1 - tau, s), (tau, 3.5 * s)):
        a = torch.abs(e) / width
        half = 0.5 / width
        # sigma(x + h) - sigma(x - h), written on the far side so that it does not cancel.
        upper = torch.sigmoid(half - a)
        lower = torch.sigmoid(-half - a)
        p = p + share * (upper - lower)
    return -torch.log2(p + 2.0**-22)
