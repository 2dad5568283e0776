"""C-GET: matches of the archive sent back over the same association, byte for byte.

Every match is a sub-operation of its own: what the peer cannot take, or what is damaged, fails
alone, with its UID in the final answer and its reason in the log. While one instance is restored
(which may take a while for a large one) the peer gets pending answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import C_GET
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import DicomnnError, IdentifierInvalid
from dicomnn.flow.retrieve import LEVELS, Match, Outgoing, Query, Retrieval
from scp.dimse import send, status
from scp.dimse.accept import PATIENT_ROOT_GET

log = structlog.get_logger(__name__)

COUNT_LIMIT = 65535             # sub-operation counts are US (PS3.7 9.1.3): larger numbers stay at this
PENDING_SECONDS = 5.0
FAILED_LIST_BYTES = 65000       # a UI value in Explicit VR holds at most 65534 bytes (PS3.5 7.1.2)

_KEYS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID",
         "IMAGE": "SOPInstanceUID"}


def parse_query(identifier: Dataset, model_uid: str) -> Query:
    """The level and the unique keys of a C-GET identifier (PS3.4 C.4.3.1.3).

    Unique keys above the level may be left out, as many viewers do; those that are there must match.

    Raises
    ------
    IdentifierInvalid
        No such level in this model, no unique key, or a wildcard where UIDs must stand.
    """
    level = str(identifier.get("QueryRetrieveLevel", "") or "").strip()
    if level not in LEVELS or (level == "PATIENT" and model_uid != PATIENT_ROOT_GET):
        raise IdentifierInvalid(f"'{level[:16]}' is no Query/Retrieve Level of this model")
    keys: dict[str, tuple[str, ...]] = {}
    for name, keyword in _KEYS.items():
        value = identifier.get(keyword)
        texts = [value] if isinstance(value, str) else list(value or ())
        texts = [str(t).strip(" \0") for t in texts if str(t).strip(" \0")]
        if any(c in t for t in texts for c in "*?") and keyword != "PatientID":
            raise IdentifierInvalid(f"{keyword} must be a UID or a list of UIDs")
        if LEVELS.index(name) > LEVELS.index(level):
            continue
        keys[name] = tuple(texts)
    if not keys[level]:
        raise IdentifierInvalid(f"{_KEYS[level]} is needed at the {level} level")
    return Query(level=level, patient_ids=keys["PATIENT"], study_uids=keys.get("STUDY", ()),
                 series_uids=keys.get("SERIES", ()), instance_uids=keys.get("IMAGE", ()))


@dataclass
class Tally:
    """Sub-operations, as they go into the answers."""

    total: int
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)
    _bytes: int = 0

    @property
    def remaining(self) -> int:
        return self.total - self.completed - self.failed - self.warned

    def fail(self, uid: str) -> None:
        self.failed += 1
        self._bytes += len(uid) + 1
        if self._bytes < FAILED_LIST_BYTES:
            self.failed_uids.append(uid)


class GetService:
    """One C-GET request on one association."""

    def __init__(self, retrieval: Retrieval, assoc: Any, request: Any, context: PresentationContext) -> None:
        self._retrieval = retrieval
        self._assoc = assoc
        self._request = request
        self._context = context
        self._message_id = int(request.MessageID)
        self._next_id = self._message_id
        self._last_pending = time.monotonic()

    def run(self) -> None:
        """Serve the request to its final answer.

        Raises
        ------
        PeerGone
            The association ended on the way; nothing is left to answer.
        """
        started = time.monotonic()
        try:
            query = parse_query(self._identifier(), str(self._context.abstract_syntax))
            matches = self._retrieval.matches(query)
        except Exception as error:  # noqa: BLE001 - the request fails with a status, the node goes on
            self._refuse(error)
            return
        tally = Tally(len(matches))
        final = self._send_all(matches, tally)
        self._respond(final, tally, final=True)
        log.info("retrieved", peer=self._assoc.peer_address, calling_ae=self._assoc.calling_ae,
                 level=query.level, matches=tally.total, completed=tally.completed, failed=tally.failed,
                 warned=tally.warned, status=f"{final:04X}", seconds=round(time.monotonic() - started, 3))

    # ------------------------------------------------------------------ the request
    def _identifier(self) -> Dataset:
        syntax = self._context.transfer_syntax[0]
        try:
            identifier = decode(self._request.Identifier, syntax.is_implicit_VR, syntax.is_little_endian,
                                syntax.is_deflated)
            identifier.walk(lambda _ds, _element: None, recursive=False)    # values are converted here
        except Exception as error:
            raise IdentifierInvalid("the identifier cannot be decoded") from error
        return identifier

    def _refuse(self, error: Exception) -> None:
        code = status.retrieve_status(error)
        if isinstance(error, DicomnnError):
            log.warning("get-refused", peer=self._assoc.peer_address, code=error.code, reason=str(error))
            comment = error.message
        else:
            log.error("get-refused", peer=self._assoc.peer_address, exc_info=error)
            comment = "the node could not process the request"
        answer = self._new_answer(code)
        answer.ErrorComment = status.comment(comment)
        self._assoc.dimse.send_msg(answer, self._context.context_id)

    # ------------------------------------------------------------------ sub-operations
    def _send_all(self, matches: list[Match], tally: Tally) -> int:
        """All sub-operations, one restored ahead while another is sent; the final status."""
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as restorer:
            ahead: Future[Outgoing] | None = None
            try:
                for number, match in enumerate(matches):
                    if self._message_id in self._assoc.dimse.cancel_req:
                        return status.CANCELLED
                    current = ahead or restorer.submit(self._prepare, match)
                    ahead = None
                    outgoing = self._await(current, match, tally)
                    if number + 1 < len(matches):
                        ahead = restorer.submit(self._prepare, matches[number + 1])
                    if outgoing is None:
                        tally.fail(match.sop_instance_uid)
                    else:
                        with outgoing:
                            self._send_one(match, outgoing, tally)
                    if tally.remaining:
                        self._respond(status.PENDING, tally)
            finally:
                if ahead is not None:
                    ahead.add_done_callback(_close_unused)
        if tally.failed or tally.warned:
            some = tally.completed or tally.warned
            return status.SOME_SUBOPERATIONS_FAILED if some else status.CANNOT_PERFORM
        return status.SUCCESS

    def _prepare(self, match: Match) -> Outgoing:
        syntaxes = send.accepted_syntaxes(self._assoc, match.sop_class_uid)
        return self._retrieval.prepare(match, syntaxes)

    def _await(self, future: Future[Outgoing], match: Match, tally: Tally) -> Outgoing | None:
        """The restored instance, or None when it failed; keeps the peer informed meanwhile."""
        while True:
            try:
                return future.result(timeout=0.5)
            except NotYet:
                if future.done():
                    continue
                if not self._assoc.is_established or self._assoc.acse.is_aborted():
                    raise send.PeerGone("the peer left during a restore") from None
                if time.monotonic() - self._last_pending > PENDING_SECONDS:
                    self._respond(status.PENDING, tally)
            except DicomnnError as error:
                log.warning("sub-operation-failed", uid=match.sop_instance_uid, peer=self._assoc.peer_address,
                            code=error.code, reason=error.sentence())
                return None
            except Exception as error:  # noqa: BLE001 - one instance fails, the others go on
                log.error("sub-operation-failed", uid=match.sop_instance_uid, exc_info=error)
                return None

    def _send_one(self, match: Match, outgoing: Outgoing, tally: Tally) -> None:
        context = send.choose_context(self._assoc, outgoing.sop_class_uid, (outgoing.transfer_syntax_uid,))
        if context is None:
            log.warning("sub-operation-failed", uid=match.sop_instance_uid, code="no-context",
                        reason=f"the peer takes no {outgoing.transfer_syntax_uid} of this class")
            tally.fail(match.sop_instance_uid)
            return
        self._next_id = self._next_id % 65535 + 1
        if self._next_id == self._message_id:
            self._next_id = self._next_id % 65535 + 1
        send.send_data_set(self._assoc, context, sop_class_uid=outgoing.sop_class_uid,
                           sop_instance_uid=outgoing.sop_instance_uid, source=outgoing.source,
                           size=outgoing.size, message_id=self._next_id)
        answer = send.await_answer(self._assoc, self._assoc.service.limits.dimse_timeout, self._next_id)
        if answer == status.SUCCESS:
            tally.completed += 1
        elif answer & 0xF000 == 0xB000:
            tally.warned += 1
        else:
            log.warning("sub-operation-failed", uid=match.sop_instance_uid, code="peer-status",
                        reason=f"the peer answered {answer:04X}")
            tally.fail(match.sop_instance_uid)

    # ------------------------------------------------------------------ answers
    def _new_answer(self, code: int) -> C_GET:
        answer = C_GET()
        answer.MessageID = self._message_id
        answer.MessageIDBeingRespondedTo = self._message_id
        answer.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        answer.Status = code
        return answer

    def _respond(self, code: int, tally: Tally, *, final: bool = False) -> None:
        """A pending or final answer; 'remaining' is not in the final one unless cancelled (C.4.3.1.4)."""
        answer = self._new_answer(code)
        if not final or code == status.CANCELLED:
            answer.NumberOfRemainingSuboperations = min(tally.remaining, COUNT_LIMIT)
        answer.NumberOfCompletedSuboperations = min(tally.completed, COUNT_LIMIT)
        answer.NumberOfFailedSuboperations = min(tally.failed, COUNT_LIMIT)
        answer.NumberOfWarningSuboperations = min(tally.warned, COUNT_LIMIT)
        if final and code != status.SUCCESS:
            failed = Dataset()
            failed.FailedSOPInstanceUIDList = tally.failed_uids
            syntax = self._context.transfer_syntax[0]
            raw = encode(failed, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
            answer.Identifier = BytesIO(raw or b"")
        self._last_pending = time.monotonic()
        self._assoc.dimse.send_msg(answer, self._context.context_id)


def _close_unused(future: Future[Outgoing]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def serve_get(retrieval: Retrieval, assoc: Any, request: Any, context: PresentationContext,
              on_gone: Callable[[], None] | None = None) -> None:
    """One C-GET; a peer that leaves on the way ends it quietly."""
    try:
        GetService(retrieval, assoc, request, context).run()
    except send.PeerGone as error:
        log.warning("get-ended", peer=assoc.peer_address, reason=str(error))
        if on_gone is not None:
            on_gone()
