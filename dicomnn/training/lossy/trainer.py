"""A run of the lossy trainer: steps, and now and then a whole model, which codes what comes next."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomnn.codec.lossy.model import LossyModel
from dicomnn.errors import InexactArithmetic, RunMismatch
from dicomnn.training import checkpoint
from dicomnn.training.stopping import Stop, Teller

from .fitting import Arrays, fit, model_of
from .frames import Drawer, Drawn, quantised
from .network import ScaleNetwork
from .samples import Pool, samples
from .validation import EQUAL, coded, figures, score

SAVE_EVERY, LONGEST_STEP = 60.0, 5.0
FILL_SHARE = 0.2
FAR = 1 << 40
"""Draws for fitting are numbers from here on: training does not use them."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a run that do not change while it lasts.

    rate: the highest learning rate. frames: a step, with `places` of each in each pass. pool: frames kept and
    drawn from; start_pool: before the first step; fresh: steps to a new one. every: steps to a whole model,
    fitted on `fits` frames and tried on `checks`. final: frames that the released model is fitted on, in
    `rounds` rounds.
    """

    seed: int = 1
    rate: float = 4e-2
    frames: int = 24
    places: int = 192
    pool: int = 600
    start_pool: int = 150
    fresh: int = 2
    every: int = 600
    fits: int = 48
    checks: int = 72
    final: int = 150
    rounds: int = 3

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)


@dataclass
class Best:
    """A model that was tried: weights to go on from, its arrays, and what it was worth."""

    weights: dict[str, torch.Tensor]
    arrays: Arrays
    score: float
    step: int


class LossyTrainer:
    """Trains in ``run``, or goes on there. ``images`` names the data. ``parent``: a model to go on from;
    ``reference``: one to compare with, the run's first model where there is none. A run that goes on compares
    with what it began with.
    """

    def __init__(
        self,
        run: Path,
        recipe: Recipe,
        drawer: Drawer,
        checks: Sequence[Drawn],
        *,
        images: str,
        parent: LossyModel | None = None,
        reference: LossyModel | None = None,
        teller: Teller | None = None,
    ) -> None:
        self._path, self._curves = run / checkpoint.NAME, run / "curves.jsonl"
        self._recipe, self._drawer, self._checks = recipe, drawer, checks
        self._names = {"images": images, "parent": parent.id if parent else ""}
        self.reference = reference.id if reference else ""
        self._teller = teller or Teller()
        torch.set_num_threads(1)
        network = ScaleNetwork(recipe.seed) if parent is None else ScaleNetwork.from_integers(parent.arrays)
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, betas=(0.9, 0.98))
        self.step, self.drawn, self.spent = 0, 0, 0.0
        self.best: Best | None = None
        self._arrays: Mapping[str, np.ndarray] | None = parent.arrays if parent else None
        self._model = parent
        self._reference: np.ndarray | None = None
        self._fits: list[Drawn] = []
        self._go_on(reference)

    # ------------------------------------------------------------------ checkpoints
    def _go_on(self, reference: LossyModel | None) -> None:
        saved = checkpoint.load(self._path)
        checkpoint.write_curves(self._curves, self.curves(saved["step"] if saved else -1))
        if saved is None:
            if reference is not None:
                self._reference = coded(self._checks, reference)
            return
        for what, now in (("recipe", self._recipe.as_dict()), *self._names.items()):
            if saved[what] != now:
                raise RunMismatch(f"The run was begun with other {what}: {saved[what]}, now {now}.")
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.drawn, self.spent = saved["step"], saved["drawn"], saved["spent"]
        self.reference = saved["reference"]
        if saved["compared"] is not None:
            self._reference = saved["compared"].numpy()
        if saved["arrays"] is not None:
            self._arrays = _numpy(saved["arrays"])
            self._model = model_of(self._arrays, {})[0]
        if saved["best"] is not None:
            self.best = Best(**{**saved["best"], "arrays": _numpy(saved["best"]["arrays"])})
        self._teller.say(f"going on at step {self.step}, after {self.spent / 60:.1f} minutes")

    def save(self) -> None:
        """Everything that is needed to go on."""
        best = self.best
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "drawn": self.drawn,
            "spent": self.spent,
            "arrays": None if self._arrays is None else _tensors(self._arrays),
            "compared": None if self._reference is None else torch.from_numpy(self._reference),
            "best": None if best is None else {**vars(best), "arrays": _tensors(best.arrays)},
            "recipe": self._recipe.as_dict(),
            "reference": self.reference,
            **self._names,
        }
        checkpoint.save(self._path, state)

    def curves(self, until: int | None = None) -> list[dict[str, Any]]:
        """What was measured so far."""
        return checkpoint.read_curves(self._curves, until)

    # ------------------------------------------------------------------ the loop
    def train(self, seconds: float, stop: Stop) -> bool:
        """Until ``seconds`` were spent in all, or somebody asks to stop. True when the time is used up.

        A checkpoint is written every minute and at the end. Time in which the process was stopped or the
        machine slept is not counted. Raises Interrupted.
        """
        random = np.random.default_rng([self._recipe.seed, 7, self.step])
        if self.spent < seconds:
            try:
                if self._model is not None and not self.step and not self.curves():
                    self._try([], 0.0, stop)  # where a fine-tuning starts from
                pool = self._fill(seconds - self.spent, random, stop)
                self._loop(seconds, stop, pool, random)
            finally:
                self.save()
        if self._drawer.gone:
            self._teller.say(f"{len(self._drawer.gone)} images could not be read any more and were left out")
        return self.spent >= seconds

    def _take(self, pool: Pool, random: np.random.Generator) -> None:
        frame = quantised(self._drawer.draw(self.drawn), self._model)
        self.drawn += 1
        pool.take(samples(frame, random))

    def _fill(self, seconds: float, random: np.random.Generator, stop: Stop) -> Pool:
        """The first frames: a few for a short run, since only training uses up the time."""
        pool, begun = Pool(self._recipe.pool), time.monotonic()
        wanted = min(self._recipe.start_pool, self._recipe.pool)
        while len(pool) < wanted:
            stop.check()
            self._take(pool, random)
            self._teller.progress("reading first frames", len(pool), wanted)
            if len(pool) >= 4 and time.monotonic() - begun > FILL_SHARE * seconds:
                break
        return pool

    def _loop(self, seconds: float, stop: Stop, pool: Pool, random: np.random.Generator) -> None:
        recipe, seen, rate = self._recipe, list[float](), 0.0
        clock = saved = began = time.monotonic()
        first, tried = self.step, -1
        while self.spent < seconds and not stop.asked:
            if self.step % recipe.fresh == 0:
                self._take(pool, random)
            progress = min(self.spent / seconds, 1.0)
            rate = recipe.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            seen.append(self._train_step(pool, rate, random))
            self.step += 1
            clock = self._spend(clock)
            if self.step % recipe.every == 0:
                self._try(seen, rate, stop)
                seen, tried = [], self.step
                clock = self._spend(clock, LONGEST_STEP * 60)
            speed = (self.step - first) / max(clock - began, 1e-6)
            self._teller.progress(
                "training",
                int(self.spent),
                int(seconds),
                f"step {self.step}, {speed:.1f} steps/s, {max(seconds - self.spent, 0) / 60:.1f} min left",
            )
            if clock - saved > SAVE_EVERY:
                self.save()
                saved = clock
        if self.spent >= seconds and tried != self.step:
            self._try(seen, rate, stop)

    def _spend(self, since: float, longest: float = LONGEST_STEP) -> float:
        now = time.monotonic()
        self.spent += min(now - since, longest)
        return now

    def _train_step(self, pool: Pool, rate: float, random: np.random.Generator) -> float:
        """One step of the optimiser; its loss: bits of magnitudes by all bits of the frames when drawn."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = pool.batch(self._recipe.frames, self._recipe.places, random)
        loss = (self.network.bits(batch) * torch.from_numpy(batch.weights)).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def _try(self, seen: list[float], rate: float, stop: Stop) -> None:
        """A whole model of the network as it is: one record of the curves, and what codes the next frames."""
        recipe = self._recipe
        if not self._fits:
            self._fits = [self._drawer.draw(FAR + n) for n in range(recipe.fits)]
        try:
            if seen or self._arrays is None:
                arrays = fit(self.network, self._fits, self._arrays, 1, stop.check)
            else:
                arrays = dict(self._arrays)
            model, _ = model_of(arrays, {})
        except InexactArithmetic:
            self._teller.say(f"step {self.step}: a sum of the network could leave its integers; not tried")
            return
        ours = coded(self._checks, model, stop.check)
        if self._reference is None:
            self._reference = ours
        found = figures(self._checks, ours, self._reference)
        self._arrays, self._model = arrays, model
        better = self.best is None or score(found) < self.best.score
        if better:
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = Best(weights, arrays, score(found), self.step)
        record = {
            "step": self.step,
            "minutes": round(self.spent / 60, 3),
            "loss": round(float(np.mean(seen)), 5) if seen else None,
            "rate": rate,
            "frames": self.drawn,
            "score": round(score(found), 5),
            **{key: round(value, 5) for key, value in found.items()},
        }
        checkpoint.add_curve(self._curves, record)
        shown = ", ".join(
            f"{key[: -len(EQUAL) - 1]} {100 * value - 100:+.2f} %"
            for key, value in found.items()
            if key.endswith(EQUAL)
        )
        self._teller.say(
            f"step {self.step}: loss {record['loss']}, bits at equal error by the reference: {shown}"
            + (" (best)" if better else "")
        )

    # ------------------------------------------------------------------ the result
    def result(self, stop: Stop) -> tuple[Arrays, dict[str, float]]:
        """Arrays of the model to release and what it is worth: of the best network, fitted on more frames
        where that is better. Raises Interrupted.
        """
        assert self.best is not None and self._reference is not None
        recipe, network = self._recipe, ScaleNetwork()
        network.load_state_dict(self.best.weights)
        drawn = []
        for number in range(recipe.final):
            stop.check()
            self._teller.progress("reading frames to fit on", number, recipe.final)
            drawn.append(self._drawer.draw(FAR + number))
        self._teller.say(f"fitting tables and chances on {len(drawn)} frames")
        arrays = fit(network, drawn, self.best.arrays, recipe.rounds, stop.check)
        found = []
        for candidate in (arrays, self.best.arrays):
            ours = coded(self._checks, model_of(candidate, {})[0], stop.check)
            found.append((candidate, figures(self._checks, ours, self._reference)))
        return min(found, key=lambda pair: score(pair[1]))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(values, np.int64)) for name, values in arrays.items()}


def _numpy(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    return {name: values.numpy() for name, values in tensors.items()}
