"""Associations that we open: to destinations of C-MOVE and of forwarding, and those of ``scp/client``.

The sender's side of an association has no thread of its own here: pynetdicom's provider thread moves the
PDUs, and whoever sends waits for the answers itself.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import structlog
from pynetdicom import AE
from pynetdicom._globals import MODE_REQUESTOR
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from dicomnn.errors import PeerError
from dicomnn.flow.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from scp.dimse.accept import PDU_CEILING, Limits, NodeDul, NodeSocket, without_delay
from scp.dimse.stream import StoreRequest, StreamingDimse

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Destination:
    """A peer that instances can be sent to. compress: transfer syntaxes that it wants images in."""

    ae_title: str
    host: str
    port: int
    compress: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


class NothingAccepted(PeerError):
    """The peer takes associations, but none of the classes and syntaxes that were proposed for this one."""


class SenderAssociation(Association):
    """An association of ours towards a destination; see `connected`."""

    def __init__(self, ae: AE, limits: Limits) -> None:
        super().__init__(ae, MODE_REQUESTOR)
        self.dul = NodeDul(self)
        self.dimse = StreamingDimse(self, _takes_nothing)
        self.acse_timeout = limits.acse_timeout
        self.dimse_timeout = limits.dimse_timeout
        self.network_timeout = limits.network_timeout
        self.connection_timeout = limits.acse_timeout

    @property
    def left(self) -> bool:
        """Whether the peer aborted, or wants to release what is not finished."""
        return self.dul.peek_next_pdu() is not None


def _takes_nothing(request: StoreRequest) -> NoReturn:
    raise PeerError("nothing can be stored over an association that the node opened")


Sender = TypeVar("Sender", bound=SenderAssociation)


@contextlib.contextmanager
def connected(destination: Destination, contexts: Sequence[PresentationContext], *, ae_title: str,
              limits: Limits, roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
              kind: Callable[[AE, Limits], Sender] = SenderAssociation) -> Iterator[Sender]:
    """An established association, released at the end (aborted when the block fails).

    roles: for classes that the peer stores to us during C-GET. kind: makes the association.

    Raises
    ------
    PeerError
        It cannot be reached, or refuses the association.
    NothingAccepted
        It accepts none of the contexts.
    """
    ae = AE(ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    assoc = kind(ae, limits)
    try:
        remote = AddressInformation.from_addr_port(destination.host, destination.port)
    except OSError as error:
        raise PeerError(f"the name of {destination} cannot be resolved") from error
    local = AddressInformation("" if remote.is_ipv4 else "::", 0)
    socket = NodeSocket(assoc, address=local)
    socket.limit, socket.seconds = max(PDU_CEILING, limits.max_pdu + 1024), limits.network_timeout
    assert socket.socket is not None
    without_delay(socket.socket)
    assoc.set_socket(socket)
    assoc.acceptor.ae_title, assoc.acceptor.address_info = destination.ae_title, remote
    assoc.requestor.ae_title, assoc.requestor.address_info = ae_title, local
    assoc.requestor.maximum_length = limits.max_pdu
    assoc.requestor.implementation_class_uid = ae.implementation_class_uid
    assoc.requestor.implementation_version_name = ae.implementation_version_name
    proposed = copy.deepcopy(list(contexts))       # negotiation writes its results into them
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    assoc.requestor.requested_contexts = proposed
    for role in roles:
        assoc.requestor.add_negotiation_item(role)
    assoc.request()
    if not assoc.is_established:
        raise _why_not(assoc, destination)
    refused = [" ".join(map(str, (c.abstract_syntax, *c.transfer_syntax))) for c in assoc.rejected_contexts]
    log.info("destination-opened", destination=str(destination), accepted=len(assoc.accepted_contexts),
             refused=refused or None)
    try:
        yield assoc
    except BaseException:
        assoc.abort()
        raise
    if assoc.is_established and assoc.dul.is_alive() and not assoc.left:
        assoc.acse.negotiate_release()
    else:
        assoc.abort()


def _why_not(assoc: SenderAssociation, destination: Destination) -> PeerError:
    answer = assoc.acceptor.primitive
    if assoc.is_rejected and isinstance(answer, A_ASSOCIATE):
        return PeerError(f"{destination} refused the association: {answer.reason_str}")
    if answer is not None:
        return NothingAccepted(f"{destination} accepted none of the presentation contexts")
    socket = assoc.dul.socket
    if socket is None or not socket._is_connected:
        return PeerError(f"{destination} cannot be reached")
    return PeerError(f"{destination} did not answer the request for an association")
