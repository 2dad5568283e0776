"""What C-GET and C-MOVE have in common: matches of the archive sent one by one, counted and answered.

Every match is a sub-operation of its own: what the receiver cannot take, or what is damaged, fails
alone, with its UID in the final answer and its reason in the log. While one instance is restored or sent
(which may take a while for a large one) the peer that asked gets pending answers.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import DicomnnError, PeerError
from dicomnn.flow.retrieve import Match, Outgoing, Query, Retrieval
from scp.dimse import send, status
from scp.dimse.identifier import identifier_of, parse_query

log = structlog.get_logger(__name__)

COUNT_LIMIT = 65535             # sub-operation counts are US (PS3.7 9.1.3): larger numbers stay at this
PENDING_SECONDS = 5.0
FAILED_LIST_BYTES = 65000       # a UI value in Explicit VR holds at most 65534 bytes (PS3.5 7.1.2)


class ReceiverLost(PeerError):
    """The receiver of the instances went away; whoever asked for them is still there."""


@dataclass
class Tally:
    """Sub-operations, as they go into the answers."""

    total: int
    completed: int = 0
    failed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)
    reason: str = ""                # of the first failure
    _bytes: int = 0

    @property
    def remaining(self) -> int:
        return self.total - self.completed - self.failed - self.warned

    def fail(self, uid: str, reason: str) -> None:
        self.failed += 1
        self.reason = self.reason or reason
        self._bytes += len(uid) + 1
        if self._bytes < FAILED_LIST_BYTES:
            self.failed_uids.append(uid)

    def final_status(self) -> int:
        """PS3.4 C.4.2.1.5 and C.4.3.1.4, when every sub-operation was tried."""
        if not self.failed and not self.warned:
            return status.SUCCESS
        return status.SOME_SUBOPERATIONS_FAILED if self.completed or self.warned else status.CANNOT_PERFORM


class Receiver(Protocol):
    """Where instances go."""

    compress: tuple[str, ...]
    """Syntaxes that are preferred for images, best first; see `Retrieval.prepare`."""

    def accepted(self, sop_class_uid: str) -> tuple[str, ...]:
        """The transfer syntaxes in which it takes this class."""

    def send(self, outgoing: Outgoing, waiting: Callable[[], None]) -> int:
        """One C-STORE; the receiver's status. ``waiting`` is called now and then until it answers. Raises
        PeerGone or ReceiverLost when it goes away."""


class Retrieve(ABC):
    """One C-GET or C-MOVE request on one association; see `run`. Subclasses say where instances go."""

    primitive: type[Any]
    name = "retrieve"

    def __init__(self, retrieval: Retrieval, assoc: Any, request: Any, context: PresentationContext) -> None:
        self._retrieval = retrieval
        self._assoc = assoc
        self._request = request
        self._context = context
        self._message_id = int(request.MessageID)
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
            query = parse_query(identifier_of(self._request, self._context),
                                str(self._context.abstract_syntax))
            matches = self._matches(query)
        except Exception as error:  # noqa: BLE001 - the request fails with a status, the node goes on
            self._refuse(error)
            return
        tally = Tally(len(matches))
        final = status.CANCELLED if self._send_all(matches, tally) else tally.final_status()
        self._respond(final, tally, final=True)
        log.info(self.name, peer=self._assoc.peer_address, calling_ae=self._assoc.calling_ae,
                 level=query.level, matches=tally.total, completed=tally.completed, failed=tally.failed,
                 warned=tally.warned, status=f"{final:04X}", seconds=round(time.monotonic() - started, 3))

    # ------------------------------------------------------------------ what a subclass gives
    def _matches(self, query: Query) -> list[Match]:
        return self._retrieval.matches(query)

    @abstractmethod
    def _send_all(self, matches: list[Match], tally: Tally) -> bool:
        """All sub-operations; True when they were cancelled on the way."""

    # ------------------------------------------------------------------ sub-operations
    def _send_some(self, matches: Sequence[Match], tally: Tally, receiver: Receiver) -> bool:
        """Some of them to one receiver, one restored ahead while another is sent. True: cancelled.

        Raises
        ------
        ReceiverLost
            With the present one counted as failed, and those behind it not tried.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as restorer:
            ahead: Future[Outgoing] | None = None

            def begin(match: Match) -> Future[Outgoing]:
                return restorer.submit(lambda: self._retrieval.prepare(
                    match, receiver.accepted(match.sop_class_uid), receiver.compress))

            try:
                for number, match in enumerate(matches):
                    if self._message_id in self._assoc.dimse.cancel_req:
                        return True
                    self._still_there(tally)
                    current, ahead = ahead or begin(match), None
                    outgoing = self._await(current, match, tally)
                    if number + 1 < len(matches):
                        ahead = begin(matches[number + 1])
                    if outgoing is not None:
                        with outgoing:
                            self._send_one(match, outgoing, tally, receiver)
                    if tally.remaining:
                        self._respond(status.PENDING, tally)
            finally:
                if ahead is not None:
                    ahead.add_done_callback(_close_unused)
        return False

    def _await(self, future: Future[Outgoing], match: Match, tally: Tally) -> Outgoing | None:
        """The restored instance, or None when that failed; keeps the peer informed meanwhile."""
        while True:
            try:
                return future.result(timeout=0.5)
            except NotYet:
                if future.done():
                    continue
                self._still_there(tally)
            except DicomnnError as error:
                self._failed(match, tally, error.code, error.message)
                return None
            except Exception as error:  # noqa: BLE001 - one instance fails, the others go on
                log.error("sub-operation-error", uid=match.sop_instance_uid, exc_info=error)
                self._failed(match, tally, "error", "the node could not prepare it")
                return None

    def _still_there(self, tally: Tally) -> None:
        """Called while something takes its time: is the peer there, and does it know that we are?"""
        if not self._assoc.is_established or self._assoc.acse.is_aborted():
            raise send.PeerGone("the peer left during a sub-operation")
        if time.monotonic() - self._last_pending > PENDING_SECONDS:
            self._respond(status.PENDING, tally)

    def _send_one(self, match: Match, outgoing: Outgoing, tally: Tally, receiver: Receiver) -> None:
        try:
            answer = receiver.send(outgoing, lambda: self._still_there(tally))
        except ReceiverLost as error:
            self._failed(match, tally, "receiver-lost", error.message)
            raise
        except send.NoContext as error:
            self._failed(match, tally, "no-context", error.message)
            return
        if answer == status.SUCCESS:
            tally.completed += 1
        elif answer & 0xF000 == 0xB000:
            tally.warned += 1
        else:
            self._failed(match, tally, "peer-status", f"the receiver answered {answer:04X}")

    def _failed(self, match: Match, tally: Tally, code: str, reason: str) -> None:
        tally.fail(match.sop_instance_uid, reason)
        log.warning("sub-operation-failed", uid=match.sop_instance_uid, peer=self._assoc.peer_address,
                    code=code, reason=reason)

    # ------------------------------------------------------------------ answers
    def _refuse(self, error: Exception, code: int | None = None) -> None:
        code = status.retrieve_status(error) if code is None else code
        known = isinstance(error, DicomnnError)
        log.warning(f"{self.name}-refused", peer=self._assoc.peer_address, status=f"{code:04X}",
                    reason=str(error) if known else None, exc_info=None if known else error)
        answer = self._new_answer(code)
        answer.ErrorComment = status.comment(
            error.message if isinstance(error, DicomnnError) else "the node could not process the request")
        self._assoc.dimse.send_msg(answer, self._context.context_id)

    def _new_answer(self, code: int) -> Any:
        answer = self.primitive()
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
            if tally.reason:
                answer.ErrorComment = status.comment(tally.reason)
        self._last_pending = time.monotonic()
        self._assoc.dimse.send_msg(answer, self._context.context_id)


