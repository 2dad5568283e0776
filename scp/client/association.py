"""An association of ours on which we ask, and on which the peer may store to us meanwhile (C-GET)."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NoReturn

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.dsutils import decode, encode
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import PeerError
from scp.dimse import status
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination, SenderAssociation, connected
from scp.dimse.send import NoAnswer, NoContext, PeerGone
from scp.dimse.stream import Sink, StoreRequest, StreamingDimse

PENDING = (status.PENDING, status.PENDING_UNSUPPORTED_KEYS)
OpenSink = Callable[[Any, StoreRequest], Sink]
Serve = Callable[[Any, StoreRequest, PresentationContext], None]


@dataclass(frozen=True)
class Caller:
    """Who we are, whom we call, and how patient we are."""

    peer: Destination
    ae_title: str = "DICOMNN"
    limits: Limits = Limits()


class ClientDimse(StreamingDimse):
    """Answers to a question of ours may be many thousands, and come faster than they are read."""

    queue_limit = 1 << 20
    heard = 0.0

    def receive_primitive(self, primitive: Any) -> None:
        self.heard = time.monotonic()
        super().receive_primitive(primitive)


class ClientAssociation(SenderAssociation):
    """See `SenderAssociation`; open_sink: where the data set goes that the peer stores to us."""

    def __init__(self, ae: AE, limits: Limits, open_sink: OpenSink | None = None) -> None:
        super().__init__(ae, limits)
        self.client = ClientDimse(self, lambda request: (open_sink or _takes_nothing)(self, request))
        self.dimse = self.client
        self._messages = 0

    def next_message_id(self) -> int:
        self._messages = self._messages % 65535 + 1
        return self._messages

    def context(self, abstract_syntax: str) -> PresentationContext:
        """The accepted context in which we may ask. Raises NoContext."""
        for context in self.accepted_contexts:
            if str(context.abstract_syntax) == abstract_syntax and context.as_scu:
                return context
        raise NoContext(
            f"the peer does not offer {UID(abstract_syntax).name}",
            cure="Look at what it negotiates (dicomnn echo), and at its own configuration.",
        )


def _takes_nothing(_assoc: Any, request: StoreRequest) -> NoReturn:
    raise PeerError("nothing was asked for", subject=request.sop_instance_uid)


@contextlib.contextmanager
def associated(
    caller: Caller,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[Any] = (),
    open_sink: OpenSink | None = None,
) -> Iterator[ClientAssociation]:
    """An established association, released at the end. Raises PeerError."""
    with connected(
        caller.peer,
        contexts,
        ae_title=caller.ae_title,
        limits=caller.limits,
        roles=roles,
        kind=lambda ae, limits: ClientAssociation(ae, limits, open_sink),
    ) as assoc:
        try:
            yield assoc
        finally:
            assoc.client.discard()


def asked(
    assoc: ClientAssociation, request: Any, model: str, identifier: Dataset | None
) -> PresentationContext:
    """Send a C-ECHO, C-FIND, C-GET or C-MOVE request; the context it went out in. Raises NoContext."""
    context = assoc.context(model)
    request.MessageID = assoc.next_message_id()
    request.AffectedSOPClassUID = UID(model)
    if identifier is not None:
        syntax = context.transfer_syntax[0]
        encoded = encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
        if encoded is None:
            raise PeerError("the keys cannot be encoded", cure="Correct the value of a key.")
        request.Priority = 2
        request.Identifier = BytesIO(encoded)
    assoc.dimse.send_msg(request, int(context.context_id or 0))
    return context


def answers(
    assoc: ClientAssociation,
    request: Any,
    *,
    serve: Serve | None = None,
    heard: Callable[[], float] = lambda: 0.0,
) -> Iterator[Any]:
    """The responses to a request, up to the final one. What the peer stores meanwhile goes to ``serve``.

    heard: when something was last heard elsewhere (a C-MOVE's instances come over another association).
    Raises PeerGone; NoAnswer after the DIMSE timeout without a sign of life.
    """
    seconds = float(assoc.dimse_timeout or 60.0)
    begun = time.monotonic()
    while True:
        try:
            context_id, message = assoc.dimse.msg_queue.get(timeout=0.25)
        except queue.Empty:
            if assoc.acse.is_aborted() or not assoc.dul.is_alive() or not assoc.is_established or assoc.left:
                raise PeerGone("the peer ended the association before it answered") from None
            if time.monotonic() - max(begun, assoc.client.heard, heard()) > seconds:
                raise NoAnswer(f"nothing was heard of the peer for {seconds:g} s") from None
            continue
        if isinstance(message, StoreRequest):
            accepted = assoc._accepted_cx.get(context_id)
            if serve is None or accepted is None:
                message.drop()
            else:
                try:
                    serve(assoc, message, accepted)
                finally:
                    message.drop()
            begun = time.monotonic()  # our own work is not the peer's silence
            continue
        code = getattr(message, "Status", None)
        if code is None or getattr(message, "MessageIDBeingRespondedTo", None) != request.MessageID:
            continue
        yield message
        if int(code) not in PENDING:
            return


def decoded(stream: BytesIO | None, context: PresentationContext) -> Dataset | None:
    """An identifier that came with a response, None when there is none or it cannot be read."""
    if stream is None or not stream.getbuffer().nbytes:
        return None
    syntax = context.transfer_syntax[0]
    try:
        return decode(stream, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    except Exception:  # noqa: BLE001 - whatever a peer sends as identifier, its status counts
        return None
