"""How small files get that a model never saw, beside tiled JPEG-LS, in whole payloads (real bytes).

    python benchmarks/unseen.py FOLDER [--sources a,b,...] [--effort default] [--json OUT]

FOLDER holds <source>/<series>/<file>; without --sources those are taken that the newest model's
manifest lists as its test set. Every payload is decoded and compared. Beside the codec as it is: the
same without the tile code, the same without the network (three predictors' mean, plain scale), and
tiled JPEG-LS (the same container and planes, no neural contender).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.codec.autoencoder import SMALLEST_MAP
from dicomnn.codec.contenders import neural
from dicomnn.codec.decode import decode, read_header
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model, to_bytes
from dicomnn.codec.profile import Profile
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import opened
from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import judge
from dicomnn.dicom.scan import scan
from dicomnn.shelf import default_shelf

LOSSLESS = Profile.parse("lossless")
VARIANTS = ("ours", "no-code", "no-network", "jpegls")


def without_network(model: Model) -> Model:
    """The model with outputs held at: no correction of mean or scale, middle tail class."""
    arrays = dict(model.arrays)
    arrays["causal3"] = np.zeros_like(arrays["causal3"])
    arrays["causal3_bias"] = np.array([0, 0, 3 << 14], dtype=np.int32)
    return Model.from_bytes(to_bytes(arrays, {"about": "network off"}))


def zero_code(model: Model, maps: np.ndarray) -> np.ndarray:
    """What the encoder sends when it has nothing to say."""
    assert min(maps.shape[2:]) >= SMALLEST_MAP
    return np.zeros((len(maps), 16), dtype=np.int64)


def measure(job: tuple[str, str]) -> dict[str, Any]:
    """Payload bytes of each variant for one file, and our tiles' winners."""
    path, effort = Path(job[0]), job[1]
    model = default_shelf().newest()
    off = without_network(model)
    mapping = Mapping(path)
    layout = scan(mapping.buffer)
    image = read_image_pixel(mapping.buffer, layout)
    attributes = read_attributes(mapping.buffer, layout)
    verdict = judge(layout, image, attributes, profile_kind="lossless")
    row: dict[str, Any] = {
        "path": str(path),
        "modality": attributes.modality or "?",
        "reason": verdict.reason,
    }
    if not verdict.eligible or image is None:
        return row
    with opened(mapping, layout, image, folder=None) as original:
        frames, sample_format = np.array(original.frames), original.sample_format
    started = time.thread_time()
    ours = bytes(encode(frames, sample_format, profile=LOSSLESS, model=model, effort=effort))
    row["encode_seconds"] = time.thread_time() - started
    started = time.thread_time()
    if not np.array_equal(decode(ours, lambda _: model), frames):
        raise SystemExit(f"{path} did not come back")
    row["decode_seconds"] = time.thread_time() - started
    learned = neural.tile_code
    try:
        neural.tile_code = zero_code
        plain = encode(frames, sample_format, profile=LOSSLESS, model=model, effort=effort)
        bare = encode(frames, sample_format, profile=LOSSLESS, model=off, effort=effort)
    finally:
        neural.tile_code = learned
    peer = encode(frames, sample_format, profile=LOSSLESS, model=None, effort=effort)
    methods = np.bincount(read_header(ours).tile_methods, minlength=4).tolist()
    return row | {
        "pixels": int(frames.size),
        "tiles": methods,
        "ours": len(ours),
        "no-code": len(plain),
        "no-network": len(bare),
        "jpegls": len(peer),
    }


def group_of(row: dict[str, Any]) -> str:
    return row["modality"] if row["modality"] in ("CT", "MR") else "X-ray"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: by group and in all."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[group_of(row)].append(row)
    ctmr = groups["CT"] + groups["MR"]
    lines = [
        "| group | files | tiles won by neural | bits/pixel | ours / JPEG-LS | no code | no network |"
        " encode, decode us/pixel |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, part in [*sorted(groups.items()), ("CT + MR", ctmr), ("all", rows)]:
        if not part:
            continue
        total = {v: sum(r[v] for r in part) for v in VARIANTS}
        tiles = np.sum([r["tiles"] for r in part], axis=0)
        contested = max(tiles.sum() - tiles[2], 1)
        pixels = sum(r["pixels"] for r in part)
        seconds = [sum(r[k] for r in part) / pixels * 1e6 for k in ("encode_seconds", "decode_seconds")]
        lines.append(
            f"| {name} | {len(part)} | {tiles[0]} of {contested} ({100 * tiles[0] / contested:.1f} %) |"
            f" {8 * total['ours'] / pixels:.3f} | {total['ours'] / total['jpegls']:.4f} |"
            f" {total['no-code'] / total['jpegls']:.4f} | {total['no-network'] / total['jpegls']:.4f} |"
            f" {seconds[0]:.1f}, {seconds[1]:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sources", default="")
    parser.add_argument("--effort", default="default")
    parser.add_argument("--most", type=int, default=0, help="files of a series at most, evenly; 0 takes all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = default_shelf().newest()
    sources = [s for s in arguments.sources.split(",") if s] or model.about["test"]
    paths = [p for s in sources for p in sorted((arguments.folder / s).rglob("*.dcm"))]
    if arguments.most:
        series: dict[Path, list[Path]] = defaultdict(list)
        for path in paths:
            series[path.parent].append(path)
        paths = [p for part in series.values() for p in part[:: -(-len(part) // arguments.most)]]
    print(
        f"model {model.id}, {len(paths)} files of {len(sources)} sources that it was not trained on",
        file=sys.stderr,
    )
    rows, started = [], time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for n, row in enumerate(pool.map(measure, [(str(p), arguments.effort) for p in paths]), 1):
            rows.append(row)
            if sys.stderr.isatty() or n % 20 == 0:
                spent = time.monotonic() - started
                print(f"{n} of {len(paths)}, {spent / n * (len(paths) - n):.0f} s left", file=sys.stderr)
    done = [r for r in rows if r["reason"] is None]
    for row in rows:
        if row["reason"] is not None:
            print(f"not coded: {row['path']}: {row['reason']}")
    print(table(done))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"model": model.id, "effort": arguments.effort, "rows": rows}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
