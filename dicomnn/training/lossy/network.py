"""The lossy codec's small networks as torch sees them, and their way to integers.

Six passes (three orientations, even and odd places), each inputs -> 8 rectified sums -> one scale; one table
of 96 states, each a distribution over the classes of magnitudes, between two of which a scale lies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from dicomnn.codec.lossy.inputs import INPUTS, inputs_of
from dicomnn.codec.lossy.magnitudes import KINDS, lowest_of
from dicomnn.codec.lossy.scales import FINENESS, HIDDEN, HIDDEN_SHIFT, HIDDEN_TOP, SCALE_SHIFT, SCALES
from dicomnn.codec.lossy.wavelet import MOST_LEVELS

from .marks import RAW_BITS
from .samples import PASSES, Batch

LEARNED = 26
"""Classes that are learned, the last one for all beyond: each is a third as likely as the one before."""
STATES_A_DOUBLING = 6
FIRST_WIDTH = 21
LEAST = 1.5e-5
UNIT = 256
"""Of a weight; an input is a 32nd of its mark."""
SPREAD = 12
"""States for a sum of 1."""
MARK_SHIFT = 5
_LAST = np.int64(SPREAD * FINENESS)


class ScaleNetwork(torch.nn.Module):
    """``inputs`` (6, inputs, 8), ``levels`` (6, 6, 8), ``heads`` (6, 8), ``bias`` (6,); ``table`` (96, 25):
    logits of the chance that a magnitude is beyond a class when it is not below.
    """

    used: torch.Tensor
    raw_bits: torch.Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        used = torch.zeros(PASSES, len(INPUTS), 1)
        for k in range(PASSES):
            used[k, inputs_of(k // 2, k % 2)] = 1
        self.register_buffer("used", used, persistent=False)
        self.register_buffer(
            "raw_bits", torch.tensor(RAW_BITS[:LEARNED], dtype=torch.float32), persistent=False
        )

        def spread(*shape: int, mean: float, deviation: float) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(*shape, generator=random) * deviation + mean)

        self.inputs = spread(PASSES, len(INPUTS), HIDDEN, mean=0.1, deviation=0.25)
        self.levels = spread(PASSES, MOST_LEVELS + 1, HIDDEN, mean=0.2, deviation=0.2)
        self.heads = spread(PASSES, HIDDEN, mean=0.5, deviation=0.2)
        self.bias = torch.nn.Parameter(torch.full((PASSES,), 0.5))
        self.table = torch.nn.Parameter(torch.tensor(_first_table(), dtype=torch.float32))

    def chances(self) -> torch.Tensor:
        """(96, classes) chances of the classes; they sum up to a little above 1."""
        beyond = torch.sigmoid(self.table)
        ones = torch.ones(SCALES, 1)
        reached = torch.cat([ones, torch.cumprod(beyond, 1)], 1)
        return reached * torch.cat([1 - beyond, ones], 1) + LEAST

    def states(self, inputs: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """(6, n) scales in units of a state, from inputs (6, n, inputs) and levels (6, n)."""
        first = torch.bmm(inputs * (1 / (1 << MARK_SHIFT)), self.inputs * self.used)
        beside = torch.gather(self.levels, 1, levels[:, :, None].expand(-1, -1, HIDDEN))
        hidden = torch.clamp(first + beside, 0, (HIDDEN_TOP + 1) / UNIT)
        sums = torch.bmm(hidden, self.heads[:, :, None])[:, :, 0] + self.bias[:, None]
        return torch.clamp(sums * SPREAD, 0, SCALES - 1.001)

    def bits(self, batch: Batch) -> torch.Tensor:
        """(6, n) bits of the classes, raw bits among them. (Signs and still parts cost on top.)"""
        classes = torch.from_numpy(np.minimum(batch.classes, LEARNED - 1))
        states = self.states(torch.from_numpy(batch.inputs), torch.from_numpy(batch.levels))
        below = states.detach().floor().long()
        share = states - below
        table = self.chances()
        chance = (1 - share) * table[below, classes] + share * table[below + 1, classes]
        return self.raw_bits[classes] - torch.log2(chance)

    # ------------------------------------------------------------------ integers
    @torch.no_grad()
    def integers(self) -> dict[str, np.ndarray]:
        """``inputs``, ``levels``, ``heads``, ``heads_bias`` of `codec.lossy.model.SCHEMA`."""

        def whole(values: torch.Tensor, unit: float) -> np.ndarray:
            return np.asarray(np.round(values.detach().numpy().astype(np.float64) * unit)).astype(np.int64)

        first = UNIT << HIDDEN_SHIFT
        last = float(_LAST) * (1 << SCALE_SHIFT) / UNIT
        half_a_state = FINENESS // 2 << SCALE_SHIFT
        return {
            "inputs": _by_pass(np.clip(whole(self.inputs * self.used, first >> MARK_SHIFT), -32000, 32000)),
            "levels": _by_pass(whole(self.levels, first)),
            "heads": _by_pass(np.clip(whole(self.heads, last), -32000, 32000)),
            "heads_bias": _by_pass(whole(self.bias, last * UNIT) + half_a_state),
        }

    @staticmethod
    @torch.no_grad()
    def from_integers(arrays: Mapping[str, np.ndarray]) -> ScaleNetwork:
        """A network to go on from, from the arrays of a model."""
        network = ScaleNetwork()
        first, last = UNIT << HIDDEN_SHIFT, float(_LAST) * (1 << SCALE_SHIFT) / UNIT
        half_a_state = FINENESS // 2 << SCALE_SHIFT

        def put(parameter: torch.Tensor, values: np.ndarray, unit: float) -> None:
            parameter.copy_(torch.from_numpy(values.astype(np.float64) / unit).reshape(parameter.shape))

        put(network.inputs, arrays["inputs"], first >> MARK_SHIFT)
        put(network.levels, arrays["levels"], first)
        put(network.heads, arrays["heads"], last)
        put(network.bias, arrays["heads_bias"].astype(np.int64) - half_a_state, last * UNIT)
        chances = arrays["frequencies"].astype(np.float64)
        chances[:, LEARNED - 1] = chances[:, LEARNED - 1 :].sum(1)
        reached = np.cumsum(chances[:, LEARNED - 1 :: -1], axis=1)[:, ::-1]
        beyond = np.clip(reached[:, 1:] / reached[:, :-1], 1e-5, 1 - 1e-5)
        put(network.table, np.log(beyond / (1 - beyond)), 1)
        return network


def _by_pass(values: np.ndarray) -> np.ndarray:
    return values.reshape(3, 2, *values.shape[1:])


def _first_table() -> np.ndarray:
    """Logits of exponential distributions, each an octave's sixth wider than the one before."""
    width = 2.0 ** ((np.arange(SCALES)[:, None] - FIRST_WIDTH) / STATES_A_DOUBLING)
    lowest = np.array([lowest_of(k)[0] for k in range(1, LEARNED)])[None]
    reached = np.exp(-(lowest - 0.36) / width)
    before = np.concatenate([np.ones((SCALES, 1)), reached[:, :-1]], axis=1)
    beyond = np.clip(reached / np.maximum(before, 1e-300), 1e-5, 1 - 1e-5)
    return np.asarray(np.log(beyond / (1 - beyond)))


