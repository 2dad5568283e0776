"""C-STORE: from a stream on disk to an acknowledged instance.

The order that the answer promises (design section 5): file synced, renamed, folder synced, index
committed, then 0x0000. All of it happens in flow/ingest and the archive; here commands become
arrivals, and outcomes become statuses.
"""

from __future__ import annotations

from typing import Any

import structlog
from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import DicomnnError, IdentifierInvalid
from dicomnn.flow.ingest import Arrival, Command, Ingest, Outcome
from dicomnn.flow.part10 import UID_TEXT
from scp.dimse import status
from scp.dimse.stream import StoreRequest

log = structlog.get_logger(__name__)


def open_arrival(ingest: Ingest, assoc: Any, request: StoreRequest,
                 association: str | None = None) -> Arrival:
    """Where the data set of this command goes; called before its first byte is read.

    Raises
    ------
    IdentifierInvalid
        The command's UIDs cannot be stored.
    StoreFull, StoreFailed
        No file could be made for it.
    """
    context = assoc._accepted_cx[request.context_id]
    for name, value in (("SOP Class UID", request.sop_class_uid),
                        ("SOP Instance UID", request.sop_instance_uid)):
        if not UID_TEXT.fullmatch(value):
            raise IdentifierInvalid(f"the command's {name} is empty, too long or no text")
    return ingest.open(Command(
        sop_class_uid=request.sop_class_uid,
        sop_instance_uid=request.sop_instance_uid,
        transfer_syntax_uid=str(context.transfer_syntax[0]),
        calling_ae=assoc.calling_ae,
        called_ae=str(assoc.requestor.primitive.called_ae_title or "").strip(),
        peer_address=assoc.peer_address,
        association=association,
    ))


def serve_store(ingest: Ingest, assoc: Any, request: StoreRequest, context: PresentationContext) -> None:
    """Finish what arrived, and answer. Never raises for bad input; a lost peer is the reactor's matter."""
    outcome: Outcome | None = None
    if request.sop_class_uid != str(context.abstract_syntax):
        request.drop()
        code, comment = status.CLASS_NOT_SUPPORTED, "SOP class is not that of the presentation context"
    elif request.error is not None or request.sink is None:
        code, comment = _told(assoc, request, request.error or IdentifierInvalid("there is no data set"))
    else:
        arrival, request.sink = request.sink, None
        try:
            outcome = ingest.finish(arrival)
            code, comment = _answer(outcome, ingest)
        except Exception as error:  # noqa: BLE001 - every failure has a status, and nothing was acknowledged
            arrival.abort()
            code, comment = _told(assoc, request, error)
    if outcome is not None:
        log.info("stored", peer=assoc.peer_address, calling_ae=assoc.calling_ae, uid=request.sop_instance_uid,
                 kind=outcome.kind, bytes=request.size, status=f"{code:04X}", note=outcome.note or None)
    respond(assoc, request, code, comment)


def _answer(outcome: Outcome, ingest: Ingest) -> tuple[int, str]:
    if outcome.kind == "conflict":
        refuse = ingest.policy.conflict_status == "refuse"
        return (status.DUPLICATE_INSTANCE if refuse else status.COERCED,
                "UID is taken by other content; both are kept")
    if outcome.mismatch:
        return status.DATA_SET_MISMATCH_WARNING, "kept; data set has another SOP Instance UID"
    return status.SUCCESS, ""


def _told(assoc: Any, request: StoreRequest, error: BaseException) -> tuple[int, str]:
    code = status.store_status(error)
    if isinstance(error, DicomnnError):
        comment = error.message
        log.warning("not-stored", peer=assoc.peer_address, calling_ae=assoc.calling_ae,
                    uid=request.sop_instance_uid, status=f"{code:04X}", code=error.code, reason=str(error))
    else:
        comment = "the node could not store the object"
        log.error("not-stored", peer=assoc.peer_address, uid=request.sop_instance_uid, status=f"{code:04X}",
                  exc_info=error)
    return code, comment


def respond(assoc: Any, request: StoreRequest, code: int, comment: str = "") -> None:
    """Send the C-STORE-RSP (PS3.7 9.1.1.2)."""
    answer = C_STORE()
    answer.MessageID = request.message_id
    answer.MessageIDBeingRespondedTo = request.message_id
    try:
        answer.AffectedSOPClassUID = UID(request.sop_class_uid)
        answer.AffectedSOPInstanceUID = UID(request.sop_instance_uid)
    except (ValueError, TypeError):
        pass                        # both are optional in the response; what came is no UID
    answer.Status = code
    if comment and code != status.SUCCESS:
        answer.ErrorComment = status.comment(comment)
    assoc.dimse.send_msg(answer, request.context_id)
