"""DIMSE messages out of P-DATA, data sets of C-STORE straight into the archive's own file system.

pynetdicom collects a data set in memory, or (chunked) in the system's temporary folder, from where
no atomic rename into the store is possible. Here the fragments go to an Arrival as they come in; the
message that reaches the association's thread holds no data set at all. Everything in this file runs
on the thread that reads the socket, so it must never raise and never wait for the peer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import _MESSAGE_TYPES
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.dsutils import decode

log = structlog.get_logger(__name__)

COMMAND_LIMIT = 64 * 1024           # a command set has a dozen short elements
IDENTIFIER_LIMIT = 16 * 1024 * 1024  # a C-GET by UID list may be long, but not longer than this
QUEUE_LIMIT = 64                    # requests sent ahead without waiting for answers
NO_DATA_SET = 0x0101                # PS3.7 E.1, Command Data Set Type
C_STORE_RQ = 0x0001
C_CANCEL_RQ = 0x0FFF


class Sink(Protocol):
    """Where the data set of one C-STORE goes."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


@dataclass
class StoreRequest:
    """A C-STORE-RQ whose data set already went to ``sink`` (or failed to: ``error``).

    Looks enough like a pynetdicom primitive for the association's reactor to pass it on.
    """

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    sink: Any = None
    error: BaseException | None = None
    size: int = 0
    msg_type: str = "C-STORE"
    is_valid_request: bool = True

    def write(self, data: bytes) -> None:
        """One fragment. After a failure the rest is read and dropped, so that an answer can be sent."""
        self.size += len(data)
        if self.error is not None or self.sink is None:
            return
        try:
            self.sink.write(data)
        except Exception as error:  # noqa: BLE001 - told to the peer as a status by the other thread
            self.error = error
            self.drop()

    def drop(self) -> None:
        sink, self.sink = self.sink, None
        if sink is not None:
            try:
                sink.abort()
            except Exception as error:  # noqa: BLE001 - a leftover is swept at the next start
                log.warning("arrival-not-removed", error=str(error))


class StreamingDimse(DIMSEServiceProvider):
    """pynetdicom's DIMSE provider with its receiving half replaced. queue_limit: messages that wait."""

    queue_limit = QUEUE_LIMIT

    def __init__(self, assoc: Any, open_sink: Callable[[StoreRequest], Sink]) -> None:
        super().__init__(assoc)
        self._open_sink = open_sink
        self._command = bytearray()
        self._pending: Dataset | None = None      # a decoded command whose data set is on its way
        self._pending_context = 0
        self._identifier = BytesIO()
        self._store: StoreRequest | None = None
        self._guard = threading.Lock()
        self._closed = False

    # ------------------------------------------------------------------ in
    def receive_primitive(self, primitive: Any) -> None:
        """One P-DATA: each PDV is a fragment of a command or of a data set (PS3.8 annex E.2)."""
        with self._guard:
            if self._closed:
                return
            try:
                for context_id, data in primitive.presentation_data_value_list:
                    self._fragment(context_id, data)
            except Exception as error:  # noqa: BLE001 - bad input ends this association, nothing else
                log.warning("message-refused", peer=self._peer(), error=str(error))
                if self._store is not None:
                    self._store.drop()
                    self._store = None
                self.dul.event_queue.put("Evt19")     # A-ABORT: unrecognised or invalid PDU

    def _fragment(self, context_id: int, data: bytes) -> None:
        control = data[0]
        last = bool(control & 2)
        if control & 1:
            if self._pending is not None:
                raise ValueError("a command fragment arrived inside a data set")
            if len(self._command) + len(data) > COMMAND_LIMIT:
                raise ValueError("the command set is too long")
            self._command += data[1:]
            if last:
                self._command_complete(context_id)
        else:
            if self._pending is None:
                raise ValueError("a data set fragment arrived without a command")
            if self._store is not None:
                self._store.write(data[1:])
            else:
                if self._identifier.tell() + len(data) > IDENTIFIER_LIMIT:
                    raise ValueError("the identifier is too long")
                self._identifier.write(data[1:])
            if last:
                self._message_complete()

    def _command_complete(self, context_id: int) -> None:
        command = decode(BytesIO(bytes(self._command)), True, True)
        self._command.clear()
        if context_id not in self._assoc._accepted_cx:
            raise ValueError(f"presentation context {context_id} was not accepted")
        self._pending, self._pending_context = command, context_id
        if int(command.CommandField) == C_STORE_RQ:
            request = StoreRequest(
                context_id=context_id,
                message_id=int(command.MessageID),
                sop_class_uid=str(command.get("AffectedSOPClassUID", "") or ""),
                sop_instance_uid=str(command.get("AffectedSOPInstanceUID", "") or ""),
            )
            try:
                request.sink = self._open_sink(request)
            except Exception as error:  # noqa: BLE001 - becomes the status of this C-STORE
                request.error = error
            self._store = request
        if command.CommandDataSetType == NO_DATA_SET:
            self._message_complete()

    def _message_complete(self) -> None:
        command, context_id = self._pending, self._pending_context
        store, self._store = self._store, None
        identifier, self._identifier = self._identifier, BytesIO()
        self._pending = None
        assert command is not None
        if self.msg_queue.qsize() >= self.queue_limit:
            if store is not None:
                store.drop()
            raise ValueError("too many requests without waiting for their answers")
        if store is not None:
            self.msg_queue.put((context_id, store))  # type: ignore[arg-type]
            return
        message = _MESSAGE_TYPES[int(command.CommandField)][1]()
        message.command_set = command
        message.context_id = context_id
        message.data_set = identifier
        primitive = message.message_to_primitive()
        if isinstance(primitive, C_CANCEL):
            if len(self.cancel_req) < 10 and primitive.MessageIDBeingRespondedTo is not None:
                self.cancel_req[primitive.MessageIDBeingRespondedTo] = primitive
            return
        self.msg_queue.put((context_id, primitive))

    def discard(self) -> None:
        """The association is over: remove what arrived in part, and what nobody will answer."""
        with self._guard:
            self._closed = True
            if self._store is not None:
                self._store.drop()
                self._store = None
            while not self.msg_queue.empty():
                _, message = self.msg_queue.get_nowait()
                if isinstance(message, StoreRequest):
                    message.drop()

    def _peer(self) -> str:
        return str(getattr(self._assoc.requestor, "address", ""))
