"""A folder of real files through a running node and back, compared byte by byte.

    python benchmarks/round_trip.py FOLDER --client RAW_SCU.py [--decompressed] [--keep DIR]

Sends every Part 10 file over C-STORE as the bytes that it is (the client is a script with `send` and
`get` commands that never decode a data set), waits until the backlog has drained, fetches every study
over C-GET, and compares: native input byte-identical; losslessly encapsulated input with identical
pixels and all other elements unchanged. With --decompressed the files sent are native copies of the
folder's encapsulated ones, under new UIDs. Prints a table of coded and kept with reasons, the sizes,
what the store still holds, and the largest resident memory of node and workers. Exit 0 when all is well.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian

from demo.node import HOST, RunningNode
from dicomnn.dicom.attributes import read_image_pixel
from dicomnn.dicom.encapsulated import decode_frames
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import syntax


def load_client(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("raw_client", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["raw_client"] = module
    spec.loader.exec_module(module)
    return module


def decompressed_copies(folder: Path, out: Path) -> Path:
    """Native copies (Explicit VR Little Endian, new SOP Instance UIDs) of the encapsulated files."""
    out.mkdir(parents=True)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        layout = scan(raw)
        if not syntax(layout.transfer_syntax).encapsulated:
            continue
        image = read_image_pixel(raw, layout)
        if image is None:
            continue
        frames = np.stack(list(decode_frames(raw, layout, image)))
        dataset = pydicom.dcmread(path)
        value = frames.tobytes()
        dataset.PixelData = value + b"\0" * (len(value) % 2)
        dataset["PixelData"].VR = "OW" if frames.dtype.itemsize == 2 else "OB"
        dataset["PixelData"].is_undefined_length = False
        digest = int(hashlib.sha256(raw).hexdigest()[:30], 16)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{digest}"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(out / f"{digest:x}.dcm", enforce_file_format=True)
    return out


def same_but_for_pixels(sent: Path, fetched: Path) -> str:
    """'' when pixels are equal and all other elements too; else what differs."""
    raws = sent.read_bytes(), fetched.read_bytes()
    pixels = []
    for raw in raws:
        layout = scan(raw)
        image = read_image_pixel(raw, layout)
        if image is None:
            return "no Image Pixel module"
        if syntax(layout.transfer_syntax).encapsulated:
            pixels.append(b"".join(f.tobytes() for f in decode_frames(raw, layout, image)))
        else:
            assert layout.pixel_data is not None
            pixels.append(raw[layout.pixel_data.value_start : layout.pixel_data.end])
    if pixels[0] != pixels[1][: len(pixels[0])] or any(pixels[1][len(pixels[0]) :]):
        return "pixels differ"
    datasets = [pydicom.dcmread(io.BytesIO(raw)) for raw in raws]
    for dataset in datasets:
        for keyword in ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in dataset:
                del dataset[keyword]
    return "" if datasets[0] == datasets[1] else "an element other than Pixel Data differs"


def high_water(pids: list[int]) -> dict[int, int]:
    """Largest resident size so far of each living process, MiB."""
    found = {}
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        found[pid] = max(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
    return found


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def run(arguments: argparse.Namespace, place: Path) -> int:
    client = load_client(arguments.client)
    folder = arguments.folder
    if arguments.decompressed:
        folder = decompressed_copies(folder, place / "copies")
    items, unreadable = client.items_in([folder], say=False)
    print(f"{len(items)} files to send, {unreadable} without usable File Meta", flush=True)
    node = RunningNode(place)
    node.start()
    assert node.process is not None
    address = [HOST, str(node.address.port)]
    bad = 0
    try:
        started = time.monotonic()
        log = io.StringIO()
        with redirect_stdout(log):
            client.main(["send", *address, "--aec", node.address.ae_title, "--timeout", "300", str(folder)])
        refused = [
            line for line in log.getvalue().splitlines() if line.split(" ")[0] in ("FAIL", "LOST", "NOCTX")
        ]
        warned = [line for line in log.getvalue().splitlines() if line.startswith("WARN")]
        print(log.getvalue().splitlines()[-1], f"in {time.monotonic() - started:.0f} s", flush=True)
        print(*refused, *warned, sep="\n")
        idle = node.ask("status", "--archive", str(node.archive), "--wait-idle", str(arguments.patience))
        print(
            f"backlog drained after {time.monotonic() - started:.0f} s; largest memory of node and workers,"
            f" MiB: {sorted(high_water(family(node.process.pid)).values())}",
            flush=True,
        )
        objects = sum(1 for path in (node.archive / "objects").rglob("*") if path.is_file())
        wanted = idle["coded"] + sum(idle["kept"].values()) + idle["conflicts"]
        print(f"objects in the store: {objects}; coded, kept and conflicting instances: {wanted}", flush=True)
        bad += objects != wanted
        bad += fetch_and_compare(client, node, items, place / "fetched", len(refused))
        print(json.dumps(idle, indent=1))
    finally:
        node.stop()
    return 1 if bad else 0


def fetch_and_compare(
    client: ModuleType, node: RunningNode, items: list[Any], out: Path, refused: int
) -> int:
    """C-GET of every study; counts what did not come back as it should."""
    studies: dict[str, list[Any]] = defaultdict(list)
    for item in items:
        studies[
            str(
                pydicom.dcmread(item.path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).get(
                    "StudyInstanceUID", ""
                )
            )
        ].append(item)
    verdicts: Counter[str] = Counter()
    bad = 0
    for number, (uid, sent) in enumerate(sorted(studies.items())):
        place = out / str(number)
        log = io.StringIO()
        with redirect_stdout(log):
            client.main(
                [
                    "get",
                    HOST,
                    str(node.address.port),
                    "--aec",
                    node.address.ae_title,
                    "--out",
                    str(place),
                    "--timeout",
                    "300",
                    "--key",
                    f"StudyInstanceUID={uid}",
                    "--sop",
                    *sorted({i.sop_class for i in sent}),
                    "--ts",
                    *sorted({i.syntax for i in sent} | {str(ExplicitVRLittleEndian)}),
                ]
            )
        got: dict[str, list[Any]] = defaultdict(list)
        if place.is_dir():
            for item in client.items_in([place], say=False)[0]:
                got[item.instance].append(item)
        for item in sent:
            back = got.get(item.instance, [])
            if any(b.wire == item.wire and b.syntax == item.syntax for b in back):
                verdicts["data set byte-identical"] += 1
            elif (
                back and syntax(item.syntax).encapsulated and not same_but_for_pixels(item.path, back[0].path)
            ):
                verdicts["pixels identical, other elements unchanged"] += 1
            else:
                bad += 1
                print(
                    f"NOT BACK {item.path} {item.syntax} {'differs' if back else 'missing'}"
                    f" {log.getvalue().splitlines()[-2:]}"
                )
    print(
        f"studies {len(studies)}:",
        dict(verdicts),
        f"not as sent: {bad} (refused at sending: {refused})",
        flush=True,
    )
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--client", type=Path, required=True)
    parser.add_argument("--decompressed", action="store_true")
    parser.add_argument("--patience", type=float, default=3600)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True)
        return run(arguments, arguments.keep)
    with tempfile.TemporaryDirectory(prefix="dicomnn-round-trip-") as place:
        return run(arguments, Path(place))


if __name__ == "__main__":
    sys.exit(main())
