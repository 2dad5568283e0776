"""A node under mixed load: senders, queriers and retrievers at once, while workers code.

    python benchmarks/mixed_load.py [--seconds 600] [--senders 3] [--queriers 2] [--retrievers 2] [--json OUT]

Senders send new small studies and slow down while more than --backlog instances wait for workers; queriers
ask for studies that were acknowledged, by UID and by patient, and count; retrievers fetch them, coded or not,
and compare every data set with what was sent. Meanwhile memory and open descriptors of the node and of its
processes are read twice a second. At the end the senders stop, and the backlog must drain.

Exit 0 when no operation failed, the backlog drained, and neither memory nor descriptors grew: the median of
the last quarter against that of the second (the first warms up), by less than --growth and 16 MiB, and by
less than 8 descriptors. The speeds are those of this machine at this time, and nothing is promised about
them."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyFind

from demo.modality import Node, Study, fetch, identical, read_study, send
from demo.node import HOST, RunningNode, free_port

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
SIDE = 96                   # images are cropped to this: many small ones load a node more than few large ones
IMAGES = 4                  # of a study
STUDIES_OF_A_PATIENT = 20
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Shared:
    """What all threads know. sent: acknowledged studies with their patients; errors: what went wrong."""

    node: Node
    metrics: str
    folder: Path
    until: float
    backlog: int
    sent: list[tuple[Study, str]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def any_sent(self) -> tuple[Study, str] | None:
        with self.lock:
            return random.choice(self.sent) if self.sent else None

    def timed(self, kind: str, operation: Callable[[], int]) -> None:
        """One operation: how many instances or answers it brought, and how long it took."""
        begun = time.monotonic()
        count = operation()
        with self.lock:
            self.done[kind] += 1
            self.done[f"{kind} items"] += count
            self.seconds.setdefault(kind, []).append(time.monotonic() - begun)


def backlog(shared: Shared) -> float:
    with urllib.request.urlopen(f"{shared.metrics}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("dicomnn_backlog_instances "):
                return float(line.split()[1])
    raise AssertionError("the node tells no backlog")


# ------------------------------------------------------------------ the three kinds
def new_study(folder: Path, patient: str) -> Study:
    """A few crops of the made CT study, with UIDs of their own."""
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    sources = sorted((SAMPLES / "ct_head").glob("*.dcm"))
    for number in range(IMAGES):
        data = dcmread(random.choice(sources))
        row, column = (random.randrange(side - SIDE) for side in (data.Rows, data.Columns))
        data.PixelData = data.pixel_array[row:row + SIDE, column:column + SIDE].tobytes()
        data.Rows = data.Columns = SIDE
        data.PatientID, data.PatientName = patient, "Load^Test"
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.save_as(folder / f"{number}.dcm")
    return read_study(folder)


def sender(shared: Shared, number: int) -> None:
    count = 0
    while time.monotonic() < shared.until:
        if backlog(shared) > shared.backlog:
            time.sleep(0.2)
            continue
        patient = f"LOAD-{number}-{count // STUDIES_OF_A_PATIENT}"
        study = new_study(shared.folder / f"{number}-{count}", patient)

        def one(study: Study = study) -> int:
            send(shared.node, study, lambda _image: None)
            return len(study.images)

        shared.timed("store", one)
        for image in study.images:
            image.path.unlink()
        with shared.lock:
            shared.sent.append((study, patient))
        count += 1


def querier(shared: Shared, number: int) -> None:
    while time.monotonic() < shared.until:
        known = shared.any_sent()
        if known is None:
            time.sleep(0.1)
            continue
        study, patient = known
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study.study_instance_uid
        query.NumberOfStudyRelatedInstances, query.PatientID = None, ""
        expected = {study.study_instance_uid}
        if random.random() < 0.5:
            query.StudyInstanceUID, query.PatientID = "", patient
            with shared.lock:
                expected = {s.study_instance_uid for s, p in shared.sent if p == patient}

        def one(query: Dataset = query, expected: set[str] = expected) -> int:
            found = find(shared.node, query)
            assert expected <= found, f"C-FIND did not find {len(expected - found)} acknowledged studies"
            return len(found)

        shared.timed("find", one)


def find(node: Node, query: Dataset) -> set[str]:
    association = AE("VIEWER").associate(node.host, node.port, ae_title=node.ae_title,
                                         contexts=[build_context(StudyFind)])
    assert association.is_established, "no association for C-FIND"
    try:
        found, status = set(), None
        for answer, identifier in association.send_c_find(query, StudyFind):
            status = answer.get("Status")
            if identifier is not None:
                assert int(identifier.NumberOfStudyRelatedInstances) <= IMAGES
                found.add(str(identifier.StudyInstanceUID))
        assert status == 0, f"C-FIND ended with {status}"
        return found
    finally:
        association.release()


def retriever(shared: Shared, number: int) -> None:
    while time.monotonic() < shared.until:
        known = shared.any_sent()
        if known is None:
            time.sleep(0.1)
            continue
        study = known[0]

        def one(study: Study = study) -> int:
            came = fetch(shared.node, study, lambda _image: None)
            same = identical(study, came)
            assert same == len(study.images), f"{len(study.images) - same} images did not come back as sent"
            return same

        shared.timed("get", one)


def guarded(kind: Callable[[Shared, int], None], shared: Shared, number: int) -> None:
    """An error ends neither the thread nor the run; it is counted."""
    while time.monotonic() < shared.until:
        try:
            kind(shared, number)
        except Exception as error:  # noqa: BLE001 - this is what the run is for
            with shared.lock:
                shared.errors.append(f"{kind.__name__}: {type(error).__name__}: {error}")


# ------------------------------------------------------------------ what the processes take
def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += tree(int(child))
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.name != str(pid):
                for child in (task / "children").read_text().split():
                    found += tree(int(child))
    except OSError:
        pass
    return found


def taken(pid: int) -> tuple[int, int]:
    """(resident bytes, open descriptors)."""
    return (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE,
            len(list(Path(f"/proc/{pid}/fd").iterdir())))


@dataclass
class Watch:
    """Samples of (seconds, node's bytes, others' bytes, node's descriptors, others' descriptors)."""

    pid: int
    samples: list[tuple[float, ...]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        begun = time.monotonic()
        while not stop.wait(0.5):
            try:
                node, *others = [taken(pid) for pid in tree(self.pid)]
            except OSError:
                continue        # one ended between the list and the look
            self.samples.append((time.monotonic() - begun, node[0], sum(b for b, _ in others), node[1],
                                 sum(f for _, f in others)))

    def growth(self) -> dict[str, tuple[float, float]]:
        """By what is measured: the medians of the second and of the last quarter."""
        quarter = max(1, len(self.samples) // 4)
        second, last = self.samples[quarter:2 * quarter] or self.samples, self.samples[-quarter:]
        names = ("node bytes", "worker bytes", "node descriptors", "worker descriptors")
        return {name: (statistics.median(s[n] for s in second), statistics.median(s[n] for s in last))
                for n, name in enumerate(names, 1)}


def grew(name: str, before: float, after: float, growth: float) -> bool:
    return after - before > (8 if "descriptors" in name else max(16 << 20, growth * before))


# ------------------------------------------------------------------ the run
def run(options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="dicomnn-load-") as name:
        folder, port = Path(name), free_port()
        node = RunningNode(folder, f'[coding]\neffort = "fast"\n[metrics]\nenabled = true\nport = {port}\n'
                                   "[log]\nlevel = \"warning\"\n")
        node.start()
        stop = threading.Event()
        try:
            assert node.process is not None
            watch = Watch(node.process.pid)
            (folder / "made").mkdir()
            shared = Shared(node.address, f"http://{HOST}:{port}", folder / "made",
                            time.monotonic() + options.seconds, options.backlog)
            threads = [threading.Thread(target=guarded, args=(kind, shared, n), daemon=True)
                       for kind, count in ((sender, options.senders), (querier, options.queriers),
                                           (retriever, options.retrievers)) for n in range(count)]
            watching = threading.Thread(target=watch.run, args=(stop,), daemon=True)
            for thread in [watching, *threads]:
                thread.start()
            for thread in threads:
                thread.join(options.seconds + 300)
            stuck = sum(thread.is_alive() for thread in threads)
            stop.set()
            watching.join()
            begun, peak = time.monotonic(), backlog(shared)
            while backlog(shared) and time.monotonic() - begun < options.drain:
                time.sleep(0.5)
            left, drained = backlog(shared), time.monotonic() - begun
            status = node.status()
            shared.until = time.monotonic() + 1.0
            return _verdict(options, shared, watch, stuck, peak, left, drained, status)
        finally:
            stop.set()
            node.stop()


def _verdict(options: argparse.Namespace, shared: Shared, watch: Watch, stuck: int, peak: float, left: float,
             drained: float, status: dict[str, object]) -> dict[str, object]:
    growth = watch.growth()
    problems = [*shared.errors[:20], *([f"{stuck} threads did not come back"] if stuck else []),
                *([f"{left:.0f} instances still wait after {drained:.0f} s"] if left else []),
                *(f"{name} grew from {a:.0f} to {b:.0f}" for name, (a, b) in growth.items()
                  if grew(name, a, b, options.growth))]
    for kind in ("store", "find", "get"):
        if not shared.done[kind]:
            problems.append(f"no {kind} was done")
    if status["failures"] or status["conflicts"]:
        problems.append(f"failures {status['failures']}, conflicts {status['conflicts']}")
    return {
        "seconds": options.seconds, "operations": dict(shared.done), "errors": len(shared.errors),
        "median_seconds": {kind: round(statistics.median(times), 4)
                           for kind, times in shared.seconds.items()},
        "backlog_at_end": peak, "drained_seconds": round(drained, 1), "growth": growth,
        "coded": status["coded"], "kept": status["kept"], "problems": problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind, default in (("seconds", float, 600.0), ("senders", int, 3), ("queriers", int, 2),
                                ("retrievers", int, 2), ("backlog", int, 60), ("drain", float, 300.0),
                                ("growth", float, 0.1)):
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default {default}")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    operations, medians = result["operations"], result["median_seconds"]
    assert isinstance(operations, dict) and isinstance(medians, dict)
    for kind in ("store", "find", "get"):
        items = operations.get(f"{kind} items", 0)
        print(f"{kind:<6} {operations.get(kind, 0):>7} operations, {items:>7} items, "
              f"median {medians.get(kind, 0):.3f} s")
    growth = result["growth"]
    assert isinstance(growth, dict)
    for name, (before, after) in growth.items():
        print(f"{name:<20} {before:>14.0f} -> {after:>14.0f}")
    print(f"backlog {result['backlog_at_end']:.0f} at the end, drained in {result['drained_seconds']} s; "
          f"{result['coded']} coded, kept {result['kept']}")
    problems = result["problems"]
    assert isinstance(problems, list)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("mixed load: " + ("not good" if problems else "all good"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
