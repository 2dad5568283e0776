"""One C-STORE towards a peer with the data set's bytes exactly as they lie in a file.

Used as a sub-operation of C-GET and C-MOVE, and to forward. The bytes are read and sent a
PDU at a time; nothing decodes or re-encodes them.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import PeerError

LARGEST_PDU = 131072        # also when the peer says "unlimited": an object is never one fragment
SMALLEST_PDU = 256


class Answer(int):
    """The status of a C-STORE response, with the Error Comment (0000,0902) that came with it."""

    comment = ""


class PeerGone(PeerError):
    """The association ended while something was to be sent or awaited."""


class NoAnswer(PeerGone):
    """The peer is there, and says nothing."""


class NoContext(PeerError):
    """There is no accepted presentation context for an instance."""


def choose_context(assoc: Any, sop_class_uid: str, syntaxes: tuple[str, ...]) -> PresentationContext | None:
    """The accepted context in which we may send this class, by the order of ``syntaxes``."""
    usable = [c for c in assoc.accepted_contexts if c.as_scu and str(c.abstract_syntax) == sop_class_uid]
    for syntax in syntaxes:
        for context in usable:
            if str(context.transfer_syntax[0]) == syntax:
                return context
    return None


def accepted_syntaxes(assoc: Any, sop_class_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes in which the peer takes this class from us."""
    return tuple(dict.fromkeys(str(c.transfer_syntax[0]) for c in assoc.accepted_contexts
                               if c.as_scu and str(c.abstract_syntax) == sop_class_uid))


def _fragments(source: BinaryIO, size: int, context_id: int, room: int) -> Iterator[P_DATA]:
    left = size + size % 2      # PS3.8 annex E: fragments are even; PS3.5 7.1.1 pads the last element
    while left > 0:
        wanted = min(room, left)
        data = source.read(min(wanted, max(0, size)))
        size -= len(data)
        if len(data) < wanted and size > 0:
            raise PeerError("the data set ended before its announced size")
        data += b"\0" * (wanted - len(data))
        left -= wanted
        pdata = P_DATA()
        pdata.presentation_data_value_list.append((context_id, (b"\0" if left else b"\x02") + data))
        yield pdata


def send_data_set(assoc: Any, context: PresentationContext, *, sop_class_uid: str, sop_instance_uid: str,
                  source: BinaryIO, size: int, message_id: int,
                  originator: tuple[str, int] | None = None) -> None:
    """Send the request; the answer is for `await_answer`.

    ``source`` stands at the first byte of the data set, which is ``size`` bytes long.

    Raises
    ------
    PeerGone
        The association is no longer established.
    """
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = UID(sop_class_uid)
    request.AffectedSOPInstanceUID = UID(sop_instance_uid)
    request.Priority = 2
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID = originator
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 0x0001
    message._set_command_group_length()
    message.data_set = None
    announced = int(assoc.dimse.maximum_pdu_size or 0)
    pdu = min(announced or LARGEST_PDU, LARGEST_PDU)
    if pdu < SMALLEST_PDU:
        raise PeerError(f"the peer takes PDUs of {pdu} bytes only")
    context_id = int(context.context_id or 0)
    for pdata in message.encode_msg(context_id, pdu):
        assoc.dul.send_pdu(pdata)
    # 6 bytes of PDV header (PS3.8 9.3.5.1); an even room keeps every fragment even
    room = (pdu - 6) & ~1
    for pdata in _fragments(source, size, context_id, room):
        if not assoc.is_established or not assoc.dul.is_alive():
            raise PeerGone("the association ended while a data set was sent")
        assoc.dul.send_pdu(pdata)


def await_answer(assoc: Any, seconds: float, message_id: int,
                 while_waiting: Callable[[], None] | None = None) -> Answer:
    """The status of the C-STORE response to ``message_id``.

    Raises
    ------
    PeerGone
        The association ended, or no answer came within ``seconds`` after the last byte went out.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            _, answer = assoc.dimse.msg_queue.get(timeout=0.25)
        except queue.Empty:
            if assoc.acse.is_aborted() or not assoc.dul.is_alive() or not assoc.is_established:
                raise PeerGone("the peer ended the association before it answered") from None
            if assoc.dul.to_provider_queue.qsize():
                end = time.monotonic() + seconds        # our own bytes are still on their way out
            if time.monotonic() > end:
                raise NoAnswer("the peer did not answer in time") from None
            if while_waiting is not None:
                while_waiting()
            continue
        status = getattr(answer, "Status", None)
        if status is None or getattr(answer, "MessageIDBeingRespondedTo", None) != message_id:
            drop = getattr(answer, "drop", None)
            if drop is not None:
                drop()
            continue                    # not what we wait for: a request during our own sub-operation
        told = Answer(status)
        told.comment = str(getattr(answer, "ErrorComment", None) or "")
        return told
