"""Original, latent drawn, decompressed: the picture triple of the paper, made from really coded bytes.

    from dicomnn.seed.codec.triple import shown_model, triple
    made = triple(image, shown_model(3))          # image: (rows, columns) float in [0, 1]

A page that shows it says what it is: the seed's codec, to compare with. It stores nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dicomnn.errors import UnknownModel
from dicomnn.seed.codec.metrics import Metrics, eight_bit, measure
from dicomnn.seed.codec.model import SeedModel, checked_image

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
