"""`dicomnn evaluate`: a model's real bytes on images, beside JPEG-LS and JPEG XL on the same planes.

Conventions. Ours is the whole payload (container, tables, checksums), decoded and compared. JPEG-LS is the
same container and tiles without the learned contender. JPEG XL is libjxl, lossless, effort 7, one thread,
one codestream a frame, of the whole frame with its minimum subtracted (8 bit samples below 256), decoded
and compared. A ratio is a series' bytes over the other codec's bytes for the same frames; groups give the
mean of their series' ratios, so that long series do not weigh more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np

from dicomnn.codec.decode import decode, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.codec.tiles import METHODS
from dicomnn.errors import DicomnnError, TrainingError
from dicomnn.shelf import Shelf
from dicomnn.training.card import table
from dicomnn.training.images import reading
from dicomnn.training.images.records import NotUsable, PlaneRecord
from dicomnn.training.stopping import Stop, Teller
from dicomnn.version import library_version

SCHEMA = "dicomnn.evaluate/1"
LOSSLESS = Profile("lossless")
JPEG_XL_EFFORT = 7
CODECS = ("ours", "jpegls", "jpegxl")
RESAMPLES = 2000


def evaluate(
    model: Model,
    planes: Sequence[PlaneRecord],
    shelf: Shelf,
    *,
    effort: str = "default",
    threads: int = 1,
    side: str = "all",
    level: str = "",
    teller: Teller | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """The report (see `dicomnn evaluate --help`) over all ``planes``; those of one file make one payload.

    Raises TrainingError when a codec does not give the pixels back, Interrupted when asked to stop.
    """
    files: dict[str, list[PlaneRecord]] = defaultdict(list)
    for plane in planes:
        files[plane.file.path].append(plane)
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for number, (path, row) in enumerate(_rows(model, files, shelf, effort, threads), 1):
        if stop is not None:
            stop.check()
        if isinstance(row, str):
            failed.append({"path": path, "detail": row})
        else:
            rows.append(row)
        if teller is not None:
            teller.progress("measuring images", number, len(files))
    series = _by_series(rows)
    groups = {name: _group(part) for name, part in _grouped(series) if part}
    return {
        "schema": SCHEMA,
        "library_version": library_version(),
        "model_id": model.id,
        "effort": effort,
        "side": side,
        "level": level,
        "images": len(rows),
        "failed": failed,
        "groups": groups,
        "series": series,
    }


def _rows(
    model: Model, files: dict[str, list[PlaneRecord]], shelf: Shelf, effort: str, threads: int
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    def work(item: tuple[str, list[PlaneRecord]]) -> tuple[str, dict[str, Any] | str]:
        path, members = item
        try:
            return path, measure_file(model, members, shelf, effort)
        except NotUsable as why:
            return path, f"{why.reason} {why.detail}".strip()
        except TrainingError:
            raise
        except DicomnnError as error:
            return path, str(error)

    with ThreadPoolExecutor(threads, thread_name_prefix="dicomnn-evaluate") as pool:
        items = list(files.items())
        for start in range(0, len(items), 2 * threads):
            yield from pool.map(work, items[start : start + 2 * threads])


def measure_file(model: Model, planes: Sequence[PlaneRecord], shelf: Shelf, effort: str) -> dict[str, Any]:
    """Bytes of each codec for the catalogued frames of one file. Raises NotUsable, TrainingError."""
    file = planes[0].file
    read = [reading.frame(file, plane.frame, shelf) for plane in planes]
    words, sample_format = np.stack([frame for frame, _ in read]), read[0][1]
    payload = bytes(encode(words, sample_format, profile=LOSSLESS, model=model, effort=effort))
    if not np.array_equal(decode(payload, lambda _: model), words):
        raise TrainingError("The payload did not give the pixels back.", subject=file.path)
    tiled = encode(words, sample_format, profile=LOSSLESS, model=None, effort=effort)
    methods = np.bincount(read_header(payload).tile_methods, minlength=len(METHODS))
    return {
        "file": file,
        "planes": len(planes),
        "pixels": int(words.size),
        "ours": len(payload),
        "jpegls": len(tiled),
        "jpegxl": sum(jpeg_xl_bytes(reading.plane_of(frame, sample_format), file.path) for frame in words),
        "tiles": {name: int(count) for name, count in zip(METHODS, methods, strict=True)},
    }


def jpeg_xl_bytes(plane: np.ndarray, subject: str) -> int:
    """Length of a plane's lossless JPEG XL codestream, decoded and compared. Raises TrainingError."""
    samples = plane.astype(np.uint8) if int(plane.max()) < 256 else plane
    data = imagecodecs.jpegxl_encode(samples, effort=JPEG_XL_EFFORT, lossless=True, numthreads=1)
    if not np.array_equal(imagecodecs.jpegxl_decode(data, numthreads=1), samples):
        raise TrainingError("JPEG XL did not give the pixels back.", subject=subject)
    return len(data)


