"""A campaign of promises as tables, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dicomnn.benchmark.promises import Campaign, Outcome
from dicomnn.benchmark.tables import Table

STATES = ("kept", "escalated", "broken", "failed")
CONVENTIONS = (
    "Objects: all that the node may code with loss (not: mammography, measurements, masks, what was lossy "
    "before) and whose modality has a cap; every frame of them unless --most says less.",
    "ratio: native bytes (Bits Allocated) by bytes of the payload, at least; 0.6, 0.8 and 1.0 of the "
    "modality's cap. psnr: dB with MAX = 2^BitsStored - 1, on every frame, at least: 60, 70 and 80 of 12 "
    "bits, 6 more for each bit more. ssim: 7x7 windows, on every frame, of 8 bits through the file's own "
    "window (PS3.3 C.11.2.1.2), without one over 2^BitsStored - 1.",
    "kept: the payload was decoded once more, and the figure computed by code of the benchmark's own, not by "
    "the codec's. escalated: the codec said of some frame that no step keeps the promise, so bounded or "
    "lossless has to serve. broken: the figure is below what was promised. failed: the codec raised an "
    "error, or its own decoder could not read its stream. The aim is that none is broken and none fails.",
    "over cap: kept, at a ratio (Bits Stored, as guidelines count) more than 1 % above the cap of the "
    "modality: a node has to take a finer step there, which keeps a promise of quality as well.",
)


def promise_tables(scope: str, outcomes: Sequence[Outcome]) -> list[Table]:
    """The sums, then a row for each promise and group."""
    kinds = [kind for kind in ("ratio", "psnr", "ssim") if any(o.promise.startswith(kind) for o in outcomes)]
    sums = [_counts([kind], [o for o in outcomes if o.promise.startswith(kind)]) for kind in kinds]
    if outcomes:
        sums.append(_counts(["all"], outcomes))
    rows = []
    pairs = {(o.group, o.promise) for o in outcomes}
    for group, promise in sorted(pairs, key=lambda pair: (pair[0], _order(pair[1]))):
        members = [o for o in outcomes if (o.group, o.promise) == (group, promise)]
        kept = [o for o in members if o.reached is not None]
        spread = [
            _percentiles([o.reached for o in kept if o.reached is not None]),
            _percentiles([o.ratio for o in kept if o.ratio is not None]),
        ]
        rows.append([*_counts([group, promise], members), *spread])
    counted = ["objects", "frames", *STATES, "over cap"]
    return [
        Table(f"Promises, {scope}", ["promise", *counted], sums),
        Table(
            f"Promises by group, {scope}",
            ["group", "promise", *counted, "reached", "ratio, Bits Stored"],
            rows,
            "'reached' and 'ratio': lowest, median and highest of what was kept.",
        ),
    ]


def broken_lines(campaign: Campaign) -> list[str]:
    """Every promise that was broken, that failed, and that escalated, by name."""
    lines = [
        f"BROKEN: {o.name}: {o.promise}: reached {o.reached:.6g}, the codec said {o.claimed:.6g}"
        for o in campaign.outcomes
        if o.state == "broken" and o.reached is not None and o.claimed is not None
    ]
    escalated: dict[str, list[str]] = {}
    for outcome in campaign.outcomes:
        if outcome.state == "escalated":
            escalated.setdefault(outcome.name, []).append(outcome.promise)
    lines += [f"FAILED: {o.name}: {o.promise}: {o.detail}" for o in campaign.outcomes if o.state == "failed"]
    return lines + [f"escalated: {name}: {', '.join(names)}" for name, names in sorted(escalated.items())]


def _order(promise: str) -> tuple[str, float]:
    kind, _, value = promise.partition("=")
    return kind, float(value)


def _counts(names: list[str], members: Sequence[Outcome]) -> list[str]:
    states = [outcome.state for outcome in members]
    return [
        *names,
        str(len(members)),
        str(sum(outcome.frames for outcome in members)),
        *(str(states.count(state)) for state in STATES),
        str(sum(outcome.over_cap for outcome in members)),
    ]


def _percentiles(values: Sequence[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "exact" if values else "-"
    return " / ".join(f"{value:.4g}" for value in np.percentile(known, [0, 50, 100]))
