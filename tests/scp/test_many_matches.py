"""C-GET and C-MOVE with more matches than a 16-bit count holds."""

from __future__ import annotations

import io
import logging
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
from dicomnn.flow.retrieve import Match
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


@pytest.mark.parametrize("model", [STUDY_GET, STUDY_MOVE])
def test_trap_counts_beyond_sixteen_bits_stay_at_the_largest_and_nothing_breaks(model: str) -> None:
    sent: list[Any] = []
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
