"""A run: the loop over time, its checkpoints and curves. The numbers of a step are in `loop`."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicomnn.codec.model import check_bounds
from dicomnn.errors import ModelCorrupt, RunMismatch, UsageError
from dicomnn.training import checkpoint, loop
from dicomnn.training.data import Crop
from dicomnn.training.export import arrays_of, no_codes
from dicomnn.training.network import TileCodec
from dicomnn.training.sampler import Sampler
from dicomnn.training.stopping import Stop, Teller

SAVE_EVERY = 60.0
LONGEST_STEP = 5.0
FILL_SHARE = 0.1


@dataclass
class State:
    """Where a run is. ``best`` are the weights of the best validation whose sums stay exact."""

    network: TileCodec
    optimiser: torch.optim.Optimizer
    step: int = 0
    spent: float = 0.0
    drawn: int = 0
    best: dict[str, torch.Tensor] | None = None
    best_score: float = float("inf")
    best_step: int = -1


def device_of(name: str) -> torch.device:
    """'cpu', 'cuda', or 'auto': a GPU when there is one. Raises UsageError when there is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "torch finds no GPU here.", cure="Use --device cpu, or install a torch build for the GPU."
        )
    return torch.device(name)


class Trainer:
    """Trains in ``run``, or goes on there. ``images`` names the data: a run goes on with the same only."""

    def __init__(
        self,
        run: Path,
        recipe: loop.Recipe,
        sampler: Sampler,
        checks: Sequence[Crop],
        *,
        images: str,
        start: TileCodec | None = None,
        parent: str = "",
        device: torch.device | str = "cpu",
        threads: int = 1,
        teller: Teller | None = None,
    ) -> None:
        self._path = run / checkpoint.NAME
        self._curves = run / "curves.jsonl"
        self._recipe = recipe
        self._sampler = sampler
        self._checks = checks
        self._images = images
        self._parent = parent
        self._device = torch.device(device)
        self._threads = threads
        self._teller = teller or Teller()
        run.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        torch.backends.cudnn.allow_tf32 = False
        network = (start if start is not None else loop.make_network(recipe)).to(self._device)
        self.state = State(network, loop.make_optimiser(network, recipe))
        self._go_on()

    # ------------------------------------------------------------------ checkpoints
    def _go_on(self) -> None:
        saved = checkpoint.load(self._path)
        checkpoint.write_curves(self._curves, self.curves(saved["step"] if saved else -1))
        if saved is None:
            torch.manual_seed(self._recipe.seed)
            return
        for what, now in (
            ("recipe", self._recipe.as_dict()),
            ("images", self._images),
            ("parent", self._parent),
        ):
            if saved[what] != now:
                raise RunMismatch(f"The run was begun with other {what}: {saved[what]}, now {now}.")
        state = self.state
        state.network.load_state_dict(saved["network"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.step, state.spent, state.drawn = saved["step"], saved["spent"], saved["drawn"]
        state.best, state.best_score, state.best_step = saved["best"], saved["best_score"], saved["best_step"]
        torch.set_rng_state(saved["random"])
        self._teller.say(f"going on at step {state.step}, after {state.spent / 60:.1f} minutes")

    def save(self) -> None:
        """Everything that is needed to go on."""
        state = self.state
        checkpoint.save(
            self._path,
            {
                "network": state.network.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
                "spent": state.spent,
                "drawn": state.drawn,
                "best": state.best,
                "best_score": state.best_score,
                "best_step": state.best_step,
                "random": torch.get_rng_state(),
                "recipe": self._recipe.as_dict(),
                "images": self._images,
                "parent": self._parent,
            },
        )

    def curves(self, until: int | None = None) -> list[dict[str, Any]]:
        """What was measured so far."""
        return checkpoint.read_curves(self._curves, until)

    # ------------------------------------------------------------------ the loop
    def train(self, seconds: float, stop: Stop) -> bool:
        """Until ``seconds`` were spent in all, or somebody asks to stop. True when the time is used up.

        A checkpoint is written every minute and at the end. Time in which the process was stopped or the
        machine slept is not counted.
        """
        state, recipe = self.state, self._recipe
        if state.step == 0 and not self.curves():
            self._validate([], 0.0)  # where it starts from; for a fine-tuning, the parent's figure
        random = np.random.default_rng([recipe.seed, 7, state.step])
        crops = self._sampler.stream(state.drawn, self._threads)
        try:
            if state.spent < seconds and not stop.asked:
                pool = self._fill(crops, seconds - state.spent, stop)
                self._loop(seconds, stop, crops, pool, random)
        finally:
            crops.close()  # type: ignore[attr-defined]
        self.save()
        if self._sampler.gone:
            self._teller.say(f"{len(self._sampler.gone)} images could not be read any more and were left out")
        return state.spent >= seconds

    def _fill(self, crops: Iterator[Crop], seconds: float, stop: Stop) -> list[Crop]:
        """The first crops: a few for a short run, since only training uses up the time."""
        wanted = min(self._recipe.start_pool, self._recipe.pool)
        pool: list[Crop] = []
        begun = time.monotonic()
        while len(pool) < wanted and not stop.asked:
            pool.append(next(crops))
            self.state.drawn += 1
            self._teller.progress("reading first crops", len(pool), wanted)
            if len(pool) >= self._recipe.batch and time.monotonic() - begun > FILL_SHARE * seconds:
                break
        return pool

    def _loop(
        self, seconds: float, stop: Stop, crops: Iterator[Crop], pool: list[Crop], random: np.random.Generator
    ) -> None:
        state, recipe = self.state, self._recipe
        seen: list[float] = []
        clock = saved = time.monotonic()
        first, began = state.step, clock
        while state.spent < seconds and not stop.asked:
            for _ in range(recipe.fresh):
                self._take(next(crops), pool, random)
            rate = loop.learning_rate(recipe, state.step, state.spent / seconds)
            picked = [pool[int(i)] for i in random.integers(0, len(pool), recipe.batch)]
            side = self._sampler.map_side
            seen.append(
                loop.train_step(
                    state.network, state.optimiser, picked, recipe, rate, random, side, self._device
                )
            )
            state.step += 1
            now = time.monotonic()
            state.spent += min(now - clock, LONGEST_STEP)
            clock = now
            if state.step % recipe.every == 0:
                self._validate(seen, rate, len(pool))
                seen.clear()
            speed = (state.step - first) / max(clock - began, 1e-6)
            self._teller.progress(
                "training",
                int(state.spent),
                int(seconds),
                f"step {state.step}, {speed:.1f} steps/s, {max(seconds - state.spent, 0) / 60:.1f} min left",
            )
            if clock - saved > SAVE_EVERY:
                self.save()
                saved = clock
        if state.spent >= seconds and seen:
            self._validate(seen, rate, len(pool))

    def _take(self, crop: Crop, pool: list[Crop], random: np.random.Generator) -> None:
        """Into the pool, for another one where it is full."""
        self.state.drawn += 1
        if len(pool) < self._recipe.pool:
            pool.append(crop)
        else:
            pool[int(random.integers(len(pool)))] = crop

    def _validate(self, seen: list[float], rate: float, pool: int = 0) -> None:
        """One record of the curves; keeps the weights when they are the best so far."""
        state = self.state
        state.network.eval()
        figures = loop.validate(state.network, self._checks, self._sampler.map_side, self._device)
        exact, largest = self._sums()
        score = loop.score(figures)
        record = {
            "step": state.step,
            "minutes": round(state.spent / 60, 3),
            "loss": round(float(np.mean(seen)), 5) if seen else None,
            "rate": rate,
            "pool": pool,
            "crops": state.drawn,
            "score": round(score, 5),
            "largest_sum": largest,
            **({"parent": self._parent} if self._parent and not state.step else {}),
            **{key: round(value, 5) for key, value in figures.items()},
        }
        checkpoint.add_curve(self._curves, record)
        better = exact and score < state.best_score
        if better:
            state.best = {
                name: value.detach().cpu().clone() for name, value in state.network.state_dict().items()
            }
            state.best_score, state.best_step = score, state.step
        shown = ", ".join(
            f"{key[:-5]} {value:.4f}" for key, value in figures.items() if key.endswith(" code")
        )
        loss = f"loss {record['loss']}, " if seen else ""
        mark = " (best)" if better else "" if exact else f" (not exact: a sum can reach {largest})"
        self._teller.say(f"step {state.step}: {loss}bits per pixel of validation crops: {shown}{mark}")

    def _sums(self) -> tuple[bool, int]:
        """Whether every sum of the exported network stays below 2^24, and the largest possible one."""
        try:
            return True, max(check_bounds(arrays_of(_on_cpu(self.state.network), no_codes())).values())
        except ModelCorrupt:
            return False, 1 << 24

    # ------------------------------------------------------------------ the result
    def result(self) -> TileCodec:
        """The best network so far, on the CPU."""
        network = _on_cpu(self.state.network)
        if self.state.best is not None:
            network.load_state_dict(self.state.best)
        return network.eval()


def _on_cpu(network: TileCodec) -> TileCodec:
    return copy.deepcopy(network).cpu()
