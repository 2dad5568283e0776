"""A C-MOVE whose destination takes its time: the peer that asked hears that it goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from scp.dimse.suboperations import PENDING_SECONDS
from tests.scp.peer import CT, EXPLICIT, NodeProcess, image, send
from tests.scp.receiver import Receiver, move_study


@pytest.mark.timeout(60)
def test_trap_a_slow_destination_does_not_leave_the_asker_without_pending_answers(tmp_path: Path) -> None:
    study = "1.2.826.9.8"
    item = image(1, study=study, series=f"{study}.1")
    told = threading.Event()

    def wait_until_the_asker_was_told(_item: object, _event: object) -> int:
        assert told.wait(4 * PENDING_SECONDS)
        return 0

    with (Receiver([(CT, EXPLICIT)], wait_until_the_asker_was_told) as receiver,
          NodeProcess(tmp_path / "archive", "--workers", "-1", config=receiver.destination()) as node):
        assert send(node.port, [item]) == [0]
        got = move_study(node.port, study, on_pending=lambda _assoc, _number: told.set())
        assert got.final == 0
        assert got.pending[0] == {"Remaining": 1, "Completed": 0, "Failed": 0, "Warning": 0}
