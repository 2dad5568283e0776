"""The record: what each autoencoder reaches on the test images, and what the others make of as many bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dicomnn.codec.model import Model
from dicomnn.errors import CodecError
from dicomnn.seed.codec.metrics import Metrics, measure, psnr
from dicomnn.seed.codec.model import SeedModel
from dicomnn.seed.codec.triple import Triple, triple
from dicomnn.seed.study import peers
from dicomnn.seed.study.fit import Trained, mse_of


class Compared(NamedTuple):
    """Triples of one autoencoder on the test images, each decoded from its bytes."""

    triples: list[Triple]

    def figures(self) -> dict[str, float]:
        return mean_of([one.metrics for one in self.triples], self.triples[0].original.size)


def mean_of(found: Sequence[Metrics], pixels: int) -> dict[str, float]:
    """Figures over images of ``pixels`` pixels each: mean bytes, MSE and SSIM; ratio and PSNR of those means,
    so that an exact image counts as what it is. Without the PSNRs where all are exact.
    """
    size, mse, similarity = (
        float(np.mean([getattr(one, name) for one in found])) for name in ("coded_bytes", "mse", "ssim")
    )
    figures = {
        "images": len(found),
        "coded_bytes": size,
        "ratio": pixels / size,
        "mse": mse,
        "ssim": similarity,
    }
    return figures | ({"psnr": psnr(mse, 1), "psnr_255": psnr(mse, 255)} if mse else {})


def run_model(model: SeedModel, pixels: np.ndarray) -> Compared:
    """All images (N, S, S) uint8 through real bytes. Raises CodecError where bytes give another latent."""
    triples = []
    for image in pixels:
        unit = image.astype(np.float32) / 255
        made = triple(unit, model)
        if not np.array_equal(model.decode_latent(made.coded), model.latent(unit)):
            raise CodecError(f"The bytes of {model.design.name} gave another latent.")
        triples.append(made)
    return Compared(triples)


def of_seed(trained: Trained, compared: Compared, seed: int, pixels: np.ndarray) -> dict[str, Any]:
    """What the record says about one training."""
    last = trained.curve[-1]
    return {
        "seed": seed,
        "steps": trained.steps,
        "seconds": last["seconds"],
        "validation": min(point["validation"] for point in trained.curve),
        "mse_uncoded": mse_of(trained.model.network, pixels),
        **compared.figures(),
    }


class AtSize:
    """The others on the test images of one side; what was coded once is kept for the next size."""

    def __init__(self, pixels: np.ndarray, model: Model | None) -> None:
        self._pixels = pixels
        self._model = model
        self._ladders = [peers.ladders(image, model) for image in pixels]

    def lossless(self, advance: Callable[[], None]) -> dict[str, float]:
        """Mean bytes of each lossless codec."""
        sizes: dict[str, list[int]] = {name: [] for name in peers.LOSSLESS_LABELS}
        for image in self._pixels:
            for name, size in peers.lossless(image, self._model).items():
                sizes[name].append(size)
            advance()
        return {name: float(np.mean(values)) for name, values in sizes.items()}

    def at(self, sizes: Sequence[int], advance: Callable[[], None]) -> dict[str, dict[str, float]]:
        """Figures of each codec at most ``sizes`` bytes, an image each. ``images``: those that it could make
        so small; the means are of these.
        """
        found: dict[str, list[Metrics]] = {name: [] for name in peers.LABELS}
        for image, size, ladders in zip(self._pixels, sizes, self._ladders, strict=True):
            for name, ladder in ladders.items():
                fitting = ladder.fits(size)
                if fitting is not None:
                    found[name].append(measure(image, fitting[1], len(fitting[0])))
            advance()
        pixels = self._pixels[0].size
        return {name: mean_of(metrics, pixels) for name, metrics in found.items() if metrics}

    def images_at(self, number: int, size: int) -> dict[str, np.ndarray]:
        """Of one image the pictures that the others give at most ``size`` bytes."""
        fitting = {name: ladder.fits(size) for name, ladder in self._ladders[number].items()}
        return {name: coded[1] for name, coded in fitting.items() if coded is not None}


def verdict(first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]) -> dict[str, float]:
    """The second filter size less the first, seed by seed: mean, deviation, how often it was ahead."""
    gain = np.array([b["psnr"] - a["psnr"] for a, b in zip(first, second, strict=True)])
    ssim = np.array([b["ssim"] - a["ssim"] for a, b in zip(first, second, strict=True)])
    spread = float(gain.std(ddof=1)) if len(gain) > 1 else float("nan")
    return {
        "psnr": float(gain.mean()),
        "psnr_spread": spread,
        "ssim": float(ssim.mean()),
        "ups": int((gain > 0).sum()),
        "seeds": len(gain),
    }
