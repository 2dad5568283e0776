"""What a migration would save and how long it would take, from really coding a random sample."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dicomnn.errors import PeerError
from dicomnn.flow.files import FileJob, FileResult, run
from dicomnn.flow.migration.landing import FileLanding
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.rows import Row
from dicomnn.flow.migration.source import Source, Wanted

LEAST = 3
"""Instances of each modality at least, where there are so many."""


@dataclass(frozen=True)
class Stratum:
    """One modality. bytes: of all its instances, from the sample's mean where the source does not tell."""

    modality: str
    instances: int
    bytes: float
    sampled: int
    sampled_bytes: int
    sampled_after: int
    kept: int
    failed: int
    after: float
    error: float
    coding_seconds: float
    """Of one processor, for all instances."""


def choose(ledger: Ledger, most: int, seed: int) -> dict[str, list[Row]]:
    """A random sample of what there is, by modality: shares like those of the whole, `LEAST` of each."""
    rows: dict[str, list[Row]] = {}
    for row in ledger.rows("state IN ('todo', 'stored')"):
        rows.setdefault(row.modality or "none", []).append(row)
    total = sum(map(len, rows.values()))
    pick = random.Random(seed)
    return {
        name: pick.sample(there, min(len(there), max(LEAST, round(most * len(there) / total))))
        for name, there in sorted(rows.items())
    }


def forecast(
    ledger: Ledger,
    source: Source,
    scratch: Path,
    *,
    sample: int,
    seed: int,
    jobs: int,
    effort: str = "default",
    profile: str = "lossless",
    tell: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Fetch and code the sample; plain data for the ledger, the terminal and the report. Nothing of it is
    kept but the figures."""
    chosen = choose(ledger, sample, seed)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="sample-") as folder:
        begun = time.monotonic()
        paths: dict[str, tuple[str, Path]] = {}
        landing = FileLanding(Path(folder, "in"))
        total, fetched_bytes = sum(map(len, chosen.values())), 0
        for name, rows in chosen.items():
            for row in rows:
                tell("sample", len(paths), total)
                path = source.local(row.item) or _fetched(source, landing, row)
                if path is not None and path.is_file():
                    paths[row.item] = (name, path)
                    fetched_bytes += path.stat().st_size
        fetch_seconds = time.monotonic() - begun
        planned = [
            FileJob(
                "compress",
                item,
                path,
                path.stat().st_size,
                target=Path(folder, "out", f"{number}.dcm"),
                profile=profile,
                effort=effort,
            )
            for number, (item, (_, path)) in enumerate(paths.items())
        ]
        results: dict[str, FileResult] = {}
        begun = time.monotonic()
        if planned:
            for result in run(planned, workers=jobs):
                results[result.name] = result
                tell("code", len(results), len(planned))
        code_seconds = time.monotonic() - begun
    strata = []
    for name in chosen:
        items = [item for item, (modality, _) in paths.items() if modality == name]
        strata.append(_stratum(ledger, name, [results[item] for item in items]))
    before, after = sum(s.bytes for s in strata), sum(s.after for s in strata)
    # Worker processes start in that time too, so for a small sample this is a cautious guess.
    busy = sum(s.coding_seconds for s in strata)
    return {
        "sampled": len(paths),
        "of": total,
        "seed": seed,
        "jobs": jobs,
        "effort": effort,
        "profile": profile,
        "instances": sum(s.instances for s in strata),
        "bytes": before,
        "after": after,
        "error": math.sqrt(sum(s.error**2 for s in strata)),
        "fetch_seconds": 0.0 if source.local("") else fetch_seconds * before / max(fetched_bytes, 1),
        "coding_seconds": busy / max(1, jobs),
        "sample_seconds": round(fetch_seconds + code_seconds, 1),
        "strata": [asdict(stratum) for stratum in strata],
    }


def _fetched(source: Source, landing: FileLanding, row: Row) -> Path | None:
    before = len(landing.files)
    try:
        source.fetch(
            Wanted(
                row.study_uid,
                row.series_uid,
                (row.item,),
                (row.sop_class_uid,) if row.sop_class_uid else (),
                singly=True,
            ),
            landing,
        )
    except PeerError:
        return None
    return landing.files[-1].path if len(landing.files) > before else None


def _stratum(ledger: Ledger, name: str, results: list[FileResult]) -> Stratum:
    ((count, known),) = [
        (row["count"], row["bytes"])
        for row in ledger.groups("modality", "state IN ('todo', 'stored')")
        if (row["modality"] or "none") == name
    ]
    sampled = sum(result.bytes_before for result in results)
    # A file that is kept counts with its own size, one that failed too: it would be kept.
    after = [min(result.bytes_after or result.bytes_before, result.bytes_before) for result in results]
    every = float(known) if known else sampled / max(len(results), 1) * count
    share = sum(after) / sampled if sampled else 1.0
    spread = 0.0
    if len(results) > 1 and sampled:
        # The standard error of a ratio, with the correction for having seen a part of all.
        residuals = [a - share * r.bytes_before for a, r in zip(after, results, strict=True)]
        variance = sum(value**2 for value in residuals) / (len(results) - 1)
        unseen = max(0.0, 1 - len(results) / max(count, 1))
        spread = math.sqrt(unseen * variance / len(results)) / (sampled / len(results)) * every
    seconds = sum(result.seconds for result in results)
    return Stratum(
        name,
        count,
        every,
        len(results),
        sampled,
        sum(after),
        sum(result.status == "kept" for result in results),
        sum(result.status == "failed" for result in results),
        share * every,
        spread,
        seconds / sampled * every if sampled else 0.0,
    )