def _close_unused(future: Future[Outgoing]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


class Over:
    """The receiver at the other end of an association, whoever asked for it."""

    def __init__(self, assoc: Any, seconds: float, *, first_message_id: int = 0,
                 originator: tuple[str, int] | None = None, compress: tuple[str, ...] = ()) -> None:
        self.compress = compress
        self._assoc, self._seconds, self._originator = assoc, seconds, originator
        self._taken = self._next_id = first_message_id

    def accepted(self, sop_class_uid: str) -> tuple[str, ...]:
        return send.accepted_syntaxes(self._assoc, sop_class_uid)

    def send(self, outgoing: Outgoing, waiting: Callable[[], None]) -> send.Answer:
        context = send.choose_context(self._assoc, outgoing.sop_class_uid, (outgoing.transfer_syntax_uid,))
        if context is None:
            raise send.NoContext(f"the receiver takes no {outgoing.transfer_syntax_uid} of this class")
        self._next_id = self._next_id % 65535 + 1
        if self._next_id == self._taken:       # the request's own, on the same association
            self._next_id = self._next_id % 65535 + 1
        send.send_data_set(self._assoc, context, sop_class_uid=outgoing.sop_class_uid,
                           sop_instance_uid=outgoing.sop_instance_uid, source=outgoing.source,
                           size=outgoing.size, message_id=self._next_id, originator=self._originator)
        return send.await_answer(self._assoc, self._seconds, self._next_id, waiting)
