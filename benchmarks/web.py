"""Our DICOMweb beside Orthanc's, on one machine in one run: `make bench-web`, or

    python -m benchmarks.web [--out DIR] [--slices 200] [--studies 300] [--rounds 5] [--effort default]

Both get the same made CT of 512 x 512 slices and the same small studies by STOW-RS; ours codes the CT before
anything is measured. Each round restarts both, so nothing is in any cache of theirs (the files are in that of
the system, for both), asks a study of its own for a frame so that code is loaded, and then measures, ours and
Orthanc's by turns. Printed and written are medians with the smallest and largest round, and the ratio ours to
Orthanc round by round: below 1 we are faster.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from demo.node import HOST, RunningNode, free_port

CHECKOUT = Path(__file__).resolve().parent.parent
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
OCTETS = 'multipart/related; type="application/octet-stream"'
FILES = 'multipart/related; type="application/dicom"'
PARALLEL = 6            # connections of a browser to one server
STUDY, SERIES = "2.25.7700", "2.25.7701"
WARM_STUDY = ("2.25.7800", "2.25.7801", "2.25.7802")


# ------------------------------------------------------------------ what is measured on
def slices(count: int) -> list[bytes]:
    """A CT of ``count`` slices: a made head, moved from slice to slice, each with noise of its own."""
    dataset = pydicom.dcmread(CHECKOUT / "sample_data" / "ct_head" / "ct_01.dcm")
    base, noise = dataset.pixel_array, np.random.default_rng(7)
    inside = base > base.min() + 200
    files = []
    for number in range(count + 1):
        moved = np.roll(base, (number % 23 - 11, number % 17 - 8), (0, 1)).astype(np.int32)
        moved += (noise.normal(0, 6, base.shape) * np.roll(inside, number % 23 - 11, 0)).astype(np.int32)
        low, high = int(base.min()), int(base.max())
        dataset.PixelData = np.clip(moved, low, high).astype(base.dtype).tobytes()
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient = [0, 0, number]
        if number == count:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID, uid = WARM_STUDY
        else:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
            uid = f"2.25.77{number + 1000}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        files.append(written(dataset))
    return files


def small_studies(count: int) -> list[bytes]:
    """Studies of one object without pixels, for the list to have rows."""
    source = pydicom.dcmread(CHECKOUT / "sample_data" / "ct_thorax" / "ct_01.dcm")
    del source.PixelData
    files = []
    for number in range(count):
        source.PatientID, source.PatientName = f"BENCH-{number:05}", f"Row^{number:05}"
        source.StudyInstanceUID, source.SeriesInstanceUID = f"2.25.9{number}", f"2.25.9{number}1"
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = f"2.25.9{number}11"
        source.StudyDate = f"2024{number % 12 + 1:02}{number % 28 + 1:02}"
        files.append(written(source))
    return files


def written(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


# ------------------------------------------------------------------ the two servers
class Client:
    """Requests to one server over connections that stay open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection(HOST, port, timeout=600)

    def ask(self, path: str, accept: str = "application/dicom+json", body: bytes | None = None,
            kind: str = "") -> bytes:
        headers = {"Accept": accept, **({"Content-Type": kind} if kind else {})}
        self._connection.request("POST" if body is not None else "GET", "/dicom-web" + path, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise SystemExit(f"port {self._port}: {answer.status} for {path}: {data[:300]!r}")
        return data

    def store(self, files: list[bytes]) -> None:
        for start in range(0, len(files), 50):
            parts = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n"
                             for each in files[start:start + 50])
            self.ask("/studies", body=parts + b"--b--\r\n", kind=f"{FILES}; boundary=b")


class Ours(RunningNode):
    """The node, for a folder that stays over restarts."""

    name = "ours"

    @property
    def port(self) -> int:
        return self.web_port


class Orthanc:
    """Debian's Orthanc with its DICOMweb plugin, synced to disk as ours is."""

    name = "orthanc"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "orthanc.json").write_text(json.dumps({
            "DicomServerEnabled": False, "HttpPort": self.port, "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"), "Plugins": [PLUGIN], "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "SyncStorageArea": True, "HttpThreadsCount": 50,
            "LimitFindResults": 0, "LimitFindInstances": 0,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full",
                         "SeriesMetadata": "Full"}}))

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["Orthanc", str(self._folder / "orthanc.json")], stdout=log,
                                             stderr=log)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                Client(self.port).ask("/studies?limit=1")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("Orthanc did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)


# ------------------------------------------------------------------ measuring
def frame(number: int) -> str:
    return f"/studies/{STUDY}/series/{SERIES}/instances/2.25.77{number + 1000}/frames/1"


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def repeated(work: Callable[[], object], times: int = 9) -> float:
    """The median of some calls."""
    return statistics.median(seconds(work) for _ in range(times))


def all_frames(port: int, count: int, connections: int) -> float:
    """Every frame once, over so many connections."""
    clients = [Client(port) for _ in range(connections)]

    def share(place: int) -> None:
        for number in range(place, count, connections):
            clients[place].ask(frame(number), OCTETS)

    def work() -> None:
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(share, range(connections)))

    return seconds(work)


