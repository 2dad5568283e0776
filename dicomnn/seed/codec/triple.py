"""Original, latent drawn, decompressed: the picture triple of the paper, made from really coded bytes.

    from dicomnn.seed.codec.triple import beside, shown_model, square, triple
    made = triple(square(values, 256), shown_model(3))      # or any (rows, columns) of floats in [0, 1]
    beside(made, model)                                     # our own codec at no more bytes

A page that shows it says what it is: the seed's codec, to compare with. It stores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dicomnn.codec.model import Model
from dicomnn.errors import UnknownModel
from dicomnn.seed.codec.ladder import BOUNDS, ours, profile_of
from dicomnn.seed.codec.metrics import Metrics, eight_bit, measure
from dicomnn.seed.codec.model import SeedModel, checked_image
from dicomnn.seed.codec.square import resized, windowed

SHOWN = Path(__file__).resolve().parent
LABEL = "the seed's codec (plain autoencoder, benchmark only)"


@dataclass(frozen=True)
class Triple:
    """``original`` (rows, columns), ``latent`` (drawn: channels side by side), ``decompressed`` (rows,
    columns), all uint8; ``coded``: the whole file, from which alone ``decompressed`` was made.
    """

    original: np.ndarray
    latent: np.ndarray
    decompressed: np.ndarray
    coded: bytes
    metrics: Metrics


@dataclass(frozen=True)
class Ours:
    """Our own codec on a triple's original. ``profile``: 'bounded:4', 'lossless'; ``decoded`` (rows, columns)
    uint8, from the bytes alone.
    """

    profile: str
    decoded: np.ndarray
    metrics: Metrics


def square(values: np.ndarray, side: int) -> np.ndarray:
    """(side, side) float32 in [0, 1], steps of 1/255: any plane of numbers as `make seed` takes it."""
    return resized(windowed(values), side).astype(np.float32) / 255


def triple(image: np.ndarray, model: SeedModel) -> Triple:
    """Compress an image (rows, columns) of floats in [0, 1] and decompress it from the bytes.

    The original is the image in 8 bits. Raises SamplesInvalid for other arrays, and for sides that the model
    does not take: multiples of 4 from 8 to 1020.
    """
    original = eight_bit(checked_image(image))
    coded = model.encode(original.astype(np.float32) / 255)
    latent = model.decode_latent(coded)
    decompressed = eight_bit(model.image(latent))
    return Triple(original, drawn(latent), decompressed, coded, measure(original, decompressed, len(coded)))


def beside(made: Triple, model: Model | None) -> list[Ours]:
    """Our codec without loss, and before it with the smallest bound that needs no more bytes than the seed's
    file, where that is another. ``model``: of our codec.
    """
    ladder = ours(made.original, model)
    lossless = len(BOUNDS) - 1
    rung = ladder.highest(len(made.coded))
    found = []
    for number in [lossless] if rung in (None, lossless) else [rung, lossless]:
        assert number is not None
        coded, decoded = ladder.get(number)
        figures = measure(made.original, decoded, len(coded))
        found.append(Ours(str(profile_of(BOUNDS[number])), decoded, figures))
    return found


def drawn(latent: np.ndarray) -> np.ndarray:
    """A latent as one grey picture, uint8: channels in rows of three, or 512 values as 16 x 32."""
    if latent.ndim == 1:
        return latent.reshape(16, -1)
    rows = [np.concatenate(list(latent[at : at + 3]), 1) for at in range(0, len(latent), 3)]
    return np.concatenate(rows, 0)


@cache
def shown_model(kernel: int) -> SeedModel:
    """The small model for pages: pooling, filters of 2x2 or 3x3. Raises UnknownModel."""
    path = SHOWN / f"shown-{kernel}x{kernel}.npz"
    if not path.is_file():
        raise UnknownModel(f"There is no seed model '{path.stem}' in this package.", cure="Take 2 or 3.")
    return SeedModel.from_bytes(path.read_bytes())
