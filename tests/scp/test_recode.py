"""``dicomnn recode --archive`` with and without a node, killed at any moment, and the nightly rule."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dicomnn.cli import main
from dicomnn.flow.ingest import Policy
from dicomnn.flow.lift import NightRule, lift_to
from dicomnn.flow.opening import Archive, Place, open_archive
from scp.pool import WorkerSettings
from scp.worker import Worker
from tests.faults.campaign import wait_idle
from tests.flow.conftest import Walks
from tests.scp.peer import CHECKOUT, CT, EXPLICIT, Item, NodeProcess, get_study, image, send, wait_for
from tests.scp.test_commands import dicomnn
from tests.scp.test_shared_files import items

STUDY = "1.2.826.9.60"
CODE = "from dicomnn.cli import main; main()"


def made(number: int) -> list[Item]:
    return [image(n, study=STUDY, series=f"{STUDY}.1", rows=64, columns=64) for n in range(1, number + 1)]


def filled(folder: Path, sent: list[Item], effort: str = "fast") -> None:
    """An archive that holds ``sent``, coded."""
    with open_archive(Place(str(folder))) as archive:
        walks = Walks(archive, Policy())
        for item in sent:
            walks.put(item)
        walks.code_all(effort)
        archive.release_due()


def status(folder: Path) -> dict[str, Any]:
    return json.loads(CliRunner().invoke(main, ["status", "--archive", str(folder), "--json"]).stdout)


def exact(folder: Path, sent: list[Item]) -> None:
    with open_archive(Place(str(folder))) as archive:
        walks = Walks(archive, Policy())
        assert [walks.take(item) for item in sent] == sent


# ------------------------------------------------------------------ without a node
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_without_a_node_the_command_does_it_itself(folder: Path) -> None:
    sent = made(3)
    filled(folder, sent)
    before = status(folder)
    dry = dicomnn("recode", "--archive", str(folder), "--dry-run")
    assert dry.returncode == 0 and "would code 3 instances again" in dry.stdout
    assert "3 CT, effort fast" in dry.stdout
    assert status(folder)["recode_asked"] == 0 and status(folder)["tried"] == before["tried"]
    done = dicomnn("recode", "--archive", str(folder), "--limit", "2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "2 made smaller, 0 left as they were, 0 failed" in done.stdout and done.stderr == ""
    after = status(folder)
    assert (after["recoded"], after["recode_waiting"], after["releases_waiting"]) == (2, {}, 0)
    assert after["recode_saved"] == before["bytes_store"] - after["bytes_store"] > 0
    assert [sum(after["tried"][effort].values()) for effort in ("fast", "max")] == [1, 2]
    shown = dicomnn("status", "--archive", str(folder)).stdout
    assert "2 made smaller, 0 left as they were" in shown and "effort      1 fast, 2 max" in shown
    exact(folder, sent)
    rule = folder.parent / "rule.toml"
    rule.write_text("[recode]\neffort = \"max\"\n")
    ruled = ["status", "--archive", str(folder), "--config", str(rule)]
    assert json.loads(CliRunner().invoke(main, [*ruled, "--json"]).stdout)["recode_below"] == 1
    assert "1 below what the nightly rule wants" in CliRunner().invoke(main, ruled).stdout
    assert after["recode_below"] is None
    nothing = dicomnn("recode", "--archive", str(folder), "--modality", "MR")
    assert nothing.returncode == 0 and "nothing to be coded again" in nothing.stdout


def test_what_failed_is_listed_and_the_exit_code_is_1(folder: Path) -> None:
    sent = made(2)
    filled(folder, sent)
    with open_archive(Place(str(folder))) as archive:
        path = archive.store.local_path(archive.index.get(sent[0].instance).object_name)
    assert path is not None
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"DNNP") + 300] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(raw)
    done = dicomnn("recode", "--archive", str(folder), "--jobs", "1")
    assert done.returncode == 1 and "1 made smaller, 0 left as they were, 1 failed" in done.stdout
    assert f"{sent[0].instance} [payload-corrupt]" in done.stdout
    assert status(folder)["recode_failures"] == {"payload-corrupt": 1}
    exact(folder, sent[1:])


def test_wishes_are_kept_until_somebody_does_them_or_calls_them_off(folder: Path) -> None:
    filled(folder, made(2))
    with open_archive(Place(str(folder))) as archive:
        archive.index.ask_again(lift_to(archive.shelf, "max"))
    late = wait_idle(folder, 0.3)
    assert late.returncode == 1 and json.loads(late.stdout)["recode_asked"] == 2
    off = dicomnn("recode", "--archive", str(folder), "--cancel")
    assert off.returncode == 0 and "2 instances will stay" in off.stdout
    assert wait_idle(folder, 0.3).returncode == 0
    unknown = dicomnn("recode", "--archive", str(folder), "--study", "1.2.3")
    assert unknown.returncode == 1 and "no study with this UID" in unknown.stderr


@pytest.mark.faults
def test_a_command_that_is_killed_or_stopped_loses_nothing(folder: Path) -> None:
    sent = made(6)
    filled(folder, sent)
    config = folder.parent / "short.toml"
    config.write_text("[coding]\nlease_seconds = 4\n")
    command = [sys.executable, "-c", CODE, "recode", "--archive", str(folder), "--jobs", "1",
               "--config", str(config)]
    for round_ in range(2):
        with open_archive(Place(str(folder))) as archive:
            wanted = archive.status().recoded + 1              # a lease alone may be the killed one's
            process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True, start_new_session=True)

            def on_the_way(archive: Archive = archive, wanted: int = wanted) -> bool:
                now = archive.status()
                return now.recoded >= wanted and bool(now.recoding)

            wait_for(on_the_way, 60, "a lease after the first swap")
            if round_ == 0:
                os.killpg(process.pid, signal.SIGKILL)      # at any moment of the second
                process.wait()
            else:
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=60)
                assert process.returncode == 1 and "still wait" in told and "Traceback" not in told
                with pytest.raises(ProcessLookupError):     # its workers ended before it did
                    os.killpg(process.pid, 0)
            assert archive.status().recode_asked > 0
        exact(folder, sent)
    done = subprocess.run(command, cwd=CHECKOUT, check=False, text=True, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    now = status(folder)
    assert (now["recoded"], now["recode_asked"], now["releases_waiting"]) == (6, 0, 0)
    assert sum(now["tried"]["max"].values()) == 6
    exact(folder, sent)


# ------------------------------------------------------------------ with a node
CONFIG = "[coding]\nworkers = 1\neffort = \"fast\"\n[study]\nquiet_seconds = 1\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node") / "archive", config=CONFIG) as running:
        yield running


def test_the_node_does_it_and_c_get_gives_the_same_bytes(node: NodeProcess, sample_data: Path) -> None:
    sent = [item for path, item in items(sample_data / "ct_thorax")][:2]
    study = "1.2.826.9.61"
    sent += [image(n, study=study, series=f"{study}.1", rows=64, columns=64) for n in (1, 2)]
    assert send(node.port, sent) == [0] * 4
    assert wait_idle(node.archive, 120).returncode == 0
    before = status(node.archive)
    assert before["tried"].keys() == {"fast"} and before["node"]
    told = dicomnn("recode", "--archive", str(node.archive), "--study", study)
    assert told.returncode == 0 and "the running node does it" in told.stdout
    done = dicomnn("recode", "--archive", str(node.archive), "--wait")
    assert done.returncode == 0 and "0 failed" in done.stdout, done.stderr
    assert "worked" in node.log and "outcome=recoded" in node.log
    wait_for(lambda: not status(node.archive)["releases_waiting"], 20, "the end of the older objects")
    after = status(node.archive)
    assert after["tried"].keys() == {"max"} and after["recoded"] + after["recode_kept"] == 4
    assert after["bytes_store"] == before["bytes_store"] - after["recode_saved"] < before["bytes_store"]
    got = {**get_study(node.port, study, [(CT, EXPLICIT)]).by_uid}
    thorax = study_of(sent[0])
    got |= get_study(node.port, thorax, [(sent[0].sop_class, sent[0].syntax)]).by_uid
    assert got == {item.instance: item for item in sent}


def study_of(item: Item) -> str:
    import io

    import pydicom

    return str(pydicom.dcmread(io.BytesIO(item.data), force=True, specific_tags=["StudyInstanceUID"])
               .StudyInstanceUID)


# ------------------------------------------------------------------ the nightly rule
class LocalTime:
    def __init__(self) -> None:
        self.now = datetime.now().replace(hour=12) + timedelta(days=2)

    def __call__(self) -> datetime:
        return self.now


def worker(folder: Path, **rule: Any) -> tuple[Worker, LocalTime]:
    """A node's worker that is told what time it is."""
    time = LocalTime()
    made_ = Worker(WorkerSettings(Place(str(folder)), night=NightRule("max", **rule), reports=False), 1)
    assert made_.night is not None
    made_.night._now = time
    return made_, time


