"""C-GET: matches of the archive sent back over the same association, byte for byte (PS3.4 C.4.3)."""

from __future__ import annotations

from typing import Any

import structlog
from pynetdicom.dimse_primitives import C_GET
from pynetdicom.presentation import PresentationContext

from dicomnn.flow.retrieve import Match, Retrieval
from scp.dimse.send import PeerGone
from scp.dimse.suboperations import Over, Retrieve, Tally

log = structlog.get_logger(__name__)


class GetService(Retrieve):
    """One C-GET request on one association."""

    primitive = C_GET
    name = "retrieved"

    def __init__(self, retrieval: Retrieval, assoc: Any, request: Any, context: PresentationContext,
                 compress: tuple[str, ...] = ()) -> None:
        super().__init__(retrieval, assoc, request, context)
        self._compress = compress

    def _send_all(self, matches: list[Match], tally: Tally) -> bool:
        return self._send_some(matches, tally, Over(
            self._assoc, self._assoc.service.limits.dimse_timeout, first_message_id=self._message_id,
            compress=self._compress))


def serve_get(retrieval: Retrieval, assoc: Any, request: Any, context: PresentationContext,
              compress: tuple[str, ...] = ()) -> None:
    """One C-GET; a peer that leaves on the way ends it quietly."""
    try:
        GetService(retrieval, assoc, request, context, compress).run()
    except PeerGone as error:
        log.warning("get-ended", peer=assoc.peer_address, reason=str(error))
