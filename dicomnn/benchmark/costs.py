"""About what a pixel costs in each codec: how the time that is left is guessed before a stage was seen."""

from __future__ import annotations

from dicomnn.benchmark.ours import PREFIX, Variant
from dicomnn.benchmark.peers import THREADED

COSTS = {"jxl-e7": 0.3, "jxl-e9": 1.0, "jpeg2000": 0.12, "fast": 1.2, "default": 2.5, "max": 5.0}
"""Seconds for a million bytes, roughly."""


def cost(codec: str) -> float:
    """About what a pixel costs in `codec`, in a unit of its own."""
    if codec.startswith(PREFIX):
        return COSTS[Variant.parse(codec).effort]
    return COSTS["jxl-e7"] if codec.startswith(THREADED) else COSTS.get(codec, 0.04)
