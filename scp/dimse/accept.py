"""Taking associations: who may connect, which presentation contexts, and limits on what they send.

pynetdicom gives the upper layer (PDUs, state machine); the classes here replace the parts where the
node needs something else: contexts for every storage class (unknown and private ones too), data sets
streamed to disk, PDU sizes and times checked, a bounded queue towards the peer.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from scp.dimse.contexts import QUERY_MODELS, extended_answer, supported_for
from scp.dimse.stream import Sink, StoreRequest, StreamingDimse
from scp.tally import OPENED, REFUSED, Tally

log = structlog.get_logger(__name__)

PDU_CEILING = 1024 * 1024     # an A-ASSOCIATE-RQ with 128 contexts of 50 syntaxes fits
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)      # Linux
OUT_QUEUE = 32                # P-DATA waiting for a slow peer, each up to one PDU


# ------------------------------------------------------------------ who may connect
@dataclass(frozen=True)
class Peer:
    """One allowed caller. ``ae_title`` '*' is any title; no address is any address. compress: transfer
    syntaxes that it prefers images in when it fetches them."""

    ae_title: str = "*"
    address: str | None = None      # an address or a network, e.g. 10.1.2.0/24
    compress: tuple[str, ...] = ()

    def admits(self, ae_title: str, address: str) -> bool:
        if self.ae_title not in ("*", ae_title):
            return False
        if self.address is None:
            return True
        try:
            ip = ipaddress.ip_address(address)
            mapped = getattr(ip, "ipv4_mapped", None)
            return (mapped or ip) in ipaddress.ip_network(self.address, strict=False)
        except ValueError:
            return False


@dataclass(frozen=True)
class Limits:
    """What one peer may ask of the node."""

    max_pdu: int = 131072
    max_associations: int = 32
    max_associations_per_peer: int = 16
    acse_timeout: float = 30.0
    dimse_timeout: float = 60.0
    network_timeout: float = 60.0


@dataclass(frozen=True)
class Service:
    """What an association needs from the node."""

    limits: Limits
    peers: tuple[Peer, ...]
    open_sink: Callable[[NodeAssociation, StoreRequest], Sink]
    serve: Callable[[NodeAssociation, Any, PresentationContext], bool]
    closed: Callable[[NodeAssociation], None]
    tally: Tally = field(default_factory=Tally)


# ------------------------------------------------------------------ the replaced parts
class NodeSocket(AssociationSocket):
    """A socket that refuses absurd PDUs before allocating, and slow ones after a time."""

    limit = PDU_CEILING
    seconds = 60.0

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly ``nr_bytes``, or fewer when the peer closed. One PDU must be there in ``seconds``.

        Raises
        ------
        OSError
            The PDU claims more than ``limit`` bytes, or comes too slowly (then TimeoutError).
        """
        if nr_bytes > self.limit:
            raise OSError(f"the peer announced a PDU of {nr_bytes} bytes, {self.limit} is the limit")
        assert self.socket is not None
        end = time.monotonic() + self.seconds
        received = bytearray()
        while len(received) < nr_bytes:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the peer sends too slowly")
            self.socket.settimeout(left)
            part = self.socket.recv(min(nr_bytes - len(received), 262144))
            if _QUICKACK is not None:   # a sender with Nagle's algorithm waits for it with the next PDU
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            if not part:
                break
            received += part
        self.socket.settimeout(self.seconds)
        return received


def without_delay(connection: socket.socket) -> None:
    """A message is a PDU for its command and some for its data set: the second must not wait until the peer
    acknowledged the first (40 ms a message with Nagle's algorithm and delayed acknowledgements)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _OutQueue(queue.Queue[Any]):
    """Towards the peer: full means the sender waits, unless the reader of the queue is gone."""

    def __init__(self, dul: NodeDul) -> None:
        super().__init__(OUT_QUEUE)
        self._dul = dul

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        while True:
            try:
                super().put(item, timeout=0.5)
                return
            except queue.Full:
                if not self._dul.is_alive() or self._dul._kill_thread:
                    return      # nobody will ever send it; the caller sees the lost association


class NodeDul(DULServiceProvider):
    """pynetdicom's upper layer with a bounded way out; what is sent counts as a sign of life."""

    def __init__(self, assoc: Any) -> None:
        super().__init__(assoc)
        self.to_provider_queue = _OutQueue(self)

    def _send(self, pdu: Any) -> None:
        super()._send(pdu)
        self._idle_timer.restart()


class NodeAcse(ACSE):
    """Association requests: allow-list and limits first, then contexts for what was proposed."""

    def _check_sop_class_extended(self) -> list[SOPClassExtendedNegotiation]:
        answers = []
        for uid, asked in self.requestor.sop_class_extended.items():
            if uid in QUERY_MODELS:
                item = SOPClassExtendedNegotiation()
                item.sop_class_uid = uid
                item.service_class_application_information = extended_answer(str(uid), asked)
                answers.append(item)
        self.assoc.facts["extended"] = {str(item.sop_class_uid): item.service_class_application_information
                                        for item in answers}
        return answers

    def _negotiate_as_acceptor(self) -> None:
        assoc: NodeAssociation = self.assoc
        request = self.requestor.primitive
        calling = str(request.calling_ae_title).strip()
        address = assoc.peer_address
        limits = assoc.service.limits
        refusal: tuple[int, int, int] | None = None
        if not any(peer.admits(calling, address) for peer in assoc.service.peers):
            refusal = (0x01, 0x01, 0x03)       # PS3.8 table 9-21: calling AE title not recognised
        else:
            others = [t for t in assoc.ae.active_associations if t is not assoc and t.counts]
            same = [t for t in others if t.peer_address == address]
            if len(others) >= limits.max_associations or len(same) >= limits.max_associations_per_peer:
                refusal = (0x02, 0x03, 0x02)   # local limit exceeded, try again
        if refusal is not None:
            log.warning("association-refused", peer=address, calling_ae=calling, reason=refusal)
            assoc.service.tally.association(REFUSED)
            self.send_reject(*refusal)
            self.assoc.kill()
            return
        self.acceptor.supported_contexts = supported_for(request.presentation_context_definition_list)
        super()._negotiate_as_acceptor()
        if self.assoc.is_established:
            assoc.service.tally.association(OPENED)