def test_a_worker_codes_again_only_at_night_and_only_when_there_is_nothing_else(folder: Path) -> None:
    sent = made(4)
    filled(folder, sent[:3])
    one, time = worker(folder)
    try:
        index = one.archive.index
        assert not one._one_piece(), "by day there is nothing to do"
        time.now = time.now.replace(hour=23)
        Walks(one.archive, Policy()).put(sent[3])
        assert one._one_piece() and index.status().recoded == 0, "what came in goes first"
        assert one._one_piece() and index.status().recoded + index.status().recode_kept == 1
        time.now += timedelta(hours=8)
        assert not one._one_piece() and index.status().recode_waiting == {"night": 3}, "the night is over"
        index.ask_again(lift_to(one.archive.shelf, "max"), limit=1)
        assert one._one_piece(), "what a person wants is done by day too"
        assert index.status().recoded + index.status().recode_kept == 2
        time.now += timedelta(hours=15)
        while one._one_piece():
            pass
        assert index.status().recode_waiting == {} and index.status().tried.keys() == {"max"}
    finally:
        one.archive.close()
    exact(folder, sent)


def test_the_night_stops_at_its_limit(folder: Path) -> None:
    filled(folder, made(5))
    one, time = worker(folder, limit_per_night=2)
    try:
        for expected in (2, 4, 5):
            time.now = time.now.replace(hour=22) + timedelta(days=1)
            while one._one_piece():
                pass
            status = one.archive.index.status()
            assert status.recoded + status.recode_kept == expected
    finally:
        one.archive.close()