def stored(port: int, files: list[bytes]) -> float:
    """All files by STOW-RS."""
    return seconds(lambda: Client(port).store(files))


@dataclass
class Step:
    """One figure. It is taken from both before the next one begins."""

    name: str
    measure: Callable[[int], float]


def steps(count: int) -> list[Step]:
    middle = count // 2
    series = f"/studies/{STUDY}/series/{SERIES}"

    def once(path: str, accept: str = "application/dicom+json") -> Callable[[int], float]:
        return lambda port: seconds(lambda: Client(port).ask(path, accept))

    def often(path: str, accept: str = "application/dicom+json") -> Callable[[int], float]:
        def measure(port: int) -> float:
            client = Client(port)
            client.ask(path, accept)
            return repeated(lambda: client.ask(path, accept))
        return measure

    png = "image/png"
    rendered = frame(middle) + "/rendered"
    return [
        Step("QIDO, list of 101 studies", often("/studies?limit=101&offset=0&fuzzymatching=false"
                                                "&includefield=00081030%2C00080060%2C00080090%2C00100030")),
        Step("QIDO, one patient by wildcard", often("/studies?PatientID=BENCH-0001*")),
        Step("QIDO, instances of the series", often(series + "/instances")),
        Step("metadata of the series, first", once(series + "/metadata")),
        Step("metadata of the series, again", often(series + "/metadata")),
        Step("first frame, cold", once(frame(middle), OCTETS)),
        Step("first frame, cached", often(frame(middle), OCTETS)),
        Step(f"all {count} frames, {PARALLEL} connections, cold",
             lambda port: all_frames(port, count, PARALLEL)),
        Step(f"all {count} frames, {PARALLEL} connections, cached",
             lambda port: all_frames(port, count, PARALLEL)),
        Step(f"all {count} frames, one connection, cached", lambda port: all_frames(port, count, 1)),
        Step("rendered frame (PNG), first", once(rendered, png)),
        Step("rendered frame (PNG), again", often(rendered, png)),
        Step("the series as files", once(series, FILES)),
    ]


def run(options: argparse.Namespace) -> dict[str, object]:
    place = Path(tempfile.mkdtemp(prefix="bench-web-"))
    fast = f'[coding]\neffort = "{options.effort}"\nworkers = {os.cpu_count()}\n'
    (place / "ours").mkdir()
    ours, orthanc = Ours(place / "ours", fast), Orthanc(place / "orthanc")
    servers = (ours, orthanc)
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    try:
        files, small = slices(options.slices), small_studies(options.studies)
        for server in servers:
            server.start()
            taken = stored(server.port, [*files, *small])
            figures["STOW of everything"][server.name].append(taken)
            print(f"{server.name}: stored everything in {taken:.1f} s", file=sys.stderr)
        coded = seconds(lambda: wait_idle(ours))
        print(f"ours: coded in {coded:.0f} s", file=sys.stderr)
        for round_ in range(options.rounds):
            for server in servers:
                server.stop()
            for server in servers:
                server.start()
                study, series, uid = WARM_STUDY
                Client(server.port).ask(f"/studies/{study}/series/{series}/instances/{uid}/frames/1", OCTETS)
            for step in steps(options.slices):
                order = servers if round_ % 2 == 0 else servers[::-1]
                for server in order:
                    figures[step.name][server.name].append(step.measure(server.port))
                print(f"round {round_ + 1}: {step.name}: " + ", ".join(
                    f"{server.name} {figures[step.name][server.name][-1] * 1000:.1f} ms"
                    for server in servers), file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(place, ignore_errors=True)
    return {"slices": options.slices, "studies": options.studies, "effort": options.effort,
            "cores": os.cpu_count(), "load": os.getloadavg(), "seconds": figures}


def wait_idle(node: RunningNode) -> None:
    node.ask("status", "--archive", str(node.archive), "--wait-idle", "3600")


def table(found: dict[str, object]) -> str:
    """Markdown: medians in milliseconds with the smallest and largest round, ratios likewise."""
    def told(values: list[float], scale: float, digits: int) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"{middle * scale:.{digits}f} ({low * scale:.{digits}f} to {high * scale:.{digits}f})"

    lines = ["| | ours, ms | Orthanc, ms | ours / Orthanc |", "| --- | ---: | ---: | ---: |"]
    figures = found["seconds"]
    assert isinstance(figures, dict)
    for name, both in figures.items():
        ratios = [one / other for one, other in zip(both["ours"], both["orthanc"], strict=True)]
        lines.append(f"| {name} | {told(both['ours'], 1000, 1)} | {told(both['orthanc'], 1000, 1)} "
                     f"| {told(ratios, 1, 2)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-web"))
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--effort", choices=("fast", "default", "max"), default="default")
    options = parser.parse_args()
    if not Path(PLUGIN).exists():
        raise SystemExit("Orthanc's DICOMweb plugin is missing (Debian: orthanc orthanc-dicomweb)")
    found = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "web.json").write_text(json.dumps(found, indent=1) + "\n")
    text = table(found)
    (options.out / "web.md").write_text(text + "\n")
    print(text)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"\n{found['cores']} cores, load {load}; our CT coded with effort {options.effort}; written to "
          f"{options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
