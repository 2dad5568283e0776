"""A whole model from a network: tables, points and first chances, from frames that the real encoder coded.

Each round codes the frames with the model as it is and counts: classes and distances at the states that the
encoder used (its corrections are run again), signs and still parts by context. Of a context no frame counts
more events than the codec takes to adapt to it. Of the lowest band and the mask the codec's own chances are
taken where they ended; after some rounds they begin where, on the mean, they end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dicomnn.codec.lossy.bands import STILL_CONTEXTS
from dicomnn.codec.lossy.base import code_lowest, code_mask
from dicomnn.codec.lossy.events import ENCODE
from dicomnn.codec.lossy.frame import padding, step_of
from dicomnn.codec.lossy.layout import bands, lowest
from dicomnn.codec.lossy.magnitudes import KINDS
from dicomnn.codec.lossy.model import ORIENTATIONS, LossyModel, to_bytes
from dicomnn.codec.lossy.scales import SCALES
from dicomnn.codec.lossy.wavelet import MOST_LEVELS

from .frames import Drawn, Frame, quantised
from .marks import Band, bands_of, classes_of
from .network import ScaleNetwork, learned_chances, scales_of
from .samples import PASSES
from .tables import chances_of, frequencies_of, guesses, points_of, slopes_of
from .walks import replay

SIGN_WINDOW, STILL_WINDOW = 64, 32
"""Events after which the codec has adapted."""
SIGN_LEAST, STILL_LEAST = 64, 32
Arrays = dict[str, np.ndarray]
Check = Callable[[], None]


class Counts:
    """What frames say; `bits`: of a usual frame, so that frames weigh by the reciprocal of theirs."""

    def __init__(self, arrays: Mapping[str, np.ndarray], bits: float) -> None:
        self._arrays, self._bits = arrays, bits
        self._slopes = np.asarray(arrays["slopes"], np.int64)
        self.classes = np.zeros((SCALES, KINDS))
        self.distances, self.sizes = np.zeros((2, ORIENTATIONS, SCALES, 3))
        self.signs, self.signs_all = np.zeros((2, PASSES, 27))
        self.still, self.still_all = np.zeros((2, ORIENTATIONS, MOST_LEVELS + 1, STILL_CONTEXTS))

    def add(self, frame: Frame) -> None:
        """Count a frame."""
        weight = self._bits / frame.bits
        signs = np.zeros((2, PASSES, 27))
        still = np.zeros((2, *self.still.shape))
        for band, scaled in zip(bands_of(frame.values, frame.levels), _parts(frame), strict=True):
            self._places(band, scaled, weight, signs)
            contexts, coded = band.still_contexts()
            counted = (band.orientation, band.level)
            still[0][counted] = np.bincount(contexts[coded], minlength=STILL_CONTEXTS)
            still[1][counted] = np.bincount(contexts, minlength=STILL_CONTEXTS)
        for (ones, events), window, (total, total_events) in (
            (signs, SIGN_WINDOW, (self.signs, self.signs_all)),
            (still, STILL_WINDOW, (self.still, self.still_all)),
        ):
            share = np.minimum(1, window / np.maximum(events, 1))
            total += share * ones
            total_events += share * events

    def _places(self, band: Band, scaled: np.ndarray, weight: float, signs: np.ndarray) -> None:
        o = band.orientation
        places = [band.places(odd) for odd in (0, 1)]
        values = [band.at(at) for at in places]
        classes = [classes_of(np.abs(v)) for v in values]
        scales = [
            scales_of(self._arrays, 2 * o + odd, band.level, band.inputs(at)) for odd, at in enumerate(places)
        ]
        states = [np.zeros(len(v), np.int64) for v in values]
        rows = [at.y for at in places]
        replay(o, len(band.values), *scales, *rows, *classes, self._slopes, band.known.room, *states)
        for odd, at in enumerate(places):
            cells = states[odd] * KINDS + classes[odd]
            self.classes += weight * np.bincount(cells, minlength=SCALES * KINDS).reshape(SCALES, KINDS)
            some = classes[odd] > 0
            size = np.abs(values[odd][some])
            below = size - np.abs(band.at(at, scaled)[some])
            cells = states[odd][some] * 3 + np.minimum(size, 3) - 1
            shape = (SCALES, 3)
            self.sizes[o] += weight * np.bincount(cells, minlength=SCALES * 3).reshape(shape)
            self.distances[o] += weight * np.bincount(cells, below, SCALES * 3).reshape(shape)
            contexts = band.sign_contexts(at)[some]
            signs[1, 2 * o + odd] += np.bincount(contexts, minlength=27)
            signs[0, 2 * o + odd] += np.bincount(contexts, values[odd][some] < 0, 27)

    def arrays(self, trained: np.ndarray) -> Arrays:
        """Tables, points and chances. ``trained``: distributions (96, 40) to begin with."""
        frequencies = frequencies_of(trained, self.classes)
        # Levels of which little was seen take after the others of their orientation.
        ones, events = (a.sum(1, keepdims=True) for a in (self.still, self.still_all))
        usual = (ones + 1) / (events + 20)
        return {
            "frequencies": frequencies,
            "slopes": slopes_of(frequencies),
            "points": points_of(self.distances, self.sizes),
            "signs": chances_of(self.signs, self.signs_all, 0.5, 20, SIGN_LEAST).reshape(3, 2, 27),
            "still": chances_of(self.still, self.still_all, usual, 20, STILL_LEAST),
        }


def _parts(frame: Frame) -> list[np.ndarray]:
    """The coefficients of each band before they were quantised."""
    rows, columns = frame.scaled.shape
    return [frame.scaled[band.rows, band.columns] for band in bands(rows, columns, frame.levels)]


def model_of(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> tuple[LossyModel, bytes]:
    """The model and its file."""
    data = to_bytes(arrays, about)
    return LossyModel(data), data


def begin(network: ScaleNetwork, before: Mapping[str, np.ndarray] | None = None) -> Arrays:
    """Arrays of a model with a network's integers; what is not trained as `before` has it, else by rule."""
    frequencies = frequencies_of(learned_chances(network))
    arrays = {**network.integers(), "frequencies": frequencies, "slopes": slopes_of(frequencies)}
    for name, guess in guesses().items():
        arrays[name] = guess if before is None else before[name].astype(np.int64)
    return arrays


