"""What peers store to us as a client: over a C-GET's own association, or to the listener of a C-MOVE."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import structlog
from pynetdicom import AE
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import ConfigurationError, DicomnnError, IdentifierInvalid
from dicomnn.flow.ingest import Command
from dicomnn.flow.migration.source import Landing
from dicomnn.flow.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from scp.dimse import status
from scp.dimse.accept import Limits, NodeAssociation, NodeServer, Peer, Service, request_handler
from scp.dimse.contexts import VERIFICATION
from scp.dimse.store import respond
from scp.dimse.stream import Sink, StoreRequest

log = structlog.get_logger(__name__)

_UID = re.compile(r"[0-9.]{1,64}")


class Receiver:
    """Takes the instances of C-STORE requests to a landing. Thread-safe as far as the landing is."""

    def __init__(self, landing: Landing, peer_title: str) -> None:
        self._landing = landing
        self._peer_title = peer_title
        self.heard = 0.0
        """When an instance last began or ended (time.monotonic)."""

    def open_sink(self, assoc: Any, request: StoreRequest) -> Sink:
        """Where its data set goes. Raises IdentifierInvalid and what the landing raises."""
        self.heard = time.monotonic()
        for value in (request.sop_class_uid, request.sop_instance_uid):
            if not _UID.fullmatch(value):
                raise IdentifierInvalid("a UID of the command is empty or none")
        context = assoc._accepted_cx[request.context_id]
        return self._landing.open(
            Command(
                request.sop_class_uid,
                request.sop_instance_uid,
                str(context.transfer_syntax[0]),
                calling_ae=self._peer_title,
            )
        )

    def serve(self, assoc: Any, request: StoreRequest, context: PresentationContext) -> None:
        """Finish what arrived, and answer; every failure is a status."""
        code, comment = status.SUCCESS, ""
        try:
            if request.error is not None:
                raise request.error
            if request.sink is None:
                raise IdentifierInvalid("there is no data set", subject=request.sop_instance_uid)
            sink, request.sink = request.sink, None
            self._landing.finish(sink)
        except Exception as error:  # noqa: BLE001 - the peer gets a status, the landing has written it down
            code = status.store_status(error)
            known = isinstance(error, DicomnnError)
            comment = error.message if isinstance(error, DicomnnError) else "it could not be stored"
            log.warning(
                "not-taken",
                uid=request.sop_instance_uid,
                status=f"{code:04X}",
                reason=str(error) if known else None,
                exc_info=None if known else error,
            )
        self.heard = time.monotonic()
        respond(assoc, request, code, comment)


class Listener:
    """A C-STORE server for the time of a migration or a C-MOVE. Use it as a context manager."""

    def __init__(self, receiver: Receiver, *, ae_title: str, bind: str, port: int, limits: Limits) -> None:
        self.receiver = receiver
        ae = AE(ae_title)
        ae.maximum_associations = 4 * limits.max_associations
        ae.maximum_pdu_size = limits.max_pdu
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.network_timeout = limits.network_timeout
        ae.add_supported_context(VERIFICATION)
        self._ae = ae
        service = Service(
            limits=limits,
            peers=(Peer(),),
            open_sink=receiver.open_sink,
            serve=self._serve,
            closed=lambda _assoc: None,
        )
        try:
            self._server = NodeServer(
                ae, (bind, port), ae_title, ae.supported_contexts, request_handler=request_handler(service)
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {bind} port {port}: {error.strerror}",
                cure="Choose another --listen port, one that the source knows.",
            ) from error
        ae._servers.append(self._server)
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(0.2), name="listener", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def _serve(self, assoc: NodeAssociation, message: Any, context: PresentationContext) -> bool:
        if not isinstance(message, StoreRequest):
            return False
        self.receiver.serve(assoc, message, context)
        return True

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        end = time.monotonic() + 2.0
        while self._ae.active_associations and time.monotonic() < end:
            time.sleep(0.05)
        for assoc in self._ae.active_associations:
            assoc.abort()
        self._server.server_close()
        self._thread.join(5.0)
