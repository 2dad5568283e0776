"""C-FIND: the keys of an identifier answered from the index (PS3.4 C.4.1).

Every match is a pending answer, 0xFF01 when keys were asked for that this level does not have. The
peer may cancel between any two of them. Too many matches are refused before the first one, with A700.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import structlog
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.presentation import PresentationContext

from dicomnn.dicom.answers import answer
from dicomnn.dicom.matching import parse
from dicomnn.errors import DicomnnError
from dicomnn.flow.query import Search
from scp.dimse import status
from scp.dimse.contexts import PATIENT_ROOT, combined_datetime
from scp.dimse.identifier import identifier_of
from scp.dimse.send import PeerGone

log = structlog.get_logger(__name__)

ONLINE = "ONLINE"


@dataclass(frozen=True)
class Find:
    """What C-FIND needs of the node. coded_availability: what is said of studies of which some objects
    must be restored before they leave."""

    search: Search
    ae_title: str
    coded_availability: str = ONLINE


def serve_find(find: Find, assoc: Any, request: Any, context: PresentationContext) -> None:
    """One C-FIND to its final answer; a peer that leaves on the way ends it quietly."""
    started = time.monotonic()
    counted, level = 0, ""
    try:
        model = str(context.abstract_syntax)
        query = parse(identifier_of(request, context), patient_root=model in PATIENT_ROOT,
                      combined_datetime=combined_datetime(assoc, model))
        level = query.level.name
        pending = status.PENDING_UNSUPPORTED_KEYS if query.unsupported else status.PENDING
        explicit = not context.transfer_syntax[0].is_implicit_VR
        final = status.SUCCESS
        for found in find.search.answers(query):
            if int(request.MessageID) in assoc.dimse.cancel_req:
                final = status.CANCELLED
                break
            if not assoc.is_established or not assoc.dul.is_alive() or assoc.acse.is_aborted():
                raise PeerGone("the peer left during a query")
            availability = find.coded_availability if found.coded else ONLINE
            _respond(assoc, request, context, pending, answer(
                query, found.row, explicit=explicit, retrieve_ae_title=find.ae_title,
                availability=availability))
            counted += 1
        _respond(assoc, request, context, final)
    except PeerGone as error:
        log.warning("find-ended", peer=assoc.peer_address, reason=str(error))
        return
    except Exception as error:  # noqa: BLE001 - the request fails with a status, the node goes on
        final = status.find_status(error)
        known = isinstance(error, DicomnnError)
        log.warning("find-refused", peer=assoc.peer_address, status=f"{final:04X}",
                    reason=str(error) if known else None, exc_info=None if known else error)
        _respond(assoc, request, context, final,
                 comment=error.message if isinstance(error, DicomnnError) else "the node could not search")
        return
    log.info("found", peer=assoc.peer_address, calling_ae=assoc.calling_ae, level=level, answers=counted,
             status=f"{final:04X}", seconds=round(time.monotonic() - started, 3))


def _respond(assoc: Any, request: Any, context: PresentationContext, code: int,
             identifier: bytes | None = None, comment: str = "") -> None:
    """A C-FIND-RSP (PS3.7 9.1.2.2)."""
    response = C_FIND()
    response.MessageID = request.MessageID
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = request.AffectedSOPClassUID
    response.Status = code
    if identifier is not None:
        response.Identifier = BytesIO(identifier)
    if comment:
        response.ErrorComment = status.comment(comment)
    assoc.dimse.send_msg(response, context.context_id)
