"""One tiny study, once: two sides' worth of designs, trained for seconds on the made studies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dicomnn.seed.codec.model import SeedModel, fitted
from dicomnn.seed.codec.network import Autoencoder, Design
from dicomnn.seed.codec.square import resized, windowed
from dicomnn.seed.study.run import Order, carry_out
from dicomnn.seed.study.table import BEGIN, END
from dicomnn.shelf import default_shelf
from dicomnn.training.images.catalogue import build
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.stopping import Stop, Teller
from tests.training import trees

TINY = tuple(Design(variant, 128, kernel) for variant in ("pool", "dense") for kernel in (2, 3))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Study:
    """What a tiny run left: its order (which can be carried out again), record and page."""

    order: Order
    record: dict[str, Any]
    page: Path


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Six scanners of two patients each, two seeds, four steps each."""
    root = tmp_path_factory.mktemp("seed")
    folder = trees.scanners(root / "images", 6)
    page = root / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n", encoding="utf-8")
    order = Order(
        folder, root / "run", 0.05, (1, 2), page=page, model=default_shelf().newest(), designs=TINY
    )
    return Study(order, carry_out(order, Teller(), Stop()), page)


@pytest.fixture(scope="session")
def pixels(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Some slices of the made studies as the study prepares them: (N, 128, 128) uint8."""
    found = build([sample_data], tmp_path_factory.mktemp("lines") / "catalogue.jsonl", per_series=2)
    cache = PlaneCache(found.shelf)
    return np.stack([resized(windowed(cache.get(plane)), 128) for plane in found.planes[:6]])


@pytest.fixture(scope="session", params=[replace(d, variant=v) for v in ("pool", "dense") for d in TINY[:2]],
                ids=lambda design: design.name)
def model(request: pytest.FixtureRequest, pixels: np.ndarray) -> SeedModel:
    """Each of the designs with random weights: bytes and promises do not depend on training."""
    torch.manual_seed(3)
    return fitted(Autoencoder(request.param), pixels[:3])
