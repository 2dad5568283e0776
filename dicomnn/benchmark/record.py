"""Everything that was measured as one JSON object (docs/benchmark.md has its keys)."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from dicomnn.benchmark.conventions import conventions
from dicomnn.benchmark.ours import PREFIX
from dicomnn.benchmark.peers import NEAR, THREADED
from dicomnn.benchmark.ratios import Row, by_group, mean
from dicomnn.benchmark.run import Result
from dicomnn.benchmark.savings import savings, yearly
from dicomnn.benchmark.stacks import PEER, StackedSeries, Stacks, label_of
from dicomnn.benchmark.stages import Stage
from dicomnn.version import library_version

YARDSTICK = "jxl-e7"
SCHEMA = "dicomnn.bench/1"
AnyRow = TypeVar("AnyRow", bound=Row)
LIBRARIES = ("imagecodecs", "pyjpegls", "numpy", "numba", "torch", "pydicom")


def record(result: Result, terabytes: float | None = None) -> dict[str, Any]:
    """Plain values, JSON as they are. `terabytes`: a yearly volume to extrapolate the savings to."""
    return {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": asdict(result.settings) | {"folder": str(result.settings.folder)},
        "conventions": conventions(result),
        "machine": machine(),
        "versions": versions(),
        "model_id": result.model_id,
        "held_out_sources": list(result.held_out),
        "codecs": result.labels(),
        "series": [_series(row, result.stages) for row in result.rows],
        "summary": {scope: summary(rows) for scope, rows in scopes(result.rows, result.held_out).items()},
        "speeds": {codec: asdict(found) for codec, found in result.speeds.items()},
        "neighbours": None if result.stacks is None else _neighbours(result, result.stacks),
        "savings": _savings(result, terabytes),
        "skipped": [
            {"file": item.name, "reason": reason, "detail": item.detail}
            for reason, items in result.folder.skipped().items()
            for item in items
        ],
        "undecodable": [
            {"file": found.name, "reason": found.reason, "detail": found.detail}
            for found in result.undecodable
        ],
        "failed": [
            {"file": name, "codec": codec, "detail": detail} for name, codec, detail in result.problems
        ],
    }


def _savings(result: Result, terabytes: float | None) -> dict[str, Any] | None:
    codec = result.preferred
    if codec is None:
        return None
    parts = savings(result, codec)
    return {
        "codec": codec,
        "folder": [asdict(part) for part in parts],
        "yearly_tb": terabytes,
        "yearly": [asdict(part) for part in yearly(parts, terabytes)] if terabytes else [],
    }


def _neighbours(result: Result, stacks: Stacks) -> dict[str, Any]:
    keys = list(dict.fromkeys(codec for row in stacks.rows for codec in row.sizes))
    ours = [key for key in keys if key != PEER]
    return {
        "group": stacks.group,
        "codecs": {key: label_of(key) for key in keys},
        "series": [_stacked(row, ours) for row in stacks.rows],
        "summary": {
            scope: {
                "ratios": [asdict(found) for key in ours if (found := mean(rows, key, PEER))],
                "bits_per_pixel": bits_per_pixel(rows),
                "tiles": tiles(rows),
            }
            for scope, rows in scopes(stacks.rows, result.held_out).items()
        },
        "left_out": [{"stack": name, "reason": reason} for name, reason in stacks.left_out],
    }


def _stacked(row: StackedSeries, ours: Sequence[str]) -> dict[str, Any]:
    return {
        "series": row.series.key,
        "source": row.series.source,
        "scanner": row.series.scanner,
        "noise": row.noise,
        "slices": row.slices,
        "runs": [len(run) for run in row.runs],
        "spacing": [run.spacing for run in row.runs],
        "pixels": row.sizes[PEER].pixels,
        "codecs": {
            codec: {
                "bytes": size.size,
                "bits_per_pixel": round(size.bits_per_pixel, 5),
                "tiles": size.tiles,
            }
            for codec, size in row.sizes.items()
        },
        "ratios": {key: round(found, 5) for key in ours if (found := row.ratio(key, PEER)) is not None},
    }


def scopes(rows: Sequence[AnyRow], held_out: Sequence[str]) -> dict[str, list[AnyRow]]:
    """All, and, where only some of the sources are the model's test set (`held_out`), those apart."""
    apart = [row for row in rows if row.series.source in held_out]
    if not apart:
        return {"whole folder": list(rows)}
    found = {"held-out sources": apart}
    return found if len(apart) == len(rows) else found | {"whole folder": list(rows)}


def pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(ours, peer) that may be compared: lossless with lossless, a bound with the same NEAR."""
    codecs = list(dict.fromkeys(codec for row in rows for codec in row.sizes))
    ours = [codec for codec in codecs if codec.startswith(PREFIX)]
    peers = [codec for codec in codecs if not codec.startswith((PREFIX, THREADED))]
    return [(a, b) for a in ours for b in peers if bound_of(a) == bound_of(b)]


def bound_of(codec: str) -> int:
    """The largest difference that a codec may leave, 0 for lossless ones."""
    if codec.startswith(NEAR):
        return int(codec.removeprefix(NEAR))
    return int(codec.rpartition(":")[2]) if codec.startswith(PREFIX) and ":bounded:" in codec else 0


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means by group, and what each contender won."""
    return {
        group: {
            "series": sum(not row.noise for row in part),
            "ratios": [asdict(found) for pair in pairs(part) if (found := mean(part, *pair))],
            "bits_per_pixel": bits_per_pixel(part),
            "tiles": tiles(part),
        }
        for group, part in by_group(rows).items()
    }


def bits_per_pixel(rows: Sequence[Row]) -> dict[str, float]:
    """Mean over series, by codec."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for codec, size in row.sizes.items():
            if not row.noise and not codec.startswith(THREADED):
                found.setdefault(codec, []).append(size.bits_per_pixel)
    return {codec: sum(values) / len(values) for codec, values in found.items()}


def tiles(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Tiles won by each contender, by variant of ours."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        for codec, size in row.sizes.items():
            for name, count in size.tiles.items():
                won = found.setdefault(codec, {})
                won[name] = won.get(name, 0) + count
    return found


def _series(row: Row, stages: dict[str, Stage]) -> dict[str, Any]:
    series = row.series
    return {
        "series": series.key,
        "source": series.source,
        "modality": series.modality,
        "group": series.group,
        "thin": series.thin,
        "runs": [len(run) for run in series.runs],
        "scanner": series.scanner,
        "noise": row.noise,
        "files": len(series.units),
        "frames": sum(len(unit.frames) for unit in series.units),
        "pixels": sum(unit.pixels for unit in series.units),
        "codecs": {codec: _codec(row, codec, stage) for codec, stage in stages.items() if codec in row.sizes},
        "ratios": {
            ours: {
                peer: round(found, 5)
                for first, peer in pairs([row])
                if first == ours and (found := row.ratio(ours, peer)) is not None
            }
            for ours in row.sizes
            if ours.startswith(PREFIX)
        },
    }


def _codec(row: Row, codec: str, stage: Stage) -> dict[str, Any]:
    size = row.sizes[codec]
    results = [stage.results[name] for name in size.units]
    megabytes = 2e-6 * size.pixels

    def rate(name: str) -> float | None:
        seconds = sum(getattr(result, name) for result in results)
        return round(megabytes / seconds, 3) if seconds > 0 else None

    return {
        "bytes": size.size,
        "payload_bytes": size.payload,
        "bits_per_pixel": round(size.bits_per_pixel, 5),
        "files": len(size.units),
        "kept": size.kept,
        "tiles": size.tiles,
        "encode_mb_s": rate("encode_cpu"),
        "decode_mb_s": rate("decode_cpu"),
    }


def machine() -> dict[str, Any]:
    """Processor, cores and system: what a speed depends on."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of dicomnn and of the libraries behind the peers."""
    import imagecodecs

    found = {"dicomnn": library_version()} | {name: version(name) for name in LIBRARIES}
    for part in str(imagecodecs.version()).split(", "):
        name, _, number = part.rpartition("-")
        if name in ("charls", "libjxl", "openjpeg", "openjph"):
            found[name] = number
    return found
