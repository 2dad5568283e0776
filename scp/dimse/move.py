"""C-MOVE: matches of the archive sent to a configured destination, byte for byte (PS3.4 C.4.2).

One association carries the whole request, further ones only for what its 128 contexts leave out. When the
destination drops it, the instance on its way is tried again over a new one, once; then it has failed, and the
next one's turn comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import PeerError
from dicomnn.flow.retrieve import Match, Query, Retrieval
from scp.dimse import status
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination, SenderAssociation, connected
from scp.dimse.plan import Batch, plan
from scp.dimse.send import PeerGone
from scp.dimse.sender import Sender
from scp.dimse.suboperations import Retrieve, Tally

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
            sender: Sender | None = None
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

    def _sender(self, batch: Batch) -> Sender:
        def connect() -> AbstractContextManager[SenderAssociation]:
            return connected(self._destination, batch.contexts, ae_title=self._mover.ae_title,
                             limits=self._mover.limits)

        return Sender(connect, self._mover.limits.dimse_timeout, (self._assoc.calling_ae, self._message_id),
                       self._destination.compress)


def serve_move(mover: Mover, assoc: Any, request: Any, context: PresentationContext) -> None:
    """One C-MOVE; a peer that leaves on the way ends it quietly."""
    try:
        MoveService(mover, assoc, request, context).run()
    except PeerGone as error:
        log.warning("move-ended", peer=assoc.peer_address, reason=str(error))
