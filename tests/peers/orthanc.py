"""Orthanc as a process, driven over its REST interface."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class Orthanc:
    """A throw-away Orthanc; its folder holds everything it keeps. others: more destinations of its C-MOVE,
    port by AE title."""

    def __init__(self, folder: Path, dicom_port: int, http_port: int, node_port: int,
                 others: Mapping[str, int] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.dicom_port, self.http_port = dicom_port, http_port
        node = {"AET": "DICOMNN", "Host": "127.0.0.1", "Port": node_port, "AllowEcho": True,
                "AllowStore": True, "AllowFind": True, "AllowMove": True, "AllowGet": True}
        modalities = {"node": node, **{title.lower(): [title, "127.0.0.1", port]
                                       for title, port in (others or {}).items()}}
        configuration = {
            "DicomAet": "ORTHANC", "DicomPort": self.dicom_port, "HttpPort": self.http_port,
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "Plugins": [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full",
                         "SeriesMetadata": "Full"},
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True, "UnknownSopClassAccepted": True,
            "StableAge": 1, "LimitFindResults": 0, "LimitFindInstances": 0, "DicomModalities": modalities,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Also after `kill`, on what it had."""
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(["Orthanc", str(self.folder / "orthanc.json")],
                                        stdout=self.log, stderr=self.log)
        end = time.monotonic() + 60
        while True:
            try:
                self.ask("/system")
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < end, "Orthanc did not start"
                time.sleep(0.1)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """Answer to GET, or to POST when there is a body."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=120) as answer:
            content: bytes = answer.read()
        return content

    def json(self, path: str, body: Any = None) -> Any:
        """The same with JSON in and out."""
        return json.loads(self.ask(path, None if body is None else json.dumps(body).encode()))

    def identifier(self, uid: str, kind: str = "Instance") -> str:
        found: list[dict[str, Any]] = json.loads(self.ask("/tools/lookup", uid.encode()))
        return next(entry["ID"] for entry in found if entry["Type"] == kind)

    def query(self, level: str, keys: dict[str, str]) -> tuple[str, list[dict[str, str]]]:
        """What the node answers to Orthanc's C-FIND: (the query's id, answers by keyword)."""
        made = self.json("/modalities/node/query", {"Level": level, "Query": keys})
        answers = [self.json(f"/queries/{made['ID']}/answers/{number}/content?simplify")
                   for number in self.json(f"/queries/{made['ID']}/answers")]
        return made["ID"], answers

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.log.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