def scales_of(arrays: Mapping[str, np.ndarray], which: int, level: int, inputs: np.ndarray) -> np.ndarray:
    """(n,) int16: scales in 1/32 of a state as the codec's kernel gives them, from the integers of a pass
    (2 * orientation + odd) and inputs (n, inputs).
    """
    o, odd = which // 2, which % 2
    # Products of float64 are exact here: no sum leaves 32 bits.
    sums = inputs.astype(np.float64) @ arrays["inputs"][o, odd].astype(np.float64)
    sums += arrays["levels"][o, odd, level].astype(np.float64)
    hidden = np.clip(sums.astype(np.int64) >> HIDDEN_SHIFT, 0, HIDDEN_TOP)
    last = hidden.astype(np.float64) @ arrays["heads"][o, odd].astype(np.float64)
    found = (last.astype(np.int64) + int(arrays["heads_bias"][o, odd])) >> SCALE_SHIFT
    return np.clip(found, 0, SCALES * FINENESS - 1).astype(np.int16)


def learned_chances(network: ScaleNetwork) -> np.ndarray:
    """(96, 40) float64: distributions of the states as they were trained."""
    with torch.no_grad():
        some = network.chances().numpy().astype(np.float64)
    found = np.zeros((SCALES, KINDS))
    found[:, :LEARNED] = some
    found[:, LEARNED - 1] *= 2 / 3
    for k in range(LEARNED, KINDS):
        found[:, k] = found[:, k - 1] / 3
    return np.asarray(found / found.sum(1, keepdims=True))