def _by_series(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    parts: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        parts[(row["file"].source, row["file"].series)].append(row)
    found = []
    for (source, series), members in sorted(parts.items()):
        file, pixels = members[0]["file"], sum(m["pixels"] for m in members)
        total = {codec: sum(m[codec] for m in members) for codec in CODECS}
        found.append(
            {
                "source": source,
                "series": series,
                "group": file.group,
                "modality": file.modality,
                "scanner": file.scanner,
                "images": len(members),
                "planes": sum(m["planes"] for m in members),
                "pixels": pixels,
                "bytes": total,
                "bits_per_pixel": {codec: round(8 * total[codec] / pixels, 4) for codec in CODECS},
                "ratio_to_jpegls": round(total["ours"] / total["jpegls"], 4),
                "ratio_to_jpegxl": round(total["ours"] / total["jpegxl"], 4),
                "tiles": {name: sum(m["tiles"][name] for m in members) for name in METHODS},
            }
        )
    return found


def _grouped(series: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for group in sorted({one["group"] for one in series}):
        yield group, [one for one in series if one["group"] == group]
    yield "CT + MR", [one for one in series if one["group"] in ("CT", "MR")]
    yield "all", list(series)


def _group(series: Sequence[dict[str, Any]]) -> dict[str, Any]:
    pixels = sum(one["pixels"] for one in series)
    found: dict[str, Any] = {
        "series": len(series),
        "images": sum(one["images"] for one in series),
        "planes": sum(one["planes"] for one in series),
        "bits_per_pixel": {
            codec: round(8 * sum(one["bytes"][codec] for one in series) / pixels, 4) for codec in CODECS
        },
    }
    for codec in CODECS[1:]:
        ratios = np.array([one[f"ratio_to_{codec}"] for one in series])
        low, high = interval(ratios)
        found[f"ratio_to_{codec}"] = {
            "mean": round(float(ratios.mean()), 4),
            "low": low,
            "high": high,
            "median": round(float(np.median(ratios)), 4),
            "worst": round(float(ratios.max()), 4),
        }
    tiles = {name: sum(one["tiles"][name] for one in series) for name in METHODS}
    found["tiles_won"] = round(tiles["neural"] / max(sum(tiles.values()) - tiles["constant"], 1), 4)
    return found


def interval(ratios: np.ndarray) -> tuple[float | None, float | None]:
    """95 % bootstrap interval of the mean over series; None below five series."""
    if len(ratios) < 5:
        return None, None
    picks = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(ratios[picks].mean(1), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def without_names(report: dict[str, Any]) -> dict[str, Any]:
    """The report as it may lie beside a model that leaves: no sources, no digests, no paths."""
    series = [{key: one[key] for key in one if key not in ("source", "series")} for one in report["series"]]
    return report | {"series": series, "failed": len(report["failed"])}


def as_table(report: dict[str, Any]) -> str:
    """Groups as Markdown, for terminal and card."""
    rows = []
    for name, group in report["groups"].items():
        row: list[object] = [name, group["series"], group["images"]]
        row += [f"{group['bits_per_pixel'][codec]:.3f}" for codec in CODECS]
        for codec in CODECS[1:]:
            r = group[f"ratio_to_{codec}"]
            span = f" ({r['low']:.3f}..{r['high']:.3f})" if r["low"] is not None else ""
            row.append(f"{r['mean']:.4f}{span}, {r['median']:.4f}, {r['worst']:.3f}")
        rows.append([*row, f"{100 * group['tiles_won']:.1f} %"])
    head = ["group", "series", "images", "bits/pixel", "JPEG-LS tiled", "JPEG XL e7"]
    head += [f"ours / {name}: mean, median, worst" for name in ("JPEG-LS", "JPEG XL")] + ["tiles won"]
    return table(head, rows)


def series_table(report: dict[str, Any]) -> str:
    """Every series, the worst first."""
    rows = [
        [one["group"], one["scanner"], one["series"][:8], one["images"]]
        + [f"{one['bits_per_pixel'][codec]:.3f}" for codec in CODECS]
        + [f"{one['ratio_to_jpegls']:.3f}", f"{one['ratio_to_jpegxl']:.3f}"]
        for one in sorted(report["series"], key=lambda one: -one["ratio_to_jpegxl"])
    ]
    head = [
        "group",
        "scanner",
        "series",
        "images",
        "bits/pixel",
        "JPEG-LS",
        "JPEG XL",
        "/ JPEG-LS",
        "/ JPEG XL",
    ]
    return table(head, rows)
