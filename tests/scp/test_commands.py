"""``dicomnn serve`` and ``dicomnn status`` as commands: exit codes and sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.campaign import wait_idle
from tests.scp.objects import made
from tests.scp.peer import CHECKOUT, NodeProcess, image, send, wait_for


def dicomnn(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", "from dicomnn.cli import main; main()", *arguments],
                          cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)


def test_status_shows_backlog_and_node_and_wait_idle_times_out_with_exit_1(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "archive", "--workers", "-1") as node:
        assert send(node.port, [image(1), image(2), image(1)]) == [0, 0, 0]
        wait_for(lambda: (node.archive / "node.json").exists(), 10, "the heartbeat")
        late = wait_idle(node.archive, 0.5)
        facts = json.loads(late.stdout)
        assert late.returncode == 1 and "work is left" in late.stderr
        assert facts["backlog"] == 2 and facts["duplicates"] == 1 and facts["instances"] == 2
        assert facts["bytes_received"] == facts["bytes_store"] > 0
        assert facts["node"]["address"].endswith(str(node.port))
        shown = dicomnn("status", "--archive", str(node.archive)).stdout
        assert "2 waiting" in shown and "1 sent again" in shown
        taken = dicomnn("serve", "--archive", str(tmp_path / "other"), "--port", str(node.port))
        assert taken.returncode == 2 and "cannot listen" in taken.stderr and "What to do" in taken.stderr
    gone = json.loads(dicomnn("status", "--archive", str(node.archive), "--json").stdout)
    assert gone["node"] is None and gone["backlog"] == 2


def test_status_lists_conflicts_and_what_objects_disagree_about(tmp_path: Path) -> None:
    place = {"study": "1.2.9", "series": "1.2.9.1"}
    items = [made("1.2.9.1.1", PatientID="P1", **place), made("1.2.9.1.1", PatientID="other", **place),
             made("1.2.9.1.2", PatientID="P2", **place),
             made("1.2.8.1", study="1.2.8", series="1.2.9.1", PatientID="P1")]
    with NodeProcess(tmp_path / "archive", "--workers", "-1") as node:
        assert send(node.port, items) == [0, 0x0111, 0, 0]
    facts = json.loads(dicomnn("status", "--archive", str(node.archive), "--conflicts", "--json").stdout)
    listed = {found["kind"]: (found["uid"], found["named"]) for found in facts["conflict_list"]}
    assert listed["patients"] == ("1.2.9", ["P1", "P2"])
    assert listed["studies"] == ("1.2.9.1", ["1.2.8", "1.2.9"])
    assert listed["uid"][0] == "1.2.9.1.1" and len(listed["uid"][1]) == 1
    shown = dicomnn("status", "--archive", str(node.archive), "--conflicts").stdout
    assert "study 1.2.9 names several patients: P1, P2" in shown


def test_wrong_use_is_exit_2_with_a_sentence(tmp_path: Path) -> None:
    nothing = dicomnn("status", "--archive", str(tmp_path / "nothing"))
    assert nothing.returncode == 2 and "there is no archive" in nothing.stderr
    assert not (tmp_path / "nothing").exists()
    config = tmp_path / "dicomnn.toml"
    config.write_text("[node]\nprot = 1\n")
    wrong = dicomnn("serve", "--config", str(config))
    assert wrong.returncode == 2 and "did you mean 'port'" in wrong.stderr and "Traceback" not in wrong.stderr
