"""Orthanc's studies come into an archive by C-GET and by C-MOVE; Orthanc and the job are killed on the way.

Orthanc encodes anew what it sends, so each digest of the ledger is compared with what another receiver gets
from the same request: storescp for C-MOVE, raw bytes over pynetdicom for C-GET.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.node import free_port
from dicomnn.flow.migration.ledger import Ledger
from tests.peers.orthanc import Orthanc
from tests.peers.programs import by_uid, sink
from tests.scp.collection import items
from tests.scp.peer import CHECKOUT, get, identifier, wait_for
from tests.scp.receiver import move

pytestmark = [pytest.mark.peers, pytest.mark.shared_data]

DICOMNN = [sys.executable, "-c", "from dicomnn.cli import main; main()"]
EVERY = 12
"""This part of the collection; the whole of it is a campaign (``DICOMNN_MIGRATE_EVERY=1``)."""


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"node": free_port(), "SINK": free_port()}


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path, ports: dict[str, int]
) -> Iterator[Orthanc]:
    """An Orthanc of its own with a part of the real files, taken in over REST as they are."""
    if shutil.which("Orthanc") is None:
        pytest.skip("not installed: Orthanc (Debian: orthanc)")
    running = Orthanc(
        tmp_path_factory.mktemp("source"), free_port(), free_port(), ports["node"], {"SINK": ports["SINK"]}
    )
    found = [path for path, _ in items(shared_data / "train")]
    for path in found[:: int(os.environ.get("DICOMNN_MIGRATE_EVERY", EVERY))]:
        running.ask("/instances", path.read_bytes())
    yield running
    running.stop()


def run(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DICOMNN, "migrate", *map(str, arguments)],
        cwd=CHECKOUT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def done(*arguments: object) -> tuple[int, str]:
    process = run(*arguments)
    said, _ = process.communicate(timeout=280)
    return process.returncode, said


def status(job: Path) -> dict[str, Any]:
    _, said = done("status", "--job", job, "--json")
    found: dict[str, Any] = json.loads(said)
    return found


def stored(job: Path) -> int:
    return int(status(job)["stored"])


@pytest.mark.parametrize("retrieve", ["get", "move"])
def test_orthanc_and_the_job_are_killed_once_each_and_every_instance_is_accounted_for(
    retrieve: str, source: Orthanc, ports: dict[str, int], tmp_path: Path
) -> None:
    there = int(source.json("/statistics")["CountInstances"])
    job = tmp_path / "job"
    code, said = done(
        "plan",
        "--job",
        job,
        "--from",
        f"ae:ORTHANC@127.0.0.1:{source.dicom_port}",
        "--to",
        f"archive:{tmp_path / 'archive'}",
        "--retrieve",
        retrieve,
        "--listen",
        ports["node"],
        "--sample",
        4,
        "--jobs",
        1,
    )
    assert code == 0 and f"{there} instances ({there} new)" in said, said

    first = run("run", "--job", job, "--rate", "10/s", "--no-code")
    wait_for(lambda: stored(job) >= there // 8, 120, "the first instances")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert 0 < stored(job) < there

    second = run("run", "--job", job, "--rate", "10/s", "--patience", 60, "--no-code")
    wait_for(lambda: stored(job) >= there // 3, 120, "some more")
    source.kill()
    source.start()
    said, _ = second.communicate(timeout=280)
    assert second.returncode in (0, 1), said

    found = status(job)
    assert (found["stored"] + found["set_aside"] + found["failed"], found["todo"]) == (there, 0), said
    # What Orthanc cannot send (a data set that has its UIDs as UN) is named; of the others all are here.
    assert found["set_aside"] + found["failed"] <= 1, said
    if not found["accounted"]:
        assert done("sign-off", "--job", job, "--reason", "Orthanc cannot send it", "--by", "test")[0] == 0
    code, said = done("verify", "--job", job, "--jobs", 1)
    assert code == 0 and f"{found['stored']} exact" in said, said
    code, said = done("run", "--job", job)
    assert code == 0 and "nothing to do" in said, said
    ledger = Ledger(job / "ledger.sqlite")
    digests = {
        row.sop_instance_uid: (row.study_uid, row.sop_class_uid, row.syntax, row.digest)
        for row in ledger.rows("state = 'stored'")
    }
    ledger.close()
    assert len(digests) == found["stored"]
    came = _moved(source, ports, digests, tmp_path) if retrieve == "move" else _got(source, digests)
    assert {uid: came[uid] for uid in digests} == {uid: digest for uid, (*_, digest) in digests.items()}


def _got(source: Orthanc, digests: dict[str, tuple[str, str, str, str]]) -> dict[str, str]:
    """SHA-256 of what another client gets by C-GET, by UID."""
    studies: dict[str, set[tuple[str, str]]] = {}
    for study, sop_class, syntax, _ in digests.values():
        studies.setdefault(study, set()).add((sop_class, syntax))
    return {
        item.instance: hashlib.sha256(item.data).hexdigest()
        for study, pairs in studies.items()
        for item in get(
            source.dicom_port, identifier("STUDY", StudyInstanceUID=study), sorted(pairs), title="DICOMNN"
        ).items
    }


def _moved(
    source: Orthanc, ports: dict[str, int], digests: dict[str, tuple[str, str, str, str]], folder: Path
) -> dict[str, str]:
    """SHA-256 of what storescp writes when Orthanc moves the same studies to it, by UID."""
    with sink(folder / "sink", ports["SINK"]):
        for study in sorted({study for study, *_ in digests.values()}):
            move(
                source.dicom_port, identifier("STUDY", StudyInstanceUID=study), title="DICOMNN", timeout=60.0
            )
    return {uid: hashlib.sha256(data).hexdigest() for uid, data in by_uid(folder / "sink").items()}
