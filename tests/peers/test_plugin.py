"""Orthanc with our archive as its storage area: durable, smaller, the bytes that Orthanc alone returns."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.node import COMMAND, RunningNode, free_port
from tests.peers.orthanc import Orthanc
from tests.peers.programs import call, wait_idle

pytestmark = pytest.mark.peers

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
SCRIPT = Path("docs") / "orthanc" / "dicomnn_storage.py"


class Pair:
    """A node and an Orthanc that stores with it. ``way``: 'tcp', or 'socket'."""

    def __init__(self, folder: Path, checkout: Path, way: str = "tcp", **more: Any) -> None:
        self.folder, self.secret = folder, folder / "secret"
        self.secret.write_text("a line that nobody else knows\n")
        self.secret.chmod(0o600)
        listen = f"127.0.0.1:{free_port()}" if way == "tcp" else str(folder / "plugin.sock")
        self.node = RunningNode(folder, f'[plugin]\nlisten = "{listen}"\nsecret_file = "{self.secret}"\n'
                                        '[coding]\neffort = "fast"\n')
        self.node.start()
        (folder / "orthanc").mkdir()
        self.settings = {
            "Plugins": [str(PLUGIN)], "PythonScript": str(checkout / SCRIPT), "MaximumStorageCacheSize": 0,
            "Dicomnn": {"Node": listen, "SecretFile": str(self.secret), **more}}
        self.orthanc = Orthanc(folder / "orthanc", free_port(), free_port(), self.node.address.port,
                               more=self.settings)

    def stop(self) -> None:
        self.orthanc.stop()
        self.node.stop()

    def objects(self) -> int:
        return sum(path.stat().st_size for path in (self.node.archive / "objects").rglob("*")
                   if path.is_file())

    def fsck(self, *options: object) -> dict[str, Any]:
        """What it finds while Orthanc is stopped: its index is locked while it runs."""
        self.orthanc.stop()
        done = subprocess.run([*COMMAND, "fsck", str(self.node.archive), "--json", *map(str, options)],
                              capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        facts: dict[str, Any] = json.loads(done.stdout)
        self.orthanc.start()
        return facts

    @property
    def index(self) -> Path:
        return self.folder / "orthanc" / "db" / "index"


@pytest.fixture
def pair(tmp_path: Path, checkout: Path) -> Iterator[Pair]:
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("not installed: Orthanc with its Python plugin (Debian: orthanc orthanc-python)")
    made = Pair(tmp_path, checkout)
    yield made
    made.stop()


@pytest.fixture
def files(sample_files: list[Path]) -> list[Path]:
    """One sample of each kind, and a few more."""
    return sample_files[::3]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Orthanc]:
    """Orthanc with its own storage."""
    (tmp_path / "alone").mkdir()
    running = Orthanc(tmp_path / "alone", free_port(), free_port(), 11112)
    yield running
    running.stop()


def attachments(orthanc: Orthanc) -> dict[tuple[str, str], bytes]:
    """(instance, name) -> bytes of everything that it stored."""
    return {(instance, name): orthanc.ask(f"/instances/{instance}/attachments/{name}/data")
            for instance in orthanc.json("/instances")
            for name in orthanc.json(f"/instances/{instance}/attachments")}


def until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.1)


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_every_attachment_is_what_orthanc_alone_returns_and_deletion_frees_the_space(
        way: str, tmp_path: Path, checkout: Path, alone: Orthanc, files: list[Path]) -> None:
    if not PLUGIN.exists():
        pytest.skip("not installed: orthanc-python")
    (tmp_path / "pair").mkdir()
    pair = Pair(tmp_path / "pair", checkout, way)
    try:
        half = len(files) // 2
        for orthanc in (pair.orthanc, alone):
            for path in files[:half]:
                orthanc.ask("/instances", path.read_bytes())
            sent = call("storescu", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port),
                        *files[half:])
            assert sent.returncode == 0, sent.stdout
            first = orthanc.json("/instances")[0]
            orthanc.ask(f"/instances/{first}/attachments/1024", b"a note\0\xff" * 50, method="PUT")
        before = pair.objects()
        expected = attachments(alone)
        assert len(expected) == len(files) + 1

        def same() -> None:
            here = attachments(pair.orthanc)
            for key, content in expected.items():
                assert here[key] == content, key
            # What Orthanc keeps beside, because our storage has no reading of parts:
            assert {name for _, name in here.keys() - expected.keys()} == {"dicom-until-pixel-data"}

        same()
        status = wait_idle(pair.node)
        assert status["coded"] == len(files), status
        until(lambda: not pair.node.status()["releases_waiting"])
        assert pair.objects() < 0.6 * before
        same()
        assert pair.fsck("--deep", "--attachments", pair.index, "--orphans-after", 0)["problems"] == []
        for instance in pair.orthanc.json("/instances"):
            pair.orthanc.ask(f"/instances/{instance}", method="DELETE")
        until(lambda: pair.objects() == 0)
        assert pair.node.status()["attachments"] == 0
    finally:
        pair.stop()


def send_all(orthanc: Orthanc, files: list[Path], stored: dict[Path, str], failed: list[Path]) -> None:
    """By REST, one after the other; what was acknowledged gets an entry in ``stored``."""
    for path in files:
        try:
            stored[path] = json.loads(orthanc.ask("/instances", path.read_bytes()))["ID"]
        except (OSError, ValueError, urllib.error.HTTPError):
            failed.append(path)


def test_a_node_that_is_killed_while_orthanc_stores_loses_nothing(
        pair: Pair, files: list[Path]) -> None:
    stored: dict[Path, str] = {}
    failed: list[Path] = []
    sender = threading.Thread(target=send_all, args=(pair.orthanc, files, stored, failed))
    sender.start()
    until(lambda: len(stored) >= 3)
    assert pair.node.process is not None
    pair.node.process.kill()
    pair.node.process.wait()
    pair.node.start()
    sender.join()
    assert not failed, "the script waits for the node and says it again"
    for _ in range(2):
        for path, instance in stored.items():
            assert pair.orthanc.ask(f"/instances/{instance}/file") == path.read_bytes()
        wait_idle(pair.node)
    facts = pair.fsck("--deep", "--attachments", pair.index, "--orphans-after", 0)
    assert {problem["kind"] for problem in facts["problems"]} <= {"orphan"}, facts["problems"]


def test_an_orthanc_that_is_killed_leaves_at_most_orphans_that_fsck_finds(
        pair: Pair, files: list[Path]) -> None:
    stored: dict[Path, str] = {}
    failed: list[Path] = []
    sender = threading.Thread(target=send_all, args=(pair.orthanc, files, stored, failed))
    sender.start()
    until(lambda: len(stored) >= 3)
    pair.orthanc.kill()
    sender.join()
    assert failed
    # Between `create` and Orthanc's own commit; here for sure, and perhaps by the kill too.
    listen = pair.settings["Dicomnn"]["Node"]
    connection = http.client.HTTPConnection(listen)
    content = files[-1].read_bytes()
    connection.request("PUT", "/attachments/never-committed?kind=1", content,
                       {"Authorization": "Bearer " + pair.secret.read_text().strip()})
    assert connection.getresponse().status == 201
    connection.close()
    pair.orthanc.start()
    for path, instance in stored.items():
        assert pair.orthanc.ask(f"/instances/{instance}/file") == path.read_bytes()
    again: list[Path] = []
    send_all(pair.orthanc, failed, stored, again)
    assert not again
    wait_idle(pair.node)
    facts = pair.fsck("--attachments", pair.index, "--orphans-after", 0)
    orphans = {p["subject"] for p in facts["problems"] if p["kind"] == "attachment-orphan"}
    assert "never-committed" in orphans and len(orphans) <= 5
    assert {p["kind"] for p in facts["problems"]} == {"attachment-orphan"}
    assert pair.fsck("--attachments", pair.index, "--orphans-after", 0, "--repair")["ok"]
    assert pair.fsck("--attachments", pair.index, "--orphans-after", 0)["problems"] == []
    for path, instance in stored.items():
        assert pair.orthanc.ask(f"/instances/{instance}/file") == path.read_bytes()


def test_an_instance_that_is_modified_and_overwritten_comes_back_as_it_is_now(
        pair: Pair, files: list[Path]) -> None:
    instance = json.loads(pair.orthanc.ask("/instances", files[0].read_bytes()))["ID"]
    wait_idle(pair.node)
    changed = pair.orthanc.ask(f"/instances/{instance}/modify", json.dumps({
        "Replace": {"PatientName": "OTHER", "PatientID": "OTHER", "SOPInstanceUID": json.loads(
            pair.orthanc.ask(f"/instances/{instance}/simplified-tags"))["SOPInstanceUID"]},
        "Force": True}).encode())
    other = json.loads(pair.orthanc.ask("/instances", changed))["ID"]
    assert other != instance, "the same SOP Instance UID, another patient"
    wait_idle(pair.node)
    assert pair.orthanc.ask(f"/instances/{instance}/file") == files[0].read_bytes()
    assert pair.orthanc.ask(f"/instances/{other}/file") == changed
    pair.orthanc.ask(f"/instances/{instance}", method="DELETE")
    wait_idle(pair.node)
    until(lambda: not pair.node.status()["releases_waiting"])
    assert pair.orthanc.ask(f"/instances/{other}/file") == changed
    assert pair.node.status()["coded"] == 1 and pair.node.status()["conflicts"] == 0


def test_a_site_switches_over_and_back(tmp_path: Path, checkout: Path, files: list[Path]) -> None:
    """As docs/orthanc.md says it, both ways, with the same Orthanc index throughout."""
    if not PLUGIN.exists():
        pytest.skip("not installed: orthanc-python")
    pair = Pair(tmp_path, checkout, OldStorage=str(tmp_path / "orthanc" / "db"))
    configuration = tmp_path / "orthanc" / "orthanc.json"
    with_plugin = configuration.read_text()
    without = json.loads(with_plugin) | {"Plugins": []}
    try:
        pair.orthanc.stop()
        configuration.write_text(json.dumps(without))          # a site as it was
        pair.orthanc.start()
        half = len(files) // 2
        ids = {path: json.loads(pair.orthanc.ask("/instances", path.read_bytes()))["ID"]
               for path in files[:half]}
        pair.orthanc.stop()

        configuration.write_text(with_plugin)                  # over
        pair.orthanc.start()
        ids |= {path: json.loads(pair.orthanc.ask("/instances", path.read_bytes()))["ID"]
                for path in files[half:]}

        def all_there() -> None:
            for path, instance in ids.items():
                assert pair.orthanc.ask(f"/instances/{instance}/file") == path.read_bytes()

        all_there()                                            # the first half from the old folder
        assert pair.node.status()["attachments"] == 2 * (len(files) - half)
        gone = files[0]
        pair.orthanc.ask(f"/instances/{ids.pop(gone)}", method="DELETE")
        old = tmp_path / "orthanc" / "db"
        moved = json.loads(call(*COMMAND, "orthanc", "import", old, "--archive", pair.node.archive,
                                "--delete", "--json").stdout)
        assert (moved["done"], moved["failed"]) == (half - 1, [])
        assert not [path for path in old.rglob("*-*") if path.is_file() and "index" not in path.name]
        all_there()
        wait_idle(pair.node)
        all_there()
        assert pair.fsck("--attachments", pair.index, "--orphans-after", 0)["problems"] == []

        pair.orthanc.stop()                                    # and back
        written = json.loads(call(*COMMAND, "orthanc", "export", old, "--archive", pair.node.archive,
                                  "--json").stdout)
        assert (written["failed"], written["there"]) == ([], 0)
        configuration.write_text(json.dumps(without))
        pair.node.stop()
        pair.orthanc.start()
        all_there()
        for instance in ids.values():
            pair.orthanc.ask(f"/instances/{instance}", method="DELETE")
    finally:
        pair.stop()
