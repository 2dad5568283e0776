"""A folder of real files through Orthanc with our storage and through Orthanc alone, side by side.

    python benchmarks/orthanc_storage.py FOLDER [--json OUT] [--effort fast|default] [--kill]

Half of the files go in by REST, half by C-STORE (dcmsend). Every attachment that Orthanc with our storage
has is compared with what Orthanc alone returns: after storing, and again when the backlog has drained. With
--kill node and Orthanc are killed with SIGKILL once each on the way. Times are of each file in both,
alternating; Orthanc alone syncs its files as we do. At the end everything is deleted. Exit 0 when every byte
was right and nothing is left on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peer_orthanc import Orthanc, with_our_storage
from demo.node import HOST, RunningNode


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def attachments(orthanc: Orthanc) -> list[str]:
    return [f"/instances/{instance}/attachments/{name}" for instance in orthanc.json("/instances")
            for name in orthanc.json(f"/instances/{instance}/attachments")]


def wait_idle(node: RunningNode, seconds: float = 3600) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = node.status()
        if not (status["backlog"] or status["coding"] or status["releases_waiting"]):
            return status
        time.sleep(2)
    raise SystemExit(f"work was left after {seconds:.0f} s")


def objects(node: RunningNode) -> int:
    return sum(path.stat().st_size for path in (node.archive / "objects").rglob("*") if path.is_file())


class Campaign:
    def __init__(self, folder: Path, effort: str) -> None:
        self.node, self.ours = with_our_storage(folder / "ours", f'[coding]\neffort = "{effort}"\n')
        self.alone = Orthanc(folder / "alone")
        self.figures: dict[str, Any] = {}

    # ------------------------------------------------------------------ in
    def store(self, files: list[Path], kill: bool) -> None:
        times: list[tuple[float, float]] = []
        refused = 0
        for number, path in enumerate(files):
            body = path.read_bytes()
            if kill and number == len(files) // 3:
                threading.Timer(0.02, self._kill_node).start()
            try:
                theirs, _ = timed(lambda body=body: self.alone.ask("POST", "/instances", body))  # type: ignore[misc]
            except OSError:
                refused += 1               # no DICOM for Orthanc: not our matter
                continue
            mine, _ = timed(lambda body=body: self.ours.ask("POST", "/instances", body))  # type: ignore[misc]
            times.append((mine, theirs))
        self.figures["store"] = ratio(times)
        self.figures["store"]["refused_by_both"] = refused

    def _kill_node(self) -> None:
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()
        self.node.start(180)

    def send(self, files: list[Path], kill: bool) -> None:
        """By C-STORE; Orthanc encodes anew what arrives, in both the same way."""
        if kill:
            self.ours.process.kill()
            self.ours.stop()
            self.ours.start()
        times = []
        for orthanc in (self.alone, self.ours):
            command = ["dcmsend", "-nh", "-dn", "-aec", "ORTHANC", HOST, str(orthanc.dicom_port)]
            times.append(timed(lambda c=command: subprocess.run(  # type: ignore[misc]
                [*c, *map(str, files)], capture_output=True))[0])
        self.figures["send"] = {"files": len(files), "ours_s": times[1], "theirs_s": times[0],
                                "rate_ratio": times[0] / times[1]}

    # ------------------------------------------------------------------ out
    def compare(self, when: str) -> int:
        """How many attachments differ, or are missing."""
        wrong, times, size = 0, [], 0
        there = attachments(self.alone)
        for name in there:
            theirs, expected = timed(lambda name=name: self.alone.ask("GET", name + "/data"))  # type: ignore[misc]
            try:
                mine, content = timed(lambda name=name: self.ours.ask("GET", name + "/data"))  # type: ignore[misc]
            except OSError as error:
                print(f"missing: {error}")
                wrong += 1
                continue
            if content != expected:
                print(f"differs: {name}")
                wrong += 1
            times.append((mine, theirs))
            size += len(content)
        self.figures[f"read {when}"] = ratio(times) | {
            "attachments": len(there), "wrong": wrong, "bytes": size,
            "ours_MB_s": size / 1e6 / max(1e-9, sum(mine for mine, _ in times))}
        return wrong

    def delete(self) -> int:
        for orthanc in (self.ours, self.alone):
            for instance in orthanc.json("/instances"):
                orthanc.ask("DELETE", f"/instances/{instance}")
        end = time.monotonic() + 60
        while objects(self.node) and time.monotonic() < end:
            time.sleep(0.5)
        return objects(self.node)

    def stop(self) -> None:
        self.ours.stop()
        self.alone.stop()
        self.node.stop()


def ratio(times: list[tuple[float, float]]) -> dict[str, Any]:
    """Of pairs (ours, theirs), in seconds: the rate of ours over that of theirs."""
    if not times:
        return {"pairs": 0}
    quotients = sorted(theirs / mine for mine, theirs in times)
    return {"pairs": len(times), "ours_median_ms": 1e3 * median(mine for mine, _ in times),
            "theirs_median_ms": 1e3 * median(theirs for _, theirs in times),
            "rate_ratio_median": median(quotients),
            "rate_ratio_quartiles": [quotients[len(quotients) // 4], quotients[3 * len(quotients) // 4]],
            "rate_ratio_whole": sum(theirs for _, theirs in times) / sum(mine for mine, _ in times)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--most", type=int, default=0, help="so many files at most, spread over the folder")
    parser.add_argument("--kill", action="store_true")
    chosen = parser.parse_args()
    files = sorted(path for path in chosen.folder.rglob("*") if path.is_file())
    if chosen.most:
        files = files[::max(1, len(files) // chosen.most)]
    with tempfile.TemporaryDirectory(prefix="dicomnn-orthanc-") as folder:
        campaign = Campaign(Path(folder), chosen.effort)
        try:
            campaign.store(files[::2], chosen.kill)
            campaign.send(files[1::2], chosen.kill)
            wrong = campaign.compare("as stored")
            before = campaign.alone.stored()
            status = wait_idle(campaign.node)
            wrong += campaign.compare("coded")
            after = objects(campaign.node)
            campaign.figures["space"] = {
                "orthanc": before, "ours": after, "ratio": before / max(1, after),
                "coded_before": status["bytes_before"], "coded_after": status["bytes_after"],
                "coded": status["coded"], "kept": status["kept"], "attachments": status["attachments"]}
            left = campaign.delete()
            campaign.figures |= {"wrong": wrong, "left_after_deletion": left, "load": os.getloadavg(),
                                 "processors": os.cpu_count()}
        finally:
            campaign.stop()
    text = json.dumps(campaign.figures, indent=2)
    print(text)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(text, encoding="utf-8")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
