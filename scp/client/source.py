"""Another archive as the source of a migration: C-FIND to know what there is, C-GET or C-MOVE to have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import PeerError
from dicomnn.flow.ingest import Command
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.source import (
    Landing,
    Listed,
    Listing,
    Note,
    Sink,
    SourceAway,
    Stopped,
    Study,
    Wanted,
)
from dicomnn.flow.migration.split import Inventory, Shown
from dicomnn.flow.migration.throttle import Throttle
from scp.client.association import Caller, ClientAssociation, OpenSink, associated
from scp.client.query import Answers, contexts_of, find, identifier, number, text
from scp.client.receiving import Listener, Receiver
from scp.client.retrieve import Retrieved, get, groups, move, proposal
from scp.dimse.contexts import STUDY_ROOT

FIND, MOVE, GET = STUDY_ROOT
SETTLE_SECONDS = 3.0
"""After a C-MOVE said that it is done, for stores that come later (some archives answer before they sent)."""


class AeSource:
    """See `Source`. item: the SOP Instance UID. listen: (bind, port) for C-MOVE, None for C-GET."""

    by_study = True

    def __init__(
        self, caller: Caller, ledger: Ledger, throttle: Throttle, *, listen: tuple[str, int] | None = None
    ) -> None:
        self._caller, self._ledger, self._throttle, self._listen = caller, ledger, throttle, listen
        self.name = str(caller.peer)
        self._query: tuple[ExitStack, ClientAssociation] | None = None
        self._listener: tuple[ExitStack, Listener, _Counting] | None = None

    # ------------------------------------------------------------------ questions
    def studies(self, note: Note) -> Iterator[Study]:
        def told(question: str, answers: int, state: str) -> None:
            self._ledger.question(question, answers, state)
            note(question)

        believed: Collection[str] = set(self._ledger.questions("whole"))
        return Inventory(self._ask, told, believed=believed).studies()

    def _ask(self, keys: dict[str, str]) -> Shown:
        wanted = {
            "StudyInstanceUID": "",
            "StudyDate": "",
            "PatientID": "",
            "ModalitiesInStudy": "",
            "NumberOfStudyRelatedInstances": "",
            **keys,
        }
        answers = self._find("STUDY", wanted)
        studies = [
            Study(
                uid,
                text(one, "StudyDate"),
                text(one, "ModalitiesInStudy"),
                number(one, "NumberOfStudyRelatedInstances"),
                text(one, "PatientID"),
            )
            for one in answers.found
            if (uid := text(one, "StudyInstanceUID"))
        ]
        return Shown(studies, answers.complete, f"{answers.status:04X} {answers.comment}".strip())

    def _find(self, level: str, keys: dict[str, str]) -> Answers:
        request = identifier(level, keys)
        for again in (False, True):
            if self._throttle.stop.is_set():
                raise Stopped
            try:
                if self._query is None:
                    stack = ExitStack()
                    self._query = stack, self._opened(stack, contexts_of(FIND))
                return find(self._query[1], FIND, request)
            except PeerError as error:
                self._hang_up()
                if again or isinstance(error, SourceAway):
                    raise
        raise AssertionError("the second time returns or raises")

    def _opened(
        self,
        stack: ExitStack,
        contexts: Sequence[PresentationContext],
        *,
        roles: Sequence[Any] = (),
        open_sink: OpenSink | None = None,
    ) -> ClientAssociation:
        try:
            return stack.enter_context(associated(self._caller, contexts, roles=roles, open_sink=open_sink))
        except PeerError as error:
            raise SourceAway(error.message) from error

    def _hang_up(self) -> None:
        query, self._query = self._query, None
        if query is not None:
            query[0].close()

    def incomplete(self) -> list[str]:
        return self._ledger.questions("cut")

    def recount(self, study_uid: str) -> int | None:
        found = self._ask({"StudyInstanceUID": study_uid}).studies
        return next((study.instances for study in found if study.study_uid == study_uid), 0)

    def listing(self, study_uid: str) -> Listing:
        """Its instances by series. A listing that the source did not finish, or that is shorter than its own
        count, says so in the notes."""
        notes: list[str] = []
        asked = self._find(
            "SERIES",
            {
                "StudyInstanceUID": study_uid,
                "SeriesInstanceUID": "",
                "Modality": "",
                "NumberOfSeriesRelatedInstances": "",
            },
        )
        if not asked.complete:
            notes.append(f"the list of its series ended with status {asked.status:04X}")
        items: dict[str, Listed] = {}
        expected: int | None = 0
        for series in asked.found:
            uid, counted = text(series, "SeriesInstanceUID"), number(series, "NumberOfSeriesRelatedInstances")
            if not uid:
                continue
            expected = None if expected is None or counted is None else expected + counted
            listed = self._find(
                "IMAGE",
                {
                    "StudyInstanceUID": study_uid,
                    "SeriesInstanceUID": uid,
                    "SOPInstanceUID": "",
                    "SOPClassUID": "",
                },
            )
            if not listed.complete:
                notes.append(f"the list of series {uid} ended with status {listed.status:04X}")
            for one in listed.found:
                if instance := text(one, "SOPInstanceUID"):
                    items[instance] = Listed(
                        instance, instance, text(one, "SOPClassUID"), uid, study_uid, text(series, "Modality")
                    )
        return Listing(list(items.values()), expected, tuple(notes))

    def items(self) -> Iterator[Listed]:
        return iter(())

    def local(self, item: str) -> Path | None:
        return None

    # ------------------------------------------------------------------ retrieval
    def fetch(self, wanted: Wanted, landing: Landing) -> str:
        self._hang_up()  # one association at a time, as the least able archives have it
        keys = {"StudyInstanceUID": wanted.study_uid}
        level = "STUDY"
        if wanted.series_uid:
            level, keys["SeriesInstanceUID"] = "SERIES", wanted.series_uid
        if wanted.singly and len(wanted.items) == 1:
            level, keys["SOPInstanceUID"] = "IMAGE", wanted.items[0]
        request = identifier(level, keys)
        counter = _Counting(landing)
        done = (self._get if self._listen is None else self._move)(request, wanted, counter)
        return "; ".join(str(one) for one in done)

    def _get(self, request: Dataset, wanted: Wanted, landing: _Counting) -> list[Retrieved]:
        receiver = Receiver(landing, self._caller.peer.ae_title)
        done = []
        for storage in groups(wanted.sop_classes):
            contexts, roles = proposal(GET, storage)
            with ExitStack() as stack:
                assoc = self._opened(stack, contexts, roles=roles, open_sink=receiver.open_sink)
                done.append(get(assoc, GET, request, self._unless_stopped(receiver.serve)))
        return done

    def _move(self, request: Dataset, wanted: Wanted, landing: _Counting) -> list[Retrieved]:
        listener = self._listening(landing)
        receiver = listener.receiver
        with ExitStack() as stack:
            assoc = self._opened(stack, contexts_of(MOVE))
            done = move(assoc, MOVE, request, self._caller.ae_title, lambda: receiver.heard)
        # Success may be told before the stores have come, or without any.
        expected = max(len(wanted.items), done.completed or 0)
        end = time.monotonic() + SETTLE_SECONDS
        while landing.count < expected and time.monotonic() < max(end, receiver.heard + SETTLE_SECONDS):
            if self._throttle.stop.wait(0.05) or (done.status and not done.completed):
                break
        return [done]

    def _listening(self, landing: _Counting) -> Listener:
        if self._listener is None:
            assert self._listen is not None
            stack = ExitStack()
            relay = _Counting(landing)
            listener = stack.enter_context(
                Listener(
                    Receiver(relay, self._caller.peer.ae_title),
                    ae_title=self._caller.ae_title,
                    bind=self._listen[0],
                    port=self._listen[1],
                    limits=self._caller.limits,
                )
            )
            self._listener = stack, listener, relay
        self._listener[2].landing = landing  # what comes late for an earlier request lands all the same
        return self._listener[1]

    def _unless_stopped(self, serve: Callable[..., None]) -> Callable[..., None]:
        def checked(*arguments: object) -> None:
            serve(*arguments)
            if self._throttle.stop.is_set():
                raise Stopped  # the association is aborted; what came is durable

        return checked

    def close(self) -> None:
        self._hang_up()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener[0].close()


class _Counting:
    """A landing that counts what landed, and can be given another one behind it."""

    def __init__(self, landing: Landing) -> None:
        self.landing = landing
        self.count = 0

    def open(self, command: Command, prefix: bytes = b"", item: str = "") -> Sink:
        return self.landing.open(command, prefix, item)

    def finish(self, sink: Sink) -> None:
        self.landing.finish(sink)
        self.count += 1

    def refuse(self, item: str, reason: str, detail: str, *, lasting: bool) -> None:
        self.landing.refuse(item, reason, detail, lasting=lasting)
