"""Orthanc as a process beside our node, on the same disk, with its own storage or with ours."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from demo.node import HOST, RunningNode, free_port

PYTHON_PLUGIN = "/usr/share/orthanc/plugins/libOrthancPython.so"
SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "orthanc" / "dicomnn_storage.py"


class Orthanc:
    """Its files are synced (SyncStorageArea), as ours are. ``more``: further keys of its configuration."""

    def __init__(self, folder: Path, **more: Any) -> None:
        folder.mkdir(parents=True)
        self.folder, self.dicom_port, self.http_port = folder, free_port(), free_port()
        configuration = {
            "DicomAet": "ORTHANC", "DicomPort": self.dicom_port, "HttpPort": self.http_port,
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [],
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "UnknownSopClassAccepted": True,
            "DicomAlwaysAllowGet": True, "StableAge": 600, "LimitFindResults": 0, "LimitFindInstances": 0,
            "SyncStorageArea": True, "StorageCompression": False, "KeepAlive": True,
            "MaximumStorageCacheSize": 0, "DicomScuTimeout": 60, **more}
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self.connection = http.client.HTTPConnection(HOST, self.http_port, timeout=300)
        self.start()

    def start(self) -> None:
        """Start it (again), and come back when it answers."""
        folder = self.folder
        self.log = (folder / "log").open("ab")
        self.process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=self.log,
                                        stderr=self.log)
        end = time.monotonic() + 120
        while True:
            try:
                self.ask("GET", "/system")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"Orthanc did not start; see {folder / 'log'}") from None
                time.sleep(0.1)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer's body. Raises OSError unless the status is 200."""
        for last in (False, True):
            try:
                self.connection.request(method, path, body)
                answer = self.connection.getresponse()
                content = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self.connection.close()    # Orthanc closes what was idle: once more on a new one
                if last or isinstance(error, ConnectionRefusedError):
                    raise OSError(f"{method} {path}: {error!r}") from error
        if answer.status != 200:
            raise OSError(f"{method} {path}: {answer.status}")
        return content

    def json(self, path: str) -> Any:
        return json.loads(self.ask("GET", path))

    def stored(self) -> int:
        """Bytes of its attachments."""
        return sum(path.stat().st_size for path in (self.folder / "db").rglob("*")
                   if path.is_file() and len(path.name) == 36)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(120)
        self.log.close()


def with_our_storage(folder: Path, more: str = "") -> tuple[RunningNode, Orthanc]:
    """A node and an Orthanc that stores with it."""
    folder.mkdir(parents=True)
    secret, listen = folder / "secret", f"{HOST}:{free_port()}"
    secret.write_text("a secret of this run\n")
    secret.chmod(0o600)
    node = RunningNode(folder, f'[plugin]\nlisten = "{listen}"\nsecret_file = "{secret}"\n{more}')
    node.start(180)
    return node, Orthanc(folder / "orthanc", Plugins=[PYTHON_PLUGIN], PythonScript=str(SCRIPT),
                         Dicomnn={"Node": listen, "SecretFile": str(secret), "PatienceSeconds": 120})
