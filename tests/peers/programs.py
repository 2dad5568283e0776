"""Starting the programs of DCMTK and dicom3tools, and waiting for the node.

The exit codes of those programs say little (storescu -nh, getscu and dciodvfy give 0 on failures): the
tests count files and compare bytes.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread

from demo.node import RunningNode, free_port

PATIENCE = 240


def call(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A peer's program with both outputs joined; never waits longer than two minutes."""
    return subprocess.run([str(part) for part in command], cwd=folder, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def wait_idle(node: RunningNode) -> dict[str, object]:
    """The status when no work is left. Fails after PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status = node.status()
        if not status["backlog"] and not status["coding"]:
            return status
        time.sleep(0.5)
    raise AssertionError(f"work was left after {PATIENCE} s:\n{node.last_words()}")


@contextmanager
def sink(folder: Path) -> Iterator[int]:
    """DCMTK's storescp, writing the data-set bytes exactly as they arrive; gives its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    process = subprocess.Popen(["storescp", "+B", "+xa", "-aet", "SINK", "-od", str(folder), str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < end, "storescp did not answer"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def found_by(port: int, folder: Path, model: str, level: str, *keys: str,
             called: str = "DICOMNN") -> list[Dataset]:
    """findscu's answers to a query of keys as they stand on its command line (``Keyword=value``)."""
    folder.mkdir(parents=True, exist_ok=True)
    options = [part for key in (f"QueryRetrieveLevel={level}", *keys) for part in ("-k", key)]
    done = call("findscu", "-X", "-od", folder, model, "-aec", called, *options, "127.0.0.1", str(port))
    answers = [dcmread(path) for path in sorted(folder.glob("rsp*.dcm"))]
    for path in folder.glob("rsp*.dcm"):
        path.unlink()
    assert done.returncode == 0, done.stdout
    return answers
