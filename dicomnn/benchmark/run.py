"""The walk: look through a folder, measure every codec stage by stage, put the figures together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomnn.benchmark.costs import cost
from dicomnn.benchmark.folder import Folder, Series, Unit, look
from dicomnn.benchmark.ours import PREFIX, Variant, the_model
from dicomnn.benchmark.peers import NEAR, PEERS, THREADED, label_of, peer
from dicomnn.benchmark.pixels import Look, look_at
from dicomnn.benchmark.ratios import Row, is_noise, sizes
from dicomnn.benchmark.speeds import Speed, speed
from dicomnn.benchmark.stacks import Stacks, cost_of, measure_stacks, stacks_of
from dicomnn.benchmark.stages import Measured, Stage, run_stage
from dicomnn.codec.payload import MAX_GROUP
from dicomnn.codec.profile import Profile
from dicomnn.errors import UsageError

STACKS = "thin CT with the slice before"
"""Name of the last stage."""


@dataclass(frozen=True)
class Settings:
    """What to measure. `model`: id or path, '' for the newest; `most` frames a series, 0 for all. `group`:
    0, or thin CT stacked too, in groups of so many slices.
    """

    folder: Path
    sources: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    most: int = 0
    efforts: tuple[str, ...] = ("default",)
    bounds: tuple[int, ...] = ()
    peers: tuple[str, ...] = PEERS
    model: str = ""
    jobs: int = 1
    group: int = 0

    def variants(self) -> list[Variant]:
        """Ours: every effort without loss, then within every bound."""
        profiles = [Profile("lossless"), *(Profile("bounded", bound) for bound in self.bounds)]
        return [Variant(effort, profile) for profile in profiles for effort in self.efforts]

    def codecs(self) -> list[str]:
        """Keys of all stages in their order: peers first, because they are quick. Raises UsageError."""
        if self.group != 0 and not 2 <= self.group <= MAX_GROUP:
            raise UsageError(f"A group has 2 to {MAX_GROUP} slices, not {self.group}.")
        keys = list(self.peers)
        if "jxl-e7" in self.peers and self.jobs > 1:
            keys.append(f"{THREADED}{self.jobs}")
        keys += [f"{NEAR}{bound}" for bound in self.bounds]
        for key in keys:
            peer(key)
        return keys + [Variant.parse(variant.key).key for variant in self.variants()]


@dataclass(frozen=True)
class Step:
    """A stage that begins: number (from 1) of how many; `pixels` to do at about `cost` each, in the unit in
    which all later stages together cost about `later`.
    """

    label: str
    number: int
    of: int
    pixels: int
    cost: float
    later: float


@dataclass
class Progress:
    """What the terminal may show; every part is optional."""

    seen: Callable[[int], None] | None = None
    stage: Callable[[Step], None] | None = None
    pixels: Callable[[int], None] | None = None
    """so many more pixels are done"""
    problem: Callable[[str], None] | None = None


@dataclass
class Result:
    """All that was measured. `rows` are the series with sizes, `problems` (file, codec, sentence)."""

    settings: Settings
    folder: Folder
    rows: list[Row]
    stages: dict[str, Stage]
    speeds: dict[str, Speed]
    problems: list[tuple[str, str, str]]
    undecodable: list[Look]
    model_id: str
    held_out: tuple[str, ...] = ()
    """Sources of this run that the model's manifest lists as its test set."""
    looks: dict[str, Look] = field(default_factory=dict)
    interrupted: str = ""
    """Name of the codec in which the run was stopped; it and those behind it have no figures."""
    stacks: Stacks | None = None
    """Thin CT with the slice before, where that was asked for."""

    @property
    def preferred(self) -> str | None:
        """The variant that savings are told of: lossless, effort default if measured, else the first."""
        lossless = [v for v in self.settings.variants() if v.profile.kind == "lossless"]
        chosen = [v for v in lossless if v.effort == "default"] or lossless
        return next((variant.key for variant in chosen if variant.key in self.stages), None)

    def labels(self) -> dict[str, str]:
        """Names of all codecs for tables, by key."""
        return {key: name_of(key) for key in self.stages}


def name_of(key: str) -> str:
    """The label of any codec."""
    return Variant.parse(key).label if key.startswith(PREFIX) else label_of(key)


