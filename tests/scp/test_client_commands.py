"""``dicomnn echo``, ``find``, ``store`` and ``get`` against our own node: tables, files, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.modality import data_set_bytes
from demo.node import free_port
from tests.cli.test_files import dicomnn, image, smooth
from tests.flow.test_migration import write
from tests.scp.objects import made
from tests.scp.peer import EXPLICIT, NodeProcess
from tests.scp.peer import image as small

STUDY = "1.2.826.9.70"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node") / "archive", "--workers", "-1") as running:
        yield running


def peer(node: NodeProcess) -> str:
    return f"DICOMNN@127.0.0.1:{node.port}"


@pytest.fixture(scope="module")
def files(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was sent with `store`."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(3):
        write(folder / "a" / f"{number}.dcm", small(number, study=STUDY, series=f"{STUDY}.1", rows=24))
    named = {
        "PatientName": "Müller^Änne",
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": "M1",
        "Modality": "CT",
    }
    write(folder / "b.dcm", made(f"{STUDY}.2.1", study=STUDY, series=f"{STUDY}.2", size=8, **named))
    (folder / "read.me").write_text("no image, only words about images")
    done = dicomnn("store", peer(node), folder, "--contexts")
    assert done.exit_code == 0 and "4 sent, 1 skipped" in done.stdout, done.output
    assert "accepted  CT Image Storage: Explicit VR Little Endian" in done.stderr
    return folder


def test_echo_prints_what_was_negotiated(node: NodeProcess) -> None:
    done = dicomnn("echo", peer(node))
    assert done.exit_code == 0 and "answered 0000" in done.stdout
    assert "accepted  Verification SOP Class" in done.stderr and "MOVE" in done.stderr


def test_a_peer_that_is_not_there_is_exit_1_and_a_sentence(tmp_path: Path) -> None:
    address = f"NOBODY@127.0.0.1:{free_port()}"
    write(tmp_path / "a.dcm", small(1))
    for command in (
        ["echo", address],
        ["find", address],
        ["store", address, tmp_path],
        ["get", address, tmp_path / "out", "-k", "StudyInstanceUID=1.2"],
    ):
        done = dicomnn(*command)
        assert done.exit_code == 1 and "cannot be reached" in done.stderr, done.output
        assert "What to do" in done.stderr and "Traceback" not in done.output


@pytest.mark.parametrize(
    "command",
    [
        ["echo", "no-address"],
        ["echo", "A@h:99999"],
        ["echo", "SEVENTEENLETTERSX@h:1"],
        ["find", "A@h:1", "-k", "No=1"],
        ["find", "A@h:1", "-k", "a b=1"],
        ["get", "A@h:1", "out", "-k", "PatientName=X"],
        ["store", "A@h:1", "absent"],
        ["get", "A@h:1", "out"],
    ],
)
def test_wrong_use_is_exit_2(command: list[str]) -> None:
    done = dicomnn(*command)
    assert done.exit_code == 2 and "Traceback" not in done.output


def test_find_prints_a_table_at_each_level_and_json(node: NodeProcess, files: Path) -> None:
    done = dicomnn("find", peer(node), "-k", f"StudyInstanceUID={STUDY}")
    assert done.exit_code == 0 and "1 answers" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if STUDY in line]
    assert "4" in line.split() and "CT" in line
    found = json.loads(
        dicomnn("find", peer(node), "--level", "series", "--json", "-k", f"StudyInstanceUID={STUDY}").stdout
    )
    assert found["status"] == "0000"
    assert {
        (row["SeriesInstanceUID"], row["NumberOfSeriesRelatedInstances"]) for row in found["answers"]
    } == {(f"{STUDY}.1", "3"), (f"{STUDY}.2", "1")}
    named = dicomnn(
        "find",
        peer(node),
        "--level",
        "image",
        "--json",
        "-k",
        f"StudyInstanceUID={STUDY}",
        "-k",
        "PatientName=müller*",
    )
    assert [row["PatientName"] for row in json.loads(named.stdout)["answers"]] == ["Müller^Änne"]
    nothing = dicomnn("find", peer(node), "-k", "PatientID=nobody")
    assert nothing.exit_code == 0 and "nothing matches" in nothing.stdout


def test_a_status_other_than_success_is_exit_1(node: NodeProcess, files: Path) -> None:
    done = dicomnn("find", peer(node), "--level", "patient", "--model", "study")
    assert done.exit_code == 1 and "status A900" in done.stderr


def test_get_writes_what_was_sent_and_never_over_a_file(
    node: NodeProcess, files: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        done = dicomnn(
            "get",
            peer(node),
            tmp_path,
            "-k",
            f"StudyInstanceUID={STUDY}",
            "-k",
            f"SeriesInstanceUID={STUDY}.1",
        )
        assert done.exit_code == 0 and "3 files" in done.stdout and "status 0000" in done.stdout, done.output
    sent = {data_set_bytes(path) for path in (files / "a").iterdir()}
    assert len(list(tmp_path.iterdir())) == 6
    assert {data_set_bytes(path) for path in tmp_path.iterdir()} == sent


def test_get_of_nothing_is_exit_1(node: NodeProcess, tmp_path: Path) -> None:
    assert dicomnn("get", peer(node), tmp_path, "-k", "StudyInstanceUID=1.2.3.4.5").exit_code == 1


def test_store_lists_what_the_peer_refused_and_goes_on(
    node: NodeProcess, files: Path, tmp_path: Path
) -> None:
    write(tmp_path / "0.dcm", small(0, study=STUDY, series=f"{STUDY}.1", rows=24, seed=9))  # other content
    write(tmp_path / "new.dcm", small(50, study=STUDY, series=f"{STUDY}.3"))
    done = dicomnn("store", peer(node), tmp_path, "-v")
    assert done.exit_code == 1 and "1 refused, 1 sent" in done.stdout
    assert "0.dcm 0111" in done.stdout


def test_store_sends_a_coded_file_as_the_original_that_it_holds(node: NodeProcess, tmp_path: Path) -> None:
    original = image(tmp_path / "a.dcm", smooth(5))
    assert dicomnn("compress", original, tmp_path / "coded" / "a.dcm", "--jobs", 1).exit_code == 0
    assert dicomnn("store", peer(node), tmp_path / "coded").exit_code == 0
    done = dicomnn("get", peer(node), tmp_path / "back", "-k", "PatientID=P1")
    assert done.exit_code == 0, done.output
    (back,) = [path for path in (tmp_path / "back").iterdir() if path.name.startswith("1.2.3.4.dcm")]
    assert data_set_bytes(back) == data_set_bytes(original)
    assert EXPLICIT.encode() in back.read_bytes()[:400]
