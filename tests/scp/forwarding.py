"""A node with rules of forwarding in tests: its configuration, what its ledger says, destinations that
misbehave."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomnn.archive import Delivery, Leg, Which, open_archive
from tests.scp.peer import wait_for

QUICK = "[forwarding]\nquiet_seconds = 0.3\nfirst_pause_seconds = 0.2\nlongest_pause_seconds = 0.5\n"
SHORT = "[node]\nacse_timeout = 1.0\ndimse_timeout = 1.0\nnetwork_timeout = 1.0\n"


def rule(*to: str, **conditions: str) -> str:
    """One [[forward]]."""
    more = "".join(f'{key} = "{value}"\n' for key, value in conditions.items())
    return "[[forward]]\nto = [" + ", ".join(f'"{name}"' for name in to) + f"]\n{more}"


def destination(title: str, port: int) -> str:
    return f'[[destinations]]\nae_title = "{title}"\nhost = "127.0.0.1"\nport = {port}\n'


def ledger(archive: Path, to: str | None = None) -> list[Delivery]:
    with open_archive(archive) as opened:
        return list(opened.index.forwarding.deliveries(Which(to, states=tuple(Leg))))


def legs(archive: Path, to: str | None = None) -> dict[str, int]:
    return dict(Counter(row.state.value for row in ledger(archive, to)))


def wait_sent(archive: Path, count: int, to: str | None = None, seconds: float = 40.0) -> None:
    """Until the ledger has ``count`` rows, all of them sent."""
    wait_for(lambda: legs(archive, to) == {"sent": count}, seconds,
             f"{count} sent to {to}: {legs(archive, to)}")


def command(archive: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``dicomnn forward ...`` on an archive."""
    return subprocess.run([sys.executable, "-c", "from dicomnn.cli import main; main()", "forward",
                           *arguments, "--archive", str(archive)], capture_output=True, text=True, timeout=60)


@contextmanager
def deaf() -> Iterator[int]:
    """Something that takes connections and never says a word; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()