def run(settings: Settings, progress: Progress | None = None) -> Result:
    """Measure. Raises UsageError (also when nothing in the folder can be measured) and UnknownModel."""
    progress = progress or Progress()
    codecs = settings.codecs()
    model = the_model(settings.model)
    folder = look(
        settings.folder,
        sources=settings.sources,
        exclude=settings.exclude,
        most=settings.most,
        seen=progress.seen,
    )
    if not folder.series:
        raise UsageError(f"nothing below '{settings.folder}' can be coded: {_why(folder)}")
    looks = _looked(folder, settings, progress)
    problems: list[tuple[str, str, str]] = []
    stages: dict[str, Stage] = {}
    interrupted = ""
    thin = (
        sum(stack.pixels for series in folder.series for stack in stacks_of(series)) if settings.group else 0
    )
    steps = len(codecs) + bool(thin)
    for number, codec in enumerate(codecs, 1):
        try:
            units = _units_for(codec, folder)
            if progress.stage:
                later = sum(_pixels(_units_for(other, folder)) * cost(other) for other in codecs[number:])
                later += thin * cost_of(settings.efforts)
                progress.stage(Step(name_of(codec), number, steps, _pixels(units), cost(codec), later))
            stages[codec] = _stage(codec, units, settings, progress, problems)
        except KeyboardInterrupt:
            interrupted = name_of(codec)
            break
    failed = {name for name, _, _ in problems}
    rows = [_row(series, stages, looks, failed) for series in folder.series]
    stacks = None
    if settings.group and not interrupted:
        stacks = Stacks(settings.group)
        try:
            if thin and progress.stage:
                progress.stage(Step(STACKS, steps, steps, thin, cost_of(settings.efforts), 0.0))
            stacks = _stacks(folder, settings, progress)
        except KeyboardInterrupt:  # before the first stack; measure_stacks takes later ones
            stacks.interrupted = True
        problems += stacks.problems
        interrupted = STACKS if stacks.interrupted else ""
    test = model.about.get("test", [])
    return Result(
        settings,
        folder,
        [row for row in rows if row.sizes],
        stages,
        {codec: speed(stage) for codec, stage in stages.items()},
        problems,
        [found for found in looks.values() if found.reason is not None],
        model.id,
        tuple(sorted({series.source for series in folder.series} & set(test))),
        looks,
        interrupted,
        stacks,
    )


def _why(folder: Folder) -> str:
    reasons = {reason: len(items) for reason, items in folder.skipped().items()}
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "there is no file"


def _looked(folder: Folder, settings: Settings, progress: Progress) -> dict[str, Look]:
    """Decode everything once; what cannot be decoded leaves the series."""
    units = [unit for series in folder.series for unit in series.units]
    if progress.stage:
        progress.stage(Step("reading", 0, 0, _pixels(units), 1.0, 0.0))
    advance = progress.pixels

    def done(unit: Unit) -> None:
        if advance is not None:
            advance(unit.pixels)

    looks = look_at(units, jobs=settings.jobs, done=done)
    for series in folder.series:
        series.units = [unit for unit in series.units if looks[unit.name].reason is None]
    folder.series = [series for series in folder.series if series.units]
    return looks


def _stage(
    codec: str,
    units: Sequence[Unit],
    settings: Settings,
    progress: Progress,
    problems: list[tuple[str, str, str]],
) -> Stage:
    pixels = {unit.name: unit.pixels for unit in units}

    def done(stage: Stage, result: Measured) -> None:
        if progress.pixels is not None:
            progress.pixels(pixels[result.name])
        if result.status == "failed":
            problems.append((result.name, codec, result.detail))
            if progress.problem is not None:
                progress.problem(f"{result.name}: {name_of(codec)}: {result.detail}")

    return run_stage(codec, units, jobs=settings.jobs, model=settings.model, done=done)


def _stacks(folder: Folder, settings: Settings, progress: Progress) -> Stacks:
    return measure_stacks(
        folder.series,
        efforts=settings.efforts,
        group=settings.group,
        model=settings.model,
        jobs=settings.jobs,
        pixels=progress.pixels,
        problem=progress.problem,
    )


def _units_for(codec: str, folder: Folder) -> Sequence[Unit]:
    """Files on which a loss within a bound is forbidden are not measured with one, on either side."""
    units = [unit for series in folder.series for unit in series.units]
    if codec.startswith(NEAR) or (codec.startswith(PREFIX) and Variant.parse(codec).profile.bound):
        allowed = {item.name for item in folder.items if item.bounded}
        return [unit for unit in units if unit.name in allowed]
    return units


def _pixels(units: Sequence[Unit]) -> int:
    return sum(unit.pixels for unit in units)


def _row(series: Series, stages: dict[str, Stage], looks: dict[str, Look], failed: set[str]) -> Row:
    """A file on which any codec failed counts for none."""
    results = [
        result for stage in stages.values() for result in stage.results.values() if result.name not in failed
    ]
    found = sizes(series, results)
    bits = [looks[unit.name].bits for unit in series.units]
    return Row(series, found, is_noise(found.get("jxl-e7"), sum(bits) / len(bits)))
