"""Starting the programs of DCMTK and dicom3tools, and waiting for the node.

The exit codes of those programs say little (storescu -nh, getscu and dciodvfy give 0 on failures): the
tests count files and compare bytes.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread

from demo.modality import data_set_bytes
from demo.node import RunningNode, free_port

PATIENCE = 240


def call(*command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A peer's program with both outputs joined; never waits longer than five minutes."""
    return subprocess.run([str(part) for part in command], cwd=folder, text=True, timeout=290,
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


PEERS = ("SINK", "MOVESCU", "QRSCP", "ORTHANC")
"""AE titles of the destinations that the node knows."""


class Ports(dict[str, int]):
    """Peer -> TCP port."""


def wait_listening(port: int, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Until the process takes connections."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < end, f"{process.args} did not answer"
            time.sleep(0.05)


@contextmanager
def running(port: int, *command: str | Path, folder: Path | None = None) -> Iterator[None]:
    """A server of DCMTK for as long as the block runs."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=folder)
    try:
        wait_listening(port, process)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def sink(folder: Path, port: int | None = None, *options: str) -> Iterator[int]:
    """DCMTK's storescp, writing the data-set bytes exactly as they arrive; gives its port. options: which
    syntaxes it takes, +xa (any) when there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port() if port is None else port
    with running(port, "storescp", "+B", *(options or ("+xa",)), "-aet", "SINK", "-od", folder, str(port)):
        yield port


@contextmanager
def qrscp(folder: Path, port: int, others: Mapping[str, int]) -> Iterator[int]:
    """DCMTK's dcmqrscp with an empty archive, knowing the others by AE title and port; gives its port."""
    (folder / "db").mkdir(parents=True, exist_ok=True)
    hosts = "\n".join(f"{name.lower()} = ({name}, localhost, {other})" for name, other in others.items())
    (folder / "qr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQRSCP  {folder / 'db'}  RW (500, 1024mb)  ANY\nAETable END\n", encoding="ascii")
    with running(port, "dcmqrscp", "-c", folder / "qr.cfg", "+B"):
        yield port


def by_uid(folder: Path) -> dict[str, bytes]:
    """SOP Instance UID -> data-set bytes of the Part 10 files in ``folder``."""
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): data_set_bytes(path)
            for path in sorted(folder.iterdir())}


def study_uid(folder: Path) -> str:
    return str(dcmread(next(iter(sorted(folder.glob("*.dcm")))), stop_before_pixels=True).StudyInstanceUID)


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
