"""Send, kill, look: shared by the short and the long campaign."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.scp.peer import (
    CHECKOUT,
    CT,
    EXPLICIT,
    Item,
    NodeProcess,
    connected,
    contexts_for,
    get_study,
    store_raw,
)

STUDY = "1.2.826.9.40"


@dataclass
class Sender:
    """A modality that sends one object after the other and writes down what was acknowledged."""

    items: list[Item]
    acknowledged: list[Item] = field(default_factory=list)
    lost: int = 0

    def send(self, port: Callable[[], int], deadline: float) -> None:
        """All items, connecting again after each lost association, until ``deadline`` (monotonic)."""
        todo = list(self.items)
        while todo and time.monotonic() < deadline:
            try:
                with connected(port(), contexts_for(self.items[:1])) as assoc:
                    while todo and assoc.is_established:
                        status, _ = store_raw(assoc, todo[0], timeout=20.0)
                        if status is None:
                            self.lost += 1
                            break
                        assert status == 0, f"{status:04X}"
                        self.acknowledged.append(todo.pop(0))
            except (OSError, RuntimeError, AssertionError) as error:
                if isinstance(error, AssertionError) and "accepted" not in str(error):
                    raise
            time.sleep(0.02)


def workers_of(node: NodeProcess) -> list[int]:
    """Process ids of the node's workers."""
    shown = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(node.process.pid)],
                           capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in shown.stdout.splitlines() if "scp.worker" in line]


def kill_a_worker(node: NodeProcess) -> int | None:
    """kill -9 for the first worker; its process id."""
    pids = workers_of(node)
    if pids:
        os.kill(pids[0], signal.SIGKILL)
        return pids[0]
    return None


def everything_is_there(node: NodeProcess, sent: list[Item]) -> None:
    """Every acknowledged object comes back with its bytes; asked for in one C-GET."""
    got = get_study(node.port, STUDY, [(CT, EXPLICIT)]).by_uid
    missing = [i.instance for i in sent if i.instance not in got]
    different = [i.instance for i in sent if i.instance in got and got[i.instance].data != i.data]
    assert not missing and not different, (missing, different)


def wait_idle(archive: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    """``dicomnn status --wait-idle``."""
    command = [sys.executable, "-c", "from dicomnn.cli import main; main()", "status", "--archive",
               str(archive), "--wait-idle", str(seconds), "--json"]
    return subprocess.run(command, cwd=CHECKOUT, text=True, capture_output=True, check=False)


def in_background(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
