"""C-GET and C-MOVE with more matches than a 16-bit count holds, and slower than a destination waits."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import build_context

from dicomnn.errors import ObjectMissing
from dicomnn.flow.retrieve import Match, Outgoing
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination
from scp.dimse.get import GetService
from scp.dimse.move import Mover, MoveService
from tests.scp.peer import CT, EXPLICIT, IMPLICIT, STUDY_GET
from tests.scp.receiver import STUDY_MOVE, Receiver

NUMBER = 66000


class _Empty:
    """An archive that finds many instances and has none of their objects."""

    def matches(self, query: object) -> list[Match]:
        return [Match(f"1.2.3.{n}", CT) for n in range(NUMBER)]

    def prepare(self, match: Match, accepted: tuple[str, ...], compress: tuple[str, ...]) -> Any:
        raise ObjectMissing("gone", subject=match.sop_instance_uid)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """One line per failed instance is right for a node and slow here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def request_for(model: str, sent: list[Any]) -> tuple[Any, Any, Any]:
    """(association, request, context) of a retrieval whose answers go to ``sent``: status, remaining, failed,
    identifier."""
    context = build_context(model, EXPLICIT)
    context.context_id = 1
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", "1.2.3"
    assoc = SimpleNamespace(
        accepted_contexts=[], is_established=True, peer_address="test", calling_ae="TEST",
        service=SimpleNamespace(limits=Limits()),
        acse=SimpleNamespace(is_aborted=lambda: False),
        dimse=SimpleNamespace(cancel_req={}, send_msg=lambda message, _id: sent.append(
            (message.Status, message.NumberOfRemainingSuboperations, message.NumberOfFailedSuboperations,
             message.Identifier))))
    request = SimpleNamespace(MessageID=1, AffectedSOPClassUID=UID(model), MoveDestination="SINK",
                              Identifier=io.BytesIO(encode(query, False, True) or b""))
    return assoc, request, context


@pytest.mark.parametrize("model", [STUDY_GET, STUDY_MOVE])
def test_trap_counts_beyond_sixteen_bits_stay_at_the_largest_and_nothing_breaks(model: str) -> None:
    sent: list[Any] = []
    assoc, request, context = request_for(model, sent)
    archive: Any = _Empty()
    if model == STUDY_GET:
        GetService(archive, assoc, request, context).run()
    else:
        with Receiver([(CT, [EXPLICIT, IMPLICIT])]) as receiver:
            mover = Mover(archive, "NODE", Limits(),
                          {"SINK": Destination("SINK", "127.0.0.1", receiver.port)})
            MoveService(mover, assoc, request, context).run()
            assert len(receiver.callers) == 1
    assert sent[0][:3] == (0xFF00, 65535, 1)
    status, remaining, failed, identifier = sent[-1]
    assert (status, remaining, failed) == (0xA702, None, 65535)
    failed_uids = decode(identifier, False, True)["FailedSOPInstanceUIDList"]
    assert failed_uids.VR == "UI" and len("\\".join(failed_uids.value)) < 65535
    assert failed_uids.value[:2] == ["1.2.3.0", "1.2.3.1"]


class _Slow:
    """An archive that needs longer for its second instance than the destination waits."""

    def __init__(self, aborted: threading.Event) -> None:
        self._aborted, self.prepared = aborted, 0

    def matches(self, query: object) -> list[Match]:
        return [Match(f"1.2.3.{n}", CT, EXPLICIT) for n in range(3)]

    def prepare(self, match: Match, accepted: tuple[str, ...], compress: tuple[str, ...]) -> Outgoing:
        self.prepared += 1
        if match.sop_instance_uid == "1.2.3.1":
            assert self._aborted.wait(30)
        data = b"\x08\0\x18\0UI\x08\0" + match.sop_instance_uid.encode().ljust(8, b"\0")
        return Outgoing(CT, match.sop_instance_uid, EXPLICIT, io.BytesIO(data), len(data))


def test_trap_a_destination_that_grows_tired_during_a_restore_is_called_again_and_nothing_fails() -> None:
    with Receiver([(CT, [EXPLICIT, IMPLICIT])], patience=1.0) as receiver:
        archive: Any = _Slow(receiver.aborted)
        sent: list[Any] = []
        mover = Mover(archive, "NODE", Limits(), {"SINK": Destination("SINK", "127.0.0.1", receiver.port)})
        MoveService(mover, *request_for(STUDY_MOVE, sent)).run()
        assert sent[-1][0] == 0 and archive.prepared == 3
        assert len(receiver.items) == 3 and len(receiver.callers) == 2