class NodeDimse(StreamingDimse):
    """Counts what is answered."""

    def send_msg(self, primitive: Any, context_id: int) -> None:
        super().send_msg(primitive, context_id)
        self.assoc.service.tally.answer(primitive)


class NodeAssociation(Association):
    """One association with a peer, served by ``service`` instead of pynetdicom's service classes."""

    def __init__(self, ae: Any, service: Service) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.service = service
        self.acse = NodeAcse(self)
        self.dul = NodeDul(self)
        self.dimse = NodeDimse(self, lambda request: service.open_sink(self, request))
        limits = service.limits
        self.acse_timeout = limits.acse_timeout
        self.dimse_timeout = limits.dimse_timeout
        self.network_timeout = limits.network_timeout
        self.facts: dict[str, Any] = {}

    @property
    def peer_address(self) -> str:
        return str(self.requestor.address or "")

    @property
    def calling_ae(self) -> str:
        return str(self.requestor.ae_title or "").strip()

    @property
    def peer(self) -> Peer:
        """The first of the allowed callers that it is."""
        return next((peer for peer in self.service.peers if peer.admits(self.calling_ae, self.peer_address)),
                    Peer())

    @property
    def counts(self) -> bool:
        """Whether it takes up one of the allowed places: it asked for an association and goes on."""
        return self.requestor.primitive is not None and not (self.is_rejected or self.is_aborted
                                                             or self.is_released or self._kill)

    def run_reactor(self) -> None:
        try:
            self.dul.start()
            self._started_dul = True
            self._dul_ready.wait()
            if self._request_came():
                super().run_reactor()
            else:
                self._hang_up()
        finally:
            self.dimse.discard()
            self.service.closed(self)

    def _request_came(self) -> bool:
        """Wait for the first PDU. pynetdicom would hold on to a connection that is closed already (a
        load balancer's probe, a port scan) until the handshake times out."""
        end = time.monotonic() + self.service.limits.acse_timeout
        opened = False
        while time.monotonic() < end and self.dul.is_alive():
            if self.dul.peek_next_pdu() is not None:
                return True
            state = self.dul.state_machine.current_state
            opened = opened or state != "Sta1"
            if opened and state == "Sta1":
                return False
            time.sleep(0.005)
        return False

    def _hang_up(self) -> None:
        self._kill = True
        self.dul.kill_dul()
        there = self.dul.socket
        if self._server is not None and there is not None and there.socket is not None:
            self._server.shutdown_request(there.socket)

    def _serve_request(self, msg: Any, context_id: int) -> None:
        context = self._accepted_cx.get(context_id)
        try:
            if context is None or self._sent_release or not msg.is_valid_request:
                log.warning("message-ignored", peer=self.peer_address, message=getattr(msg, "msg_type", "?"))
                return
            self._is_paused = True
            if not self.service.serve(self, msg, context):
                super()._serve_request(msg, context_id)
        except Exception:       # one request must never take the node down
            log.exception("request-failed", peer=self.peer_address)
            self.abort()
        finally:
            if isinstance(msg, StoreRequest):
                msg.drop()
            self._is_paused = False
            self.dimse.cancel_req = {}
            self.dul._idle_timer.restart()      # our own work is not the peer's silence


class NodeServer(ThreadedAssociationServer):
    """The listener. Connections far beyond the allowed associations are closed at once, so that half-open
    ones cannot use up threads and descriptors."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self.ae.active_associations) < self.ae.maximum_associations


def request_handler(service: Service) -> type[RequestHandler]:
    """The handler class that makes a NodeAssociation of each connection."""

    class NodeRequestHandler(RequestHandler):
        def _create_association(self) -> NodeAssociation:
            assoc = NodeAssociation(self.ae, service)
            assoc._server = self.server
            assoc.name = f"AcceptorThread@{datetime.now():%Y%m%d%H%M%S}"   # pynetdicom finds it by name
            connection = NodeSocket(assoc, client_socket=self.request)
            connection.limit = max(PDU_CEILING, service.limits.max_pdu + 1024)
            connection.seconds = service.limits.network_timeout
            self.request.settimeout(service.limits.network_timeout)
            without_delay(self.request)
            assoc.set_socket(connection)
            assoc.acceptor.maximum_length = service.limits.max_pdu
            assoc.acceptor.ae_title = self.server.ae_title
            assoc.acceptor.address_info = self.local
            assoc.acceptor.implementation_class_uid = self.ae.implementation_class_uid
            assoc.acceptor.implementation_version_name = self.ae.implementation_version_name
            assoc.acceptor.supported_contexts = list(self.server.contexts)
            assoc.requestor.address_info = self.remote
            return assoc

    return NodeRequestHandler
