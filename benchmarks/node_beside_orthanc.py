"""Our node beside Orthanc in one run: taking in, finding, giving out. `make bench-node` runs it.

    python benchmarks/node_beside_orthanc.py [--json OUT] [--pairs 5] [--rows 100000] [--only ingest,find,get]

Both on the same disk and durable (our syncs on, Orthanc's SyncStorageArea true), started fresh; each
measurement is made in pairs, ours and theirs in turn and in changing order, and what counts is the median of
the pairs' ratios: on a machine that does other things too, only what ran side by side can be compared.

* ingest: objects of 0.5 and 10 MB over 1 and 5 associations, sent by DCMTK's storescu, no coding meanwhile
  (--coding: with workers). Time until the last acknowledgement.
* find: C-FIND at all levels on an association that stays open, until the last answer, at so many instances.
* get: C-GET of the sample studies: as received; coded, the first time; coded, once more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.found_rows import KEYS, fill_orthanc, fill_ours
from benchmarks.peer_orthanc import Orthanc
from demo.modality import Node, Study, fetch, identical, read_study, send
from demo.node import HOST, RunningNode

SIZES = {"0.5 MB": (512, 512, 40), "10 MB": (2304, 2304, 10)}
ASSOCIATIONS = (1, 5)


def pairs(number: int, ours: Callable[[], float], theirs: Callable[[], float]) -> dict[str, Any]:
    """Seconds of both in turn, and the ratio of rates (above 1: ours is faster)."""
    times = []
    for turn in range(number):
        if turn % 2:
            second = theirs()
            times.append((ours(), second))
        else:
            times.append((ours(), theirs()))
    quotients = sorted(theirs / ours for ours, theirs in times)
    return {"pairs": number, "ours_s": median(ours for ours, _ in times),
            "theirs_s": median(theirs for _, theirs in times), "ratio": median(quotients),
            "ratio_lowest": quotients[0], "ratio_highest": quotients[-1]}


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# ------------------------------------------------------------------ taking in
class Objects:
    """Files of one size, each time under new UIDs."""

    def __init__(self, folder: Path, rows: int, columns: int) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._random = random.SystemRandom()
        noise = np.random.default_rng(1).integers(0, 1 << 12, (rows, columns), dtype=np.uint16)
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", self._uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = self._uid(), self._uid()
        data.PatientID, data.PatientName, data.Modality = "BENCH", "BENCH", "CT"
        data.Rows, data.Columns = rows, columns
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.PixelData = noise.tobytes()
        data["PixelData"].VR = "OW"
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / "template"
        data.save_as(path, enforce_file_format=True)
        self._content, self._from = path.read_bytes(), str(data.SOPInstanceUID).encode()
        path.unlink()

    def _uid(self) -> str:
        return "2.25." + "".join(self._random.choices("123456789", k=36))

    def fresh(self, number: int) -> list[Path]:
        for path in self.folder.iterdir():
            path.unlink()
        files = [self.folder / f"{n}.dcm" for n in range(number)]
        for path in files:
            path.write_bytes(self._content.replace(self._from, self._uid().encode()))
        return files


def sent(files: list[Path], associations: int, port: int, title: str) -> float:
    """Seconds until storescu has every acknowledgement. Raises SystemExit when one is missing."""
    shares = [files[start::associations] for start in range(associations)]
    started = time.perf_counter()
    running = [subprocess.Popen(["storescu", "-R", "-aec", title, HOST, str(port), *map(str, share)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for share in shares]
    told = [process.communicate()[0] for process in running]
    seconds = time.perf_counter() - started
    if any(process.returncode for process in running):
        raise SystemExit(f"storescu to {title} failed: {told}")
    return seconds


def ingest(folder: Path, number: int, coding: bool) -> dict[str, Any]:
    node = RunningNode(_new(folder / "ingest"), "" if coding else "[coding]\nworkers = -1\n")
    node.start(180)
    orthanc = Orthanc(folder / "ingest-orthanc")
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else folder
    found: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory(dir=memory) as scratch:
            for size, (rows, columns, count) in SIZES.items():
                objects = Objects(Path(scratch) / size.replace(" ", ""), rows, columns)
                for associations in ASSOCIATIONS:
                    def ours(associations: int = associations, objects: Objects = objects,
                             count: int = count) -> float:
                        return sent(objects.fresh(count), associations, node.address.port, "DICOMNN")

                    def theirs(associations: int = associations, objects: Objects = objects,
                               count: int = count) -> float:
                        return sent(objects.fresh(count), associations, orthanc.dicom_port, "ORTHANC")

                    ours(), theirs()       # warm
                    result = pairs(number, ours, theirs)
                    result |= {"ours_per_s": count / result["ours_s"],
                               "theirs_per_s": count / result["theirs_s"]}
                    found[f"{size}, {associations} associations"] = result
                    print(f"ingest {size}, {associations} associations: {line(result)}", flush=True)
    finally:
        orthanc.stop()
        node.stop()
    return found


# ------------------------------------------------------------------ finding
def find(folder: Path, number: int, rows: int) -> dict[str, Any]:
    from benchmarks.found_rows import Asker

    node = RunningNode(_new(folder / "find"), "[coding]\nworkers = -1\n")
    fill_ours(node.archive, rows)
    node.start(300)
    orthanc = Orthanc(folder / "find-orthanc", SyncStorageArea=False)
    found: dict[str, Any] = {}
    try:
        fill_orthanc(orthanc, rows)
        print(f"{rows} instances in both", flush=True)
        ours, theirs = (Asker(node.address.port, "DICOMNN"), Asker(orthanc.dicom_port, "ORTHANC"))
        for name in KEYS:
            answers: dict[Asker, set[str]] = {}

            def one(asker: Asker, name: str = name, answers: dict[Asker, set[str]] = answers) -> float:
                started = time.perf_counter()
                answers[asker] = asker.ask(name)
                return time.perf_counter() - started

            one(ours), one(theirs)
            if answers[ours] != answers[theirs]:
                print(f"find {name}: {len(answers[ours])} answers of ours, {len(answers[theirs])} of theirs")
            result = pairs(3 * number, partial(one, ours), partial(one, theirs))
            found[name] = result | {"answers": len(answers[ours]), "same": answers[ours] == answers[theirs]}
            print(f"find {name} ({len(answers[ours])} answers): {line(result)}", flush=True)
        ours.close()
        theirs.close()
    finally:
        orthanc.stop()
        node.stop()
    return found


# ------------------------------------------------------------------ giving out
def get(folder: Path, number: int, samples: Path) -> dict[str, Any]:
    studies = [read_study(path) for path in sorted(samples.iterdir()) if list(path.glob("*.dcm"))]
    studies = [study for study in studies if all(         # what Orthanc gives as it came
        image.transfer_syntax_uid == ExplicitVRLittleEndian for image in study.images)]
    found: dict[str, Any] = {}
    for name, more in (("as received", "workers = -1"), ("coded", 'effort = "fast"')):
        node = RunningNode(_new(folder / f"get-{name.replace(' ', '-')}"), f"[coding]\n{more}\n")
        node.start(300)
        orthanc = Orthanc(folder / f"get-orthanc-{name.replace(' ', '-')}")
        ours = Node(HOST, node.address.port, "DICOMNN")
        theirs = Node(HOST, orthanc.dicom_port, "ORTHANC")
        try:
            for study in studies:
                for place in (ours, theirs):
                    send(place, study, lambda _: None)
            while name == "coded" and not _idle(node):
                time.sleep(1)

            if name == "coded":            # each study once: what was decoded before tells nothing
                first = [(fetched(ours, [study]), fetched(theirs, [study])) for study in studies]
                quotients = sorted(other / own for own, other in first)
                found["coded, first time"] = {
                    "pairs": len(first), "ours_s": sum(own for own, _ in first),
                    "theirs_s": sum(other for _, other in first), "ratio": median(quotients),
                    "ratio_lowest": quotients[0], "ratio_highest": quotients[-1]}
                print(f"get coded, first time: {line(found['coded, first time'])}", flush=True)
            result = pairs(number, partial(fetched, ours, studies), partial(fetched, theirs, studies))
            found[name if name == "as received" else "coded, again"] = result
            print(f"get {name}: {line(result)}", flush=True)
        finally:
            orthanc.stop()
            node.stop()
    return found


def fetched(place: Node, chosen: list[Study]) -> float:
    """Seconds for C-GET of these studies."""
    started = time.perf_counter()
    came = [fetch(place, study, lambda _: None) for study in chosen]
    seconds = time.perf_counter() - started
    # Orthanc encodes anew what it takes and gives; ours must be the bytes that were sent.
    if place.ae_title == "DICOMNN" and any(identical(study, images) != len(study.images)
                                           for study, images in zip(chosen, came, strict=True)):
        raise SystemExit("an image did not come back as it was sent")
    return seconds


def _idle(node: RunningNode) -> bool:
    status = node.status()
    return not (status["backlog"] or status["coding"])


def line(result: dict[str, Any]) -> str:
    return (f"ours {1e3 * result['ours_s']:.1f} ms, Orthanc {1e3 * result['theirs_s']:.1f} ms, "
            f"ratio {result['ratio']:.2f} ({result['ratio_lowest']:.2f} to {result['ratio_highest']:.2f}, "
            f"{result['pairs']} pairs)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", default="ingest,find,get")
    parser.add_argument("--coding", action="store_true", help="ingest with workers")
    parser.add_argument("--folder", type=Path, help="where to work; the disk that is to be measured")
    chosen = parser.parse_args()
    samples = Path(__file__).resolve().parent.parent / "sample_data"
    figures: dict[str, Any] = {"processors": os.cpu_count(), "load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="dicomnn-bench-", dir=chosen.folder) as folder:
        for part in chosen.only.split(","):
            if part == "ingest":
                figures[part] = ingest(Path(folder), chosen.pairs, chosen.coding)
            elif part == "find":
                figures[part] = {"rows": chosen.rows, **find(Path(folder), chosen.pairs, chosen.rows)}
            elif part == "get":
                figures[part] = get(Path(folder), chosen.pairs, samples)
    figures["load_after"] = os.getloadavg()
    print(f"load {figures['load_before'][0]:.1f} before, {figures['load_after'][0]:.1f} after, on "
          f"{figures['processors']} processors" + (
              ": the machine did other things too" if figures["load_before"][0] > 0.5 else ""))
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
