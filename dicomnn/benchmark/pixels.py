"""A first look at the pixels of every unit: which cannot be decoded, and how many values are in use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnn.benchmark.folder import Unit
from dicomnn.benchmark.planes import opened_unit
from dicomnn.dicom.eligibility import reason_of
from dicomnn.errors import DicomnnError
from dicomnn.flow.pool import Tell, run_jobs


@dataclass(frozen=True)
class Look:
    """`reason` is None when all frames could be had. `bits`: mean over frames of log2(values in use), what a
    pixel of the same values in random order would cost.
    """

    name: str
    reason: str | None = None
    detail: str = ""
    bits: float = 0.0


def look_at(units: Sequence[Unit], *, jobs: int, done: Callable[[Unit], None] | None) -> dict[str, Look]:
    """Every unit once, by `jobs` worker processes; results by name."""
    by_name = {unit.name: unit for unit in units}
    found = {}
    for look in run_jobs(units, _look, workers=min(jobs, max(1, len(units))), died=_died):
        found[look.name] = look
        if done is not None:
            done(by_name[look.name])
    return found


def _look(unit: Unit, tell: Tell) -> Look:
    try:
        with tempfile.TemporaryDirectory(prefix="dicomnn-bench-") as place:
            with opened_unit(unit, Path(place)) as opened:
                used = [np.count_nonzero(np.bincount(plane.ravel())) for plane in opened.planes()]
        return Look(unit.name, bits=float(np.mean(np.log2(used))))
    except DicomnnError as error:
        return Look(unit.name, reason_of(error), error.sentence())
    except Exception as error:  # one bad file is one line of the list
        return Look(unit.name, "failed", f"{type(error).__name__}: {error}")


def _died(unit: Unit, why: str) -> Look:
    return Look(unit.name, "failed", why)
