"""Deliveries of the ledger carried to one destination, as C-MOVE would send them, and what it said to each.

Whatever a destination does, the carrier waits for it no longer than the timeouts of [node] say; then the
destination has a pause, which grows, and other destinations never notice. A delivery is written down as sent
only after the answer to it, and is not sent again then; one whose answer never came is sent again. A peer's
comment goes into the ledger and not into the log: it may name a patient.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import structlog

from dicomnn.archive import Delivery, Failure, Leg, State
from dicomnn.archive.forwarding import UNSURE
from dicomnn.errors import DicomnnError, IndexFailed, InstanceNotFound, PeerError, StoreFailed, StoreFull
from dicomnn.flow.forward import back_off
from dicomnn.flow.retrieve import Match, NoCommonSyntax, Outgoing, Retrieval
from scp.dimse import status
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination, NothingAccepted, SenderAssociation, connected
from scp.dimse.plan import Batch, plan
from scp.dimse.send import Answer, NoAnswer, NoContext, PeerGone
from scp.dimse.sender import Sender
from scp.dimse.suboperations import ReceiverLost

log = structlog.get_logger(__name__)

REFUSALS = 3                # "out of resources" in a row, then the destination has a pause
STOP_SECONDS = 5.0          # for an answer, when the node stops


@dataclass(frozen=True)
class Manner:
    """How deliveries are carried; see [forwarding]. lease_seconds: how long one may stay without a sign."""

    ae_title: str
    limits: Limits
    first_pause: float
    longest_pause: float
    attempts: int
    at_once: int

    @property
    def lease_seconds(self) -> float:
        limits = self.limits
        return 120.0 + 2 * (limits.acse_timeout + limits.dimse_timeout + limits.network_timeout)


class _Interrupted(PeerError):
    """No more of this round: the destination is in trouble, or the node stops."""


class Carrier:
    """Carries to one destination; see `once`. stop: set from outside when the node stops."""

    def __init__(self, retrieval: Retrieval, destination: Destination, manner: Manner, owner: str,
                 stop: threading.Event) -> None:
        self._retrieval, self._destination, self._manner = retrieval, destination, manner
        self._ledger = retrieval.archive.index.forwarding
        self._owner, self._stop = owner, stop
        self._left: dict[str, Delivery] = {}        # leased, with nothing written down yet; by present UID
        self._refusals = 0
        self._renewed = self._stopped = 0.0
        self._begun = ""                            # the UID that is on its way just now

    def once(self) -> bool:
        """One round: what is due, up to ``at_once``. False: nothing was.

        Raises
        ------
        IndexFailed
            The ledger cannot be written; leases end by themselves.
        """
        manner, title = self._manner, self._destination.ae_title
        leased = self._ledger.lease(title, self._owner, manner.lease_seconds, manner.at_once, manner.attempts)
        if not leased:
            return False
        self._renewed, self._refusals, self._begun = time.monotonic(), 0, ""
        self._left = {}
        try:
            for batch in plan(self._matches(leased), self._destination.compress):
                self._carry(batch)
        except _Interrupted as error:
            log.debug("forward-interrupted", destination=title, reason=error.message, left=len(self._left))
        finally:
            self._ledger.give_back(list(self._left.values()))
        return True

    def _matches(self, leased: Sequence[Delivery]) -> list[Match]:
        matches = []
        for delivery in leased:
            try:
                instance = self._retrieval.archive.index.get(delivery.received_uid)
            except InstanceNotFound:
                instance = None
            if instance is None or instance.state is State.DELETED:
                self._ledger.drop(delivery, "deleted")
            elif instance.digest != delivery.digest:
                self._ledger.drop(delivery, "replaced")       # the newer content has a delivery of its own
            else:
                match = self._retrieval.match(instance)
                self._left[match.sop_instance_uid] = delivery
                matches.append(match)
        return matches

    def give_up(self) -> None:
        """The process ends although `once` did not return: what it had not begun is free for others."""
        self._ledger.give_back([d for uid, d in list(self._left.items()) if uid != self._begun])

    # ------------------------------------------------------------------ one association
    def _carry(self, batch: Batch) -> None:
        def connect() -> AbstractContextManager[SenderAssociation]:
            return connected(self._destination, batch.contexts, ae_title=self._manner.ae_title,
                             limits=self._manner.limits)

        try:
            sender = Sender(connect, self._manner.limits.dimse_timeout, None, self._destination.compress)
        except NothingAccepted as error:
            for match in batch.matches:
                self._failed(match, "no-context", error.message)
            return
        except PeerError as error:
            self._pause("no-association", error.message)
            raise _Interrupted(error.message) from error
        try:
            self._send_all(batch.matches, sender)
        except BaseException as error:
            with suppress(Exception):
                sender.close(error)
            raise
        sender.close()

    def _send_all(self, matches: Sequence[Match], sender: Sender) -> None:
        """One is restored while the one before it is sent."""
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as restorer:
            ahead: Future[Outgoing] | None = None

            def begin(match: Match) -> Future[Outgoing]:
                return restorer.submit(lambda: self._retrieval.prepare(
                    match, sender.accepted(match.sop_class_uid), sender.compress))

            try:
                for number, match in enumerate(matches):
                    current, ahead = ahead or begin(match), None
                    outgoing = self._prepared(current, match)
                    if number + 1 < len(matches):
                        ahead = begin(matches[number + 1])
                    if outgoing is not None:
                        with outgoing:
                            self._send(match, outgoing, sender)
            finally:
                if ahead is not None:
                    ahead.add_done_callback(_close_unused)

    def _prepared(self, future: Future[Outgoing], match: Match) -> Outgoing | None:
        """The restored instance, or None when that failed."""
        while not wait([future], 0.5).done:
            self._still_here()
            if self._stop.is_set():
                break
        if self._stop.is_set():
            future.add_done_callback(_close_unused)
            raise _Interrupted("the node stops")
        self._still_here()
        try:
            return future.result()
        except InstanceNotFound:
            self._ledger.drop(self._left.pop(match.sop_instance_uid), "deleted")
        except NoCommonSyntax as error:
            self._failed(match, "no-context", error.message)
        except (StoreFailed, StoreFull, IndexFailed) as error:     # our own trouble
            self._failed(match, error.code, error.message, blames="destination")
            raise _Interrupted(error.message) from error
        except DicomnnError as error:
            self._failed(match, error.code, error.message)
        except Exception as error:  # noqa: BLE001 - one instance fails, the others go on
            log.error("forward-error", uid=match.sop_instance_uid, exc_info=error)
            self._failed(match, "error", "the node could not prepare it")
        return None

    def _send(self, match: Match, outgoing: Outgoing, sender: Sender) -> None:
        try:
            self._begun = match.sop_instance_uid
            answer = sender.send(outgoing, self._waiting)
        except NoContext as error:
            self._failed(match, "no-context", error.message)
        except ReceiverLost as error:
            code = "no-answer" if isinstance(error.__cause__, NoAnswer) else "association-lost"
            self._failed(match, code, error.message, blames="either")
            self._pause(code, error.message)
            raise _Interrupted(error.message) from error
        except PeerGone as error:
            self._failed(match, "no-answer", error.message, blames="destination", pause=0.0)
            raise _Interrupted(error.message) from error
        else:
            self._answered(match, answer)

    def _answered(self, match: Match, answer: Answer) -> None:
        delivery = self._left[match.sop_instance_uid]
        told = (f"{answer:04X}", answer.comment)
        again = answer == status.DUPLICATE_INSTANCE and delivery.error_code in UNSURE
        if answer == status.SUCCESS or answer & 0xF000 == 0xB000 or again:
            del self._left[match.sop_instance_uid]      # if this fails, its lease says that it may be there
            kept = self._ledger.sent(delivery, *told)
            self._refusals = 0
            log.info("forwarded", destination=delivery.destination, uid=match.sop_instance_uid,
                     status=told[0], kept=kept)
            return
        full = answer & 0xFF00 == 0xA700
        self._failed(match, "peer-status", f"{self._destination} answered {answer:04X}",
                     blames="either" if full else "instance", told=told)
        self._refusals = self._refusals + 1 if full else 0
        if self._refusals >= REFUSALS:
            reason = f"{self._destination} answered {answer:04X} {REFUSALS} times in a row"
            self._pause("peer-status", reason)
            raise _Interrupted(reason)

    # ------------------------------------------------------------------ what is written down
    def _failed(self, match: Match, code: str, detail: str, *, blames: str = "instance",
                pause: float | None = None, told: tuple[str | None, str | None] = (None, None)) -> None:
        delivery = self._left.pop(match.sop_instance_uid)
        if pause is None:
            pause = self._pause_after(delivery.tries + 1)
        failure = Failure(code, detail, pause, blames, *told)
        leg = self._ledger.failed(delivery, failure, self._manner.attempts)
        (log.error if leg is Leg.FAILED else log.warning)(
            "forward-failed", destination=delivery.destination, uid=match.sop_instance_uid, code=code,
            reason=detail, again_in=round(pause, 1), state=leg.value, status=told[0])

    def _pause(self, code: str, detail: str) -> None:
        title = self._destination.ae_title
        pause = self._pause_after(self._ledger.failures(title) + 1)
        self._ledger.pause(title, Failure(code, detail, pause, "destination"))
        log.warning("forward-paused", destination=title, code=code, reason=detail, again_in=round(pause, 1))

    def _pause_after(self, failures: int) -> float:
        return back_off(failures, self._manner.first_pause, self._manner.longest_pause)

    def _still_here(self) -> None:
        """Called now and then while something takes its time: the leases go on."""
        now = time.monotonic()
        if now - self._renewed > self._manner.lease_seconds / 4:
            self._renewed = now
            self._ledger.renew(list(self._left.values()), self._manner.lease_seconds)

    def _waiting(self) -> None:
        self._still_here()
        if self._stop.is_set():
            now = time.monotonic()
            self._stopped = self._stopped or now
            if now - self._stopped > STOP_SECONDS:
                raise PeerGone("the node stopped before the destination answered")


def _close_unused(future: Future[Outgoing]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
