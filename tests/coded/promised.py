"""Small textured images sealed with a lossy profile, and fetched back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from dicomnn.codec.profile import Profile
from dicomnn.coded.lossy import LossyRule
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import Sealed, seal
from dicomnn.shelf import default_shelf

SHELF = default_shelf()


def sealed_as(source: Path, profile: str, **rule: Any) -> Sealed:
    """`source` sealed beside it as <name>.coded, without a learned model of the lossless tier."""
    asked = {"model": SHELF.lossy.newest(), "asked_by": "this test", "compare": False} | rule
    return seal(
        source,
        source.with_suffix(".coded"),
        profile=Profile.parse(profile),
        model=None,
        models=SHELF.get,
        effort="fast",
        lossy=LossyRule(**asked),
    )


def back(source: Path) -> pydicom.Dataset:
    target = source.with_suffix(".back")
    restore(source.with_suffix(".coded"), target, SHELF.get, strict=True)
    return pydicom.dcmread(target)


def noisy(frames: int = 1, rows: int = 96, columns: int = 80, *, bits: int = 12, seed: int = 3) -> np.ndarray:
    """(frames, rows, columns): textured enough that the caps do not decide."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    top = (1 << bits) - 1
    images = [
        top * (0.5 + 0.2 * np.sin((x + 5 * f) / 13.0) * np.cos(y / 17.0) + random.normal(0, 1 / 40, x.shape))
        for f in range(frames)
    ]
    return np.clip(np.rint(images), 0, top).astype(np.uint16)
