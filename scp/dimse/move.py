"""C-MOVE: matches of the archive sent to a configured destination, byte for byte (PS3.4 C.4.2).

One association carries the whole request, further ones only for what its 128 contexts leave out. When the
destination drops it, the instance on its way is tried again over a new one, once; then it has failed, and the
next one's turn comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import PeerError
from dicomnn.flow.retrieve import Match, Outgoing, Query, Retrieval
from scp.dimse import status
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination, SenderAssociation, connected
from scp.dimse.plan import Batch, plan
from scp.dimse.send import NoAnswer, NoContext, PeerGone
from scp.dimse.suboperations import Over, ReceiverLost, Retrieve, Tally

log = structlog.get_logger(__name__)

LOSSES = 2          # instances lost in a row, without an answer between: the rest is given up


class UnknownDestination(PeerError):
    cure = "Add the peer as [[destinations]] (ae_title, host, port), or correct the AE title in the request."


@dataclass(frozen=True)
class Mover:
    """What C-MOVE needs of the node."""

    retrieval: Retrieval
    ae_title: str
    limits: Limits
    destinations: Mapping[str, Destination] = field(default_factory=dict)


class _Sender(Over):
    """A destination, over one association at a time; when that ends, the one that asked is still there."""

    answers = 0

    def __init__(self, connect: Callable[[], AbstractContextManager[SenderAssociation]], seconds: float,
                 originator: tuple[str, int], compress: tuple[str, ...]) -> None:
        self._connect, self._open = connect, ExitStack()
        super().__init__(self._open.enter_context(connect()), seconds, originator=originator,
                         compress=compress)

    def close(self, error: BaseException | None = None) -> None:
        """Release the association; abort it after an error."""
        self._open.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def send(self, outgoing: Outgoing, waiting: Callable[[], None]) -> int:
        def asked_still_there() -> None:
            try:
                waiting()
            except PeerGone as error:
                raise _AskerGone(str(error)) from error
            if self._assoc.left:
                raise PeerGone("the destination ended the association before it answered")

        start, again = outgoing.source.tell(), True
        while True:
            try:
                if self._assoc.left or not self._assoc.dul.is_alive():
                    self._call_again()     # it grew tired while this instance was restored
                answer = super().send(outgoing, asked_still_there)
                self.answers += 1
                return answer
            except (NoContext, _AskerGone):
                raise
            except NoAnswer as error:
                raise ReceiverLost(error.message) from error
            except PeerGone as error:
                # Perhaps it ended the association just as we began to send; storing twice does no harm.
                if not again:
                    raise ReceiverLost(error.message) from error
                again = False
                outgoing.source.seek(start)
            except PeerError as error:     # a message was left unfinished, or it cannot be called again
                raise ReceiverLost(error.message) from error

    def _call_again(self) -> None:
        self._open.close()
        self._assoc = self._open.enter_context(self._connect())


class _AskerGone(PeerGone):
    """The peer that asked for the move left; not the destination."""


class MoveService(Retrieve):
    """One C-MOVE request on one association."""

    primitive = C_MOVE
    name = "moved"

    def __init__(self, mover: Mover, assoc: Any, request: Any, context: PresentationContext) -> None:
        super().__init__(mover.retrieval, assoc, request, context)
        self._mover = mover
        self._destination: Destination

    def _matches(self, query: Query) -> list[Match]:
        title = str(self._request.MoveDestination or "").strip()
        found = self._mover.destinations.get(title)
        if found is None:
            raise UnknownDestination(f"'{title[:16]}' is no destination that this node knows")
        self._destination = found
        return super()._matches(query)

    def _refuse(self, error: Exception, code: int | None = None) -> None:
        super()._refuse(error, status.UNKNOWN_DESTINATION if isinstance(error, UnknownDestination) else code)

    def _send_all(self, matches: list[Match], tally: Tally) -> bool:
        return any(self._send_batch(batch, tally) for batch in plan(matches, self._destination.compress))

    def _send_batch(self, batch: Batch, tally: Tally) -> bool:
        done, losses = 0, 0
        tried = tally.total - tally.remaining
        while done < len(batch.matches):
            sender: _Sender | None = None
            try:
                sender = self._sender(batch)
                cancelled = self._send_some(batch.matches[done:], tally, sender)
                sender.close()
                return cancelled
            except BaseException as error:
                if sender is not None:
                    with suppress(Exception):
                        sender.close(error)
                if isinstance(error, PeerGone) or not isinstance(error, PeerError):
                    raise
                done = tally.total - tally.remaining - tried
                losses = 1 if sender is not None and sender.answers else losses + 1
                log.warning("destination-lost", destination=str(self._destination), reason=str(error),
                            left=len(batch.matches) - done)
                if sender is None or losses >= LOSSES:
                    for match in batch.matches[done:]:
                        self._failed(match, tally, "destination", error.message)
                    return False
        return False

    def _sender(self, batch: Batch) -> _Sender:
        def connect() -> AbstractContextManager[SenderAssociation]:
            return connected(self._destination, batch.contexts, ae_title=self._mover.ae_title,
                             limits=self._mover.limits)

        return _Sender(connect, self._mover.limits.dimse_timeout, (self._assoc.calling_ae, self._message_id),
                       self._destination.compress)


def serve_move(mover: Mover, assoc: Any, request: Any, context: PresentationContext) -> None:
    """One C-MOVE; a peer that leaves on the way ends it quietly."""
    try:
        MoveService(mover, assoc, request, context).run()
    except PeerGone as error:
        log.warning("move-ended", peer=assoc.peer_address, reason=str(error))
