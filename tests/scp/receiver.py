"""Both ends of a C-MOVE: a destination that takes data sets as they come over the wire, never decoded, and a
peer that asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from pydicom import Dataset
from pynetdicom import build_context, evt
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class

from tests.scp.peer import Got, Item, connected, entity, identifier

STUDY_MOVE, PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.1.2"
Pairs = Sequence[tuple[str, str | list[str]]]


@dataclass
class Receiver:
    """Takes ``pairs`` of (class, syntax or syntaxes) on a free port of this machine.

    answer: the status for an object; it may wait, or abort ``event.assoc``. associations: how many were
    opened, with the AE titles that called. comment: goes with every answer but success. at: its port, 0: any
    free one. patience: seconds of silence after which it aborts one; aborted is set when it has."""

    pairs: Pairs
    answer: Callable[[Item, Any], int] = lambda item, event: 0
    items: list[Item] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    originators: list[tuple[str, int]] = field(default_factory=list)
    proposed: list[list[tuple[str, list[str]]]] = field(default_factory=list)
    patience: float = 120.0
    aborted: threading.Event = field(default_factory=threading.Event)
    comment: str = ""
    at: int = 0

    def __enter__(self) -> Receiver:
        contexts: dict[str, list[str]] = {}
        for sop_class, syntaxes in self.pairs:
            there = contexts.setdefault(sop_class, [])
            there += [syntaxes] if isinstance(syntaxes, str) else syntaxes
        for uid in contexts:                   # pynetdicom serves only the classes that it knows
            if uid_to_service_class(uid) is not StorageServiceClass:
                register_uid(uid, "Class" + uid.replace(".", "_"), StorageServiceClass)
        self._lock = threading.Lock()
        self._server = entity("SINK", self.patience).start_server(
            ("127.0.0.1", self.at), block=False, contexts=[build_context(c, t) for c, t in contexts.items()],
            evt_handlers=[(evt.EVT_C_STORE, self._stored), (evt.EVT_REQUESTED, self._requested),
                          (evt.EVT_ABORTED, lambda event: self.aborted.set())])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._server.shutdown()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def by_uid(self) -> dict[str, Item]:
        return {item.instance: item for item in self.items}

    def destination(self, title: str = "SINK") -> str:
        """Its entry in a node's configuration."""
        return f'[[destinations]]\nae_title = "{title}"\nhost = "127.0.0.1"\nport = {self.port}\n'

    def _requested(self, event: Any) -> None:
        primitive = event.assoc.requestor.primitive
        self.callers.append(str(primitive.calling_ae_title).strip())
        self.proposed.append([(str(c.abstract_syntax), [str(t) for t in c.transfer_syntax])
                              for c in primitive.presentation_context_definition_list])

    def _stored(self, event: Any) -> int | Dataset:
        request = event.request
        item = Item(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID),
                    str(event.context.transfer_syntax), request.DataSet.getvalue())
        code = self.answer(item, event)
        if code == 0 or code & 0xF000 == 0xB000:
            with self._lock:
                self.items.append(item)
                self.originators.append((str(request.MoveOriginatorApplicationEntityTitle or "").strip(),
                                         int(request.MoveOriginatorMessageID or 0)))
        if code and self.comment:
            told = Dataset()
            told.Status, told.ErrorComment = code, self.comment
            return told
        return code


# ------------------------------------------------------------------ asking
def move(port: int, query: Dataset, *, to: str = "SINK", model: str = STUDY_MOVE, title: str = "ASKER",
         timeout: float = 30.0,
         on_pending: Callable[[Any, int], None] = lambda assoc, number: None) -> Got:
    got = Got()
    with connected(port, [build_context(model)], title=title, timeout=timeout) as assoc:
        assert assoc.is_established
        for status, failed in assoc.send_c_move(query, to, model, msg_id=77):
            if "Status" not in status:
                break
            counts = {name: status.get(f"NumberOf{name}Suboperations")
                      for name in ("Remaining", "Completed", "Failed", "Warning")}
            if status.Status == 0xFF00:
                got.pending.append(counts)
                on_pending(assoc, len(got.pending))
                if not assoc.is_established or assoc._sent_abort:
                    break
                continue
            got.final, got.counts, got.comment = status.Status, counts, str(status.get("ErrorComment", ""))
            if failed is not None and "FailedSOPInstanceUIDList" in failed:
                value = failed.FailedSOPInstanceUIDList
                got.failed = [value] if isinstance(value, str) else list(value or [])
    return got


def move_study(port: int, study: str, **options: Any) -> Got:
    return move(port, identifier("STUDY", StudyInstanceUID=study), **options)
