"""A DICOM file on its way in, piece by piece: an arrival as over DIMSE, named by its own first bytes."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.errors import IdentifierInvalid
from dicomnn.flow.ingest import Arrival, Command, Ingest, Outcome
from dicomnn.flow.part10 import FileHead, read_head

HEAD = 256 << 10            # bytes in which a file must say what it is


@dataclass(frozen=True)
class Sender:
    """Who sends. study_instance_uid: what all must belong to, '' for any. association: of `Ingest.visit`."""

    source: str
    calling_ae: str = ""
    peer_address: str = ""
    association: str | None = None
    study_instance_uid: str = ""


class FileIn:
    """One file. Either `finish` or `abort` ends it; the preamble and File Meta that it brings are kept."""

    def __init__(self, ingest: Ingest, sender: Sender) -> None:
        self._ingest, self._sender = ingest, sender
        self._head = bytearray()
        self._arrival: Arrival | None = None
        self.known: FileHead | None = None
        """What it says of itself, once that was read."""

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises what `read_head` and `Ingest.open` raise, StoreFull, StoreFailed."""
        if self._arrival is not None:
            self._arrival.write(piece)
            return
        self._head += piece
        if len(self._head) >= HEAD:
            self._begin()

    def _begin(self) -> None:
        head = bytes(self._head)
        if not head:
            raise IdentifierInvalid("there is nothing in it")
        known = self.known = read_head(head)
        sender = self._sender
        self._arrival = self._ingest.open(Command(
            known.sop_class_uid, known.sop_instance_uid, known.transfer_syntax_uid,
            calling_ae=sender.calling_ae, peer_address=sender.peer_address, association=sender.association,
            source=sender.source, study_instance_uid=sender.study_instance_uid), known.prefix)
        self._arrival.write(head[known.dataset_start:])
        self._head.clear()

    def finish(self) -> Outcome:
        """Durable and indexed on return. Raises as `write` and `Ingest.finish` do; call `abort` then."""
        if self._arrival is None:
            self._begin()
        assert self._arrival is not None
        return self._ingest.finish(self._arrival)

    def abort(self) -> None:
        """Forget it; harmless after `finish`."""
        if self._arrival is not None:
            self._arrival.abort()