def fit(
    network: ScaleNetwork,
    drawn: Sequence[Drawn],
    before: Mapping[str, np.ndarray] | None = None,
    rounds: int = 1,
    check: Check = lambda: None,
) -> Arrays:
    """Arrays of a model, fitted on frames. ``check`` may raise to stop."""
    trained, arrays = learned_chances(network), begin(network, before)
    for _ in range(rounds):
        model, _ = model_of(arrays, {})
        frames = []
        for one in drawn:
            check()
            frames.append(quantised(one, model))
        counts = Counts(arrays, float(np.exp(np.mean([np.log(frame.bits) for frame in frames]))))
        for frame in frames:
            check()
            counts.add(frame)
        arrays = {**arrays, **counts.arrays(trained), **_ends(drawn, frames, arrays)}
    return arrays


def _ends(drawn: Sequence[Drawn], frames: Sequence[Frame], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """``lowest``, ``mask``, ``blocks``: the mean of where they ended, over frames that moved them."""
    names = ("lowest", "mask", "blocks")
    first = {name: arrays[name].astype(np.int64) for name in names}
    total = {name: np.zeros(first[name].shape) for name in names}
    moved = {name: np.zeros(first[name].shape) for name in names}
    for one, frame in zip(drawn, frames, strict=True):
        last = {name: values.copy() for name, values in first.items()}
        stream = (
            np.empty(64 * one.plane.size + 4096, np.uint32),
            np.zeros(1, np.int64),
            np.zeros(0, np.uint16),
            np.zeros(2, np.int64),
        )
        mask = padding(one.plane, float(step_of(one.quality)))
        if mask is not None:
            framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 4), np.uint8)
            framed[2:, 2:-2] = mask
            code_mask(ENCODE, framed, last["mask"], last["blocks"], *stream)
        rows, columns = one.plane.shape
        place = lowest(rows, columns, frame.levels)
        values = np.ascontiguousarray(frame.scaled[place])
        code_lowest(ENCODE, values, np.zeros(values.shape, np.int32), last["lowest"], *stream)
        for name in names:
            changed = last[name] != first[name]
            total[name] += np.where(changed, last[name], 0)
            moved[name] += changed
    return {
        name: np.where(
            moved[name] > 0, np.round(total[name] / np.maximum(moved[name], 1)), first[name]
        ).astype(np.int64)
        for name in names
    }
