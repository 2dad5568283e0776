"""Which images train, validate and test: no patient and no scanner on two sides.

Images are tied together by patient, study, series and device (the kernel does not make another scanner);
what hangs together goes to one side. Which one follows from a digest of the group's name and the shares,
so the same images are split alike everywhere, and images that are added later move few others. Of every
modality the group with most of it trains.
Sources named for validation or test go there whole; every other image that shares a patient or scanner
with them is set apart, used on no side.

A site with one or two scanners cannot be split so. Then patients are kept apart, or, of one patient,
series, or images; `Split.level` says which, and the model card repeats it. Where only images are kept apart,
a plane whose neighbour is on another side stands alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from dicomnn.errors import UsageError
from dicomnn.training.images.records import PlaneRecord

TRAIN, VALIDATION, TEST, APART = "train", "validation", "test", "apart"
SIDES = (TRAIN, VALIDATION, TEST)

Ties = Callable[[PlaneRecord], list[str]]
"""Names that a plane shares with all planes that must be on its side."""

LEVELS = {
    "scanner": "No patient and no scanner is on two sides.",
    "scanner-shared": "No patient is on two sides; scanners may be, as was asked for.",
    "patient": "No patient is on two sides, but scanners are: there were too few to keep apart. The figures "
    "say nothing about scanners that the training did not see.",
    "series": "All images are of one or two patients, so only series are kept apart. The figures are better "
    "than those on other patients will be.",
    "image": "All images are of one or two series, so only single images are kept apart. The figures are "
    "much better than those on other patients will be.",
    "none": "There is one image alone: it trains and validates. The figures prove nothing.",
}
"""How far apart the sides are, in words."""


@dataclass(frozen=True)
class SplitRequest:
    """What the user asked for. Shares are of groups of images; lists name sources."""

    validation_share: float = 0.1
    test_share: float = 0.1
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    shared_scanners: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.validation_share < 1 and 0 <= self.test_share < 1):
            raise UsageError("The shares of validation and test lie in 0..1.")
        if self.validation_share + self.test_share >= 1:
            raise UsageError("The shares of validation and test leave nothing to train on.")
        both = sorted(set(self.validation) & set(self.test))
        if both:
            raise UsageError(f"A source cannot validate and test: {', '.join(both)}.")


@dataclass(frozen=True)
class Split:
    """Planes by side, in catalogue order; ``apart`` are those that would tie two sides together."""

    level: str
    sides: dict[str, list[PlaneRecord]]
    apart: list[PlaneRecord] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        return LEVELS[self.level]

    def counts(self) -> dict[str, dict[str, int]]:
        """For each side: images, planes, series, scanners, patients (those that are known)."""
        return {side: _counts(planes) for side, planes in [*self.sides.items(), (APART, self.apart)]}


def _counts(planes: Sequence[PlaneRecord]) -> dict[str, int]:
    files = {plane.file.path: plane.file for plane in planes}.values()
    return {
        "images": len(files),
        "planes": len(planes),
        "series": len({(file.source, file.series) for file in files}),
        "scanners": len({file.device for file in files}),
        "patients": len({file.patient for file in files} - {""}),
    }


def patient_ties(plane: PlaneRecord) -> list[str]:
    """Names that a plane shares with the others of its patient."""
    file = plane.file
    ties = [f"series {file.source} {file.series}"]
    ties += [f"patient {file.patient}"] * bool(file.patient) + [f"study {file.study}"] * bool(file.study)
    return ties


def scanner_ties(plane: PlaneRecord) -> list[str]:
    """The same, and its device."""
    return [*patient_ties(plane), f"device {plane.file.device}"]


def split(planes: Sequence[PlaneRecord], request: SplitRequest) -> Split:
    """Deal planes out. Raises UsageError when there are none, or when a named source is not there."""
    if not planes:
        raise UsageError(
            "No image is left to train on.",
            cure="Look at left_out.jsonl in the run's folder for the reasons, and name another folder.",
        )
    there = {plane.file.source for plane in planes}
    missing = sorted({*request.validation, *request.test} - there)
    if missing:
        raise UsageError(
            f"These sources have no image that can be used: {', '.join(missing)}. "
            f"There are: {', '.join(sorted(there))}."
        )
    if request.validation or request.test:
        return _within_sides(_named(planes, request))
    dealt = _dealt(planes, request.validation_share, request.test_share, request.shared_scanners)
    return _within_sides(dealt)


def _within_sides(dealt: Split) -> Split:
    """No plane has a plane of another side before it."""
    keys = {side: {plane.key for plane in planes} for side, planes in dealt.sides.items()}

    def own(plane: PlaneRecord, side: str) -> PlaneRecord:
        if plane.before is None or plane.before.key in keys[side]:
            return plane
        others = any(plane.before.key in keys[other] for other in keys)
        return replace(plane, before=None) if others else plane

    sides = {side: [own(plane, side) for plane in planes] for side, planes in dealt.sides.items()}
    return Split(dealt.level, sides, dealt.apart)


def _named(planes: Sequence[PlaneRecord], request: SplitRequest) -> Split:
    ties = patient_ties if request.shared_scanners else scanner_ties
    test = [plane for plane in planes if plane.file.source in request.test]
    validation = [plane for plane in planes if plane.file.source in request.validation]
    rest = [plane for plane in planes if plane.file.source not in {*request.test, *request.validation}]
    validation, apart = _without(validation, test, ties)
    rest, tied = _without(rest, [*test, *validation], ties)
    apart += tied
    if not rest:
        raise UsageError(
            "Every image shares a patient or scanner with the sources named for validation and test.",
            cure="Name fewer sources, or allow shared scanners (--shared-scanners).",
        )
    level = "scanner-shared" if request.shared_scanners else "scanner"
    sides = {TRAIN: rest, VALIDATION: validation, TEST: test}
    if not request.validation:
        # Only the test is named; the rest is dealt out, but no share of it is a test again.
        dealt = _dealt(rest, request.validation_share, 0.0, request.shared_scanners)
        sides = {**dealt.sides, TEST: test}
        level = level if dealt.level.startswith("scanner") else dealt.level
    elif not request.test and request.test_share:
        dealt = _dealt(rest, 0.0, request.test_share, request.shared_scanners)
        if dealt.level.startswith("scanner"):
            sides = {**dealt.sides, VALIDATION: validation}
    return Split(level, sides, apart)


def _without(
    planes: Iterable[PlaneRecord],
    others: Iterable[PlaneRecord],
    ties: Ties,
) -> tuple[list[PlaneRecord], list[PlaneRecord]]:
    """Planes that share nothing with the others, and those that do."""
    taken = {tie for other in others for tie in ties(other)}
    kept: list[PlaneRecord] = []
    tied: list[PlaneRecord] = []
    for plane in planes:
        (tied if taken.intersection(ties(plane)) else kept).append(plane)
    return kept, tied


def _dealt(
    planes: Sequence[PlaneRecord], validation_share: float, test_share: float, shared_scanners: bool
) -> Split:
    """By shares, at the first level that leaves something for every side; else for validation at least."""
    wanted = bool(validation_share) + bool(test_share)
    if not wanted:
        return Split("scanner", {TRAIN: list(planes), VALIDATION: [], TEST: []})
    levels: dict[str, Ties] = {
        "scanner": scanner_ties,
        "patient": patient_ties,
        "series": lambda plane: [f"series {plane.file.source} {plane.file.series}"],
        "image": lambda plane: [plane.measures.digest],
    }
    if shared_scanners:
        levels = {"scanner-shared": patient_ties, **dict(list(levels.items())[2:])}
    people = [level for level in levels if level not in ("series", "image")]
    tries = [(level, least) for least in (wanted, 1) for level in people]
    tries += [(level, least) for level in ("series", "image") for least in (wanted, 1)]
    for level, least in tries:
        groups = components(planes, levels[level])
        pinned = _pinned(groups, len(planes), levels[level])
        if len(groups) - len(pinned) >= least:
            shares = (validation_share, test_share if least == wanted else 0.0)
            return Split(level, _deal(planes, groups, pinned, levels[level], *shares))
    return Split("none", {TRAIN: list(planes), VALIDATION: list(planes), TEST: []})


def _pinned(groups: Sequence[Sequence[PlaneRecord]], total: int, ties: Ties) -> set[int]:
    """Groups that must train: of each modality the one with most of it, and one that is over half of all.

    Otherwise a modality could be validated that was never trained on.
    """
    pinned = {number for number, group in enumerate(groups) if 2 * len(group) > total}
    counts = [by_group(group) for group in groups]
    for modality in {modality for count in counts for modality in count}:
        most = max(count.get(modality, 0) for count in counts)
        equals = [number for number, count in enumerate(counts) if count.get(modality, 0) == most]
        pinned.add(max(equals, key=lambda n: chance(groups[n], ties)))
    return pinned


def _deal(
    planes: Sequence[PlaneRecord],
    groups: Sequence[Sequence[PlaneRecord]],
    pinned: set[int],
    ties: Ties,
    validation_share: float,
    test_share: float,
) -> dict[str, list[PlaneRecord]]:
    ranked = sorted((chance(group, ties), number) for number, group in enumerate(groups))
    free = [(u, number) for u, number in ranked if number not in pinned]
    side_of = dict.fromkeys(range(len(groups)), TRAIN)
    for u, number in free:
        if u < test_share + validation_share:
            side_of[number] = TEST if u < test_share else VALIDATION
    for side, share in ((VALIDATION, validation_share), (TEST, test_share)):
        spare = [number for _, number in free if side_of[number] == TRAIN]
        spare += [number for _, number in free if list(side_of.values()).count(side_of[number]) > 1]
        if share and side not in side_of.values() and spare:
            side_of[spare[0]] = side
    place = {plane.key: number for number, plane in enumerate(planes)}
    sides: dict[str, list[PlaneRecord]] = {side: [] for side in SIDES}
    for number, group in enumerate(groups):
        sides[side_of[number]] += group
    return {side: sorted(members, key=lambda plane: place[plane.key]) for side, members in sides.items()}


def chance(group: Sequence[PlaneRecord], ties: Ties) -> float:
    """A number in 0..1 that follows from the group's first tie by name: device, patient, series or pixels."""
    name = min(tie for plane in group for tie in ties(plane))
    digest = hashlib.sha256(f"dicomnn split {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def components(planes: Sequence[PlaneRecord], ties: Ties) -> list[list[PlaneRecord]]:
    """Planes that hang together through shared ties, each group in catalogue order."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for plane in planes:
        names = ties(plane)
        for name in names:
            parent.setdefault(name, name)
        for name in names[1:]:
            parent[root(name)] = root(names[0])
    groups: dict[str, list[PlaneRecord]] = {}
    for plane in planes:
        groups.setdefault(root(ties(plane)[0]), []).append(plane)
    return list(groups.values())


def by_group(planes: Iterable[PlaneRecord]) -> dict[str, int]:
    """Planes of each modality group, the largest first."""
    return dict(Counter(plane.file.group for plane in planes).most_common())
