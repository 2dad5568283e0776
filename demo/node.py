"""The node as a process of its own, and what its commands say about it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo.modality import DemoFailed, Node

HOST = "127.0.0.1"
COMMAND = [str(Path(sys.executable).with_name("dicomnn"))]


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class RunningNode:
    """``dicomnn serve`` on a free loopback port, its archive and log in ``folder``; ``more``: further lines
    of its configuration."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.archive = folder / "archive"
        self.log = folder / "node.log"
        self.configuration = folder / "dicomnn.toml"
        self.address = Node(HOST, free_port(), "DICOMNN")
        self.web_port = free_port()
        # Reports come as soon as a study is quiet for two seconds instead of half a minute.
        self.configuration.write_text(
            f'[archive]\npath = "{self.archive}"\n\n'
            f'[node]\nbind = "{HOST}"\nport = {self.address.port}\nae_title = "{self.address.ae_title}"\n\n'
            f"[web]\nport = {self.web_port}\n\n"
            f"[study]\nquiet_seconds = 2.0\n{more}", encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def web(self) -> str:
        """Where its pages are."""
        return f"http://{HOST}:{self.web_port}"

    @property
    def serve_command(self) -> list[str]:
        return [*COMMAND, "serve", "--config", str(self.configuration)]

    def start(self, patience: float = 60) -> None:
        """Start it, and come back when its port answers."""
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal reaches the demo, which then ends the node.
            self.process = subprocess.Popen(self.serve_command, stdout=log, stderr=log,
                                            start_new_session=True)
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise DemoFailed(f"the node ended with code {self.process.returncode}:\n{self.last_words()}")
            try:
                socket.create_connection((HOST, self.address.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise DemoFailed(f"the node did not answer within {patience:.0f} s:\n{self.last_words()}")

    def stop(self) -> None:
        """End it politely; by force after twenty seconds."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_words(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def ask(self, *arguments: str) -> dict[str, Any]:
        """The JSON object that a ``dicomnn`` command prints."""
        done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise DemoFailed(f"dicomnn {' '.join(arguments)} failed: {done.stderr.strip()}") from None
        if not isinstance(answer, dict):
            raise DemoFailed(f"dicomnn {' '.join(arguments)} printed something else than an object")
        return answer

    def status(self) -> dict[str, Any]:
        return self.ask("status", "--archive", str(self.archive))

    def report(self, study_instance_uid: str, target: Path) -> dict[str, Any]:
        """The study's report; ``report.html`` and ``report.json`` are written into ``target``."""
        return self.ask("report", study_instance_uid, "--archive", str(self.archive), "--out", str(target))
