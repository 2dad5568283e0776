"""``dicomnn migrate`` from a folder: killed, called again, damaged, signed off; exit codes say which."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_files import dicomnn, image, smooth
from tests.flow.test_migration import write
from tests.scp.peer import CHECKOUT, wait_for
from tests.scp.peer import image as small


def folder_of(root: Path, count: int) -> Path:
    for number in range(count):
        series = f"1.2.826.9.1.{number % 3}"
        write(
            root / "source" / f"{number % 3}" / f"{number}.dcm",
            small(number, series=series, rows=32, columns=32),
        )
    return root / "source"


def status(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dicomnn("migrate", "status", "--job", root / "job", "--json").stdout)
    return found


def started(root: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-c",
        "from dicomnn.cli import main; main()",
        "migrate",
        "run",
        "--job",
        str(root / "job"),
        "--from",
        f"folder:{root / 'source'}",
        "--to",
        f"archive:{root / 'archive'}",
        *more,
    ]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def some_came(root: Path, least: int) -> bool:
    return (root / "job" / "job.json").exists() and status(root)["stored"] >= least


@pytest.mark.faults
def test_a_run_that_is_killed_in_the_midst_goes_on_and_a_second_one_does_nothing(tmp_path: Path) -> None:
    folder_of(tmp_path, 30)
    running = started(tmp_path, "--rate", "8/s", "--no-code")
    wait_for(lambda: some_came(tmp_path, 4), 60, "some instances")
    assert status(tmp_path)["run"]["running"]
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    found = status(tmp_path)
    assert 4 <= found["stored"] < 30 and found["todo"] > 0 and not found["accounted"]
    done = dicomnn("migrate", "run", "--job", tmp_path / "job", "--no-code")
    assert done.exit_code == 0 and "every instance is accounted for" in done.stdout
    assert "nothing to do" in dicomnn("migrate", "run", "--job", tmp_path / "job").stdout
    verified = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
    assert verified.exit_code == 0 and "30 exact" in verified.stdout
    facts = json.loads(dicomnn("status", "--archive", tmp_path / "archive", "--json").stdout)
    assert facts["instances"] == 30 and facts["conflicts"] == 0


def test_a_stop_ends_the_run_at_the_next_instance_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder_of(tmp_path, 12)
    running = started(tmp_path, "--rate", "4/s", "--no-code")
    wait_for(lambda: some_came(tmp_path, 2), 60, "some instances")
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 1 and b"goes on from here" in said and b"Traceback" not in said
    assert status(tmp_path)["todo"] > 0


def test_what_comes_in_is_coded_and_the_report_compares_with_the_forecast(tmp_path: Path) -> None:
    for number in range(4):
        image(tmp_path / "source" / f"{number}.dcm", smooth(number))
        raw = (tmp_path / "source" / f"{number}.dcm").read_bytes()
        (tmp_path / "source" / f"{number}.dcm").write_bytes(
            raw.replace(b"1.2.3.4\0", f"1.2.3.{number}\0".encode())
        )
    (tmp_path / "source" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\xff")
    ends = ["--from", f"folder:{tmp_path / 'source'}", "--to", f"archive:{tmp_path / 'archive'}"]
    planned = dicomnn("migrate", "plan", "--job", tmp_path / "job", *ends, "--sample", 3, "--jobs", 1)
    assert planned.exit_code == 0 and "saves" in planned.stdout and "3 coded" in planned.stdout
    assert not (tmp_path / "archive").exists()
    done = dicomnn("migrate", "run", "--job", tmp_path / "job", "--jobs", 1)
    poison = status(tmp_path)["set_aside"]
    assert done.exit_code == (1 if poison else 0), done.output
    coded = json.loads(dicomnn("status", "--archive", tmp_path / "archive", "--json").stdout)
    assert coded["coded"] == 4 and coded["backlog"] == 0
    verified = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
    assert "4 exact" in verified.stdout
    dicomnn("migrate", "report", "--job", tmp_path / "job", tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "What was predicted" in text and "broken.dcm" in text
    rows = list(csv.DictReader((tmp_path / "out" / "report.csv").open()))
    assert len(rows) == 5
    assert all(
        row["digest"] == row["read_back"]
        and row["verdict"] == "exact"
        and int(row["stored_bytes"]) < int(row["bytes"])
        for row in rows
        if row["state"] == "stored"
    )


def test_verify_finds_what_the_archive_has_lost_or_changed(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    ends = ["--from", f"folder:{tmp_path / 'source'}", "--to", f"archive:{tmp_path / 'archive'}"]
    assert dicomnn("migrate", "run", "--job", tmp_path / "job", *ends, "--no-code").exit_code == 0
    objects = sorted(path for path in (tmp_path / "archive" / "objects").rglob("*") if path.is_file())
    objects[0].unlink()
    raw = bytearray(objects[1].read_bytes())
    raw[-40] ^= 1
    objects[1].chmod(0o640)
    objects[1].write_bytes(raw)
    done = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
    assert done.exit_code == 1 and "1 exact" in done.stdout and "1 missing" in done.stdout
    assert "1 differs" in done.stdout and "do not come back as they were" in done.stdout


def test_verify_finds_files_that_came_into_the_folder_meanwhile(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    ends = ["--from", f"folder:{tmp_path / 'source'}", "--to", f"archive:{tmp_path / 'archive'}"]
    assert dicomnn("migrate", "run", "--job", tmp_path / "job", *ends, "--no-code").exit_code == 0
    write(tmp_path / "source" / "late.dcm", small(77))
    done = dicomnn("migrate", "verify", "--job", tmp_path / "job", "--jobs", 1)
    assert done.exit_code == 1 and "1 instances are still to be fetched" in done.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["plan", "--job", "{root}/job"], "needs --from and --to"),
        (
            ["run", "--job", "{root}/job", "--from", "{root}", "--to", "archive:{root}/a"],
            "nothing to migrate from",
        ),
        (
            ["run", "--job", "{root}/job", "--from", "folder:{root}/absent", "--to", "archive:{root}/a"],
            "there is no folder",
        ),
        (
            ["run", "--job", "{root}/job", "--from", "folder:{root}", "--to", "ae:X@h:1"],
            "nothing to migrate to",
        ),
        (
            ["run", "--job", "{root}/job", "--from", "ae:nobody", "--to", "archive:{root}/a"],
            "no address of a peer",
        ),
        (["run", "--job", "{root}/job", "--window", "later"], "is no window"),
        (["run", "--job", "{root}/job", "--rate", "slowly"], "is no rate"),
        (["status", "--job", "{root}/job"], "no migration job"),
        (["verify", "--job", "{root}/job"], "no migration job"),
        (["report", "--job", "{root}/job"], "no migration job"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = dicomnn("migrate", *[argument.format(root=tmp_path) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert words in result.stderr and "Traceback" not in result.output
