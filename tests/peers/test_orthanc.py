"""Orthanc as a foreign archive that carries coded objects, and as a sender.

Over C-STORE Orthanc encodes anew what arrives (lengths, padding), so what can be promised after such a trip
are the pixels and the elements' values, not the bytes of the data set.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from demo.modality import read_study
from demo.node import RunningNode, free_port
from tests.peers.programs import call, wait_idle

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(shutil.which("Orthanc") is None, reason="not installed: Orthanc (Debian: orthanc)"),
]

DICOMNN = Path(sys.executable).with_name("dicomnn")


class Orthanc:
    """A throw-away Orthanc; its folder holds everything it keeps."""

    def __init__(self, folder: Path, node: RunningNode) -> None:
        self.dicom_port, self.http_port = free_port(), free_port()
        configuration = {
            "DicomAet": "ORTHANC", "DicomPort": self.dicom_port, "HttpPort": self.http_port,
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [],
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": True, "UnknownSopClassAccepted": True,
            "DicomModalities": {"node": ["DICOMNN", "127.0.0.1", node.address.port]},
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")],
                                        stdout=self.log, stderr=self.log)
        end = time.monotonic() + 30
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
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            content: bytes = answer.read()
        return content

    def identifier(self, sop_instance_uid: str) -> str:
        found: list[dict[str, Any]] = json.loads(self.ask("/tools/lookup", sop_instance_uid.encode()))
        return next(entry["ID"] for entry in found if entry["Type"] == "Instance")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, node: RunningNode) -> Iterator[Orthanc]:
    running = Orthanc(tmp_path_factory.mktemp("orthanc"), node)
    yield running
    running.stop()


@pytest.mark.parametrize("name", [
    "ct_thorax/ct_04.dcm", "ct_head/ct_02.dcm", "mr_multiframe/mr_enhanced.dcm"])
def test_a_coded_object_that_went_through_orthanc_gives_its_pixels_back(
        name: str, orthanc: Orthanc, sample_data: Path, tmp_path: Path) -> None:
    original = sample_data / name
    coded, carried, back = tmp_path / "coded.dcm", tmp_path / "carried.dcm", tmp_path / "back.dcm"
    done = call(DICOMNN, "compress", original, coded)
    assert done.returncode == 0, done.stdout
    sent = call("storescu", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port), coded)
    assert sent.returncode == 0, sent.stdout

    header = dcmread(original)
    carried.write_bytes(orthanc.ask(f"/instances/{orthanc.identifier(header.SOPInstanceUID)}/file"))
    done = call(DICOMNN, "restore", carried, back)
    assert back.is_file(), done.stdout
    restored = dcmread(back)
    assert (restored.pixel_array == header.pixel_array).all()
    values = {element.tag: element.value for element in header if element.tag.element}
    assert {element.tag: element.value for element in restored if element.tag.element} == values


def test_what_orthanc_sends_is_coded_and_comes_back_with_the_same_pixels(
        orthanc: Orthanc, node: RunningNode, sample_data: Path, tmp_path: Path) -> None:
    study = read_study(sample_data / "mr_flow_bigendian")
    for image in study.images:
        orthanc.ask("/instances", image.path.read_bytes())
    answer = json.loads(orthanc.ask("/modalities/node/store", json.dumps({
        "Resources": [orthanc.identifier(image.sop_instance_uid) for image in study.images],
        "Synchronous": True}).encode()))
    assert answer["FailedInstancesCount"] == 0, answer
    status = wait_idle(node)
    assert status["coded"], status

    got = call("getscu", "-S", "+B", "-od", tmp_path, "-aec", "DICOMNN", "-k", "QueryRetrieveLevel=STUDY",
               "-k", f"StudyInstanceUID={study.study_instance_uid}", "127.0.0.1", str(node.address.port))
    came = {str(data.SOPInstanceUID): data for data in map(dcmread, tmp_path.iterdir())}
    assert set(came) == {image.sop_instance_uid for image in study.images}, got.stdout
    for image in study.images:
        assert (came[image.sop_instance_uid].pixel_array == dcmread(image.path).pixel_array).all()
