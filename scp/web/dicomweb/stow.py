"""STOW-RS: files in, each judged for itself, by the same way in as C-STORE (PS3.18 10.5).

The body is read once and goes straight into the store; what was durable stays, whatever comes after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from flask import Blueprint, Response, g, request

from dicomnn.dicom.json_values import Json, element
from dicomnn.errors import DicomnnError, IdentifierInvalid, NotDicom
from dicomnn.flow.file_in import FileIn, Sender
from dicomnn.flow.ingest import Outcome
from scp.web.dicomweb.accept import choices, parameters, takes_json
from scp.web.dicomweb.answers import NotAcceptable, as_json, refusal
from scp.web.dicomweb.media import DICOM
from scp.web.dicomweb.multipart import PIECE, Malformed, Reader, boundary_of
from scp.web.dicomweb.resources import checked, url
from scp.web.guard import STORE
from scp.web.services import Services
from scp.web.status import COERCED, DUPLICATE, MISMATCH, NO_RESOURCES, NOT_UNDERSTOOD, failure_reason

log = structlog.get_logger(__name__)

SOURCE = "stow-rs"
MOST_PARTS = 50_000
AT_A_TIME = 8       # files of one request that are made durable side by side
RETRIEVE_URL, REFERENCED, FAILED, OTHER = "00081190", "00081199", "00081198", "0008119A"
CLASS, INSTANCE, WARNING, FAILURE = "00081150", "00081155", "00081196", "00081197"


@dataclass
class Result:
    """What became of the parts so far."""

    stored: list[Json] = field(default_factory=list)
    failed: list[Json] = field(default_factory=list)
    nameless: list[Json] = field(default_factory=list)
    warned: bool = False
    notes: list[str] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)

    def answer(self) -> Response:
        """200 all, 202 some, 409 none (503 where all may be tried again)."""
        found: Json = {}
        if len(self.studies) == 1:
            found[RETRIEVE_URL] = element("UR", [url(next(iter(self.studies)))])
        for tag, items in ((FAILED, self.failed), (REFERENCED, self.stored), (OTHER, self.nameless)):
            if items:
                found[tag] = {"vr": "SQ", "Value": items}
        troubles = [*self.failed, *self.nameless]
        status = 202 if troubles or self.warned else 200
        if not self.stored:
            again = all(item[FAILURE]["Value"] == [NO_RESOURCES] for item in troubles)
            status = 503 if troubles and again else 409
        return as_json(found, status, self.notes[:20])


def add_routes(blueprint: Blueprint, services: Services) -> None:
    for number, path in enumerate(("/studies", "/studies/<study>")):
        blueprint.add_url_rule(path, f"store-{number}", partial(stored, services), methods=["POST"])


def stored(services: Services, study: str = "") -> Response:
    """The parts of a request, one after the other."""
    g.caller.must(STORE)
    checked(study)
    if not takes_json(choices(request)):
        raise NotAcceptable
    media, named = request.mimetype, parameters(request.headers.get("Content-Type", ""))
    if media == DICOM:
        parts: Iterator[tuple[dict[str, str], Iterator[bytes]]] = iter((({}, _pieces()),))
    elif media != "multipart/related":
        return refusal(415, f"Files are taken as multipart/related of {DICOM}, not as '{media[:80]}'")
    elif named.get("type", DICOM).lower() != DICOM:
        return refusal(415, f"Parts are taken as {DICOM} alone")
    else:
        try:
            parts = Reader(request.stream, boundary_of(named.get("boundary", ""))).parts()
        except Malformed as error:
            return refusal(400, str(error))
    result, number = Result(), 0
    address = request.remote_addr or ""
    with services.ingest.visit(peer_address=address) as token, _Finishing(services, result) as finishing:
        sender = Sender(SOURCE, "", address, token, study)
        try:
            for number, (headers, pieces) in enumerate(parts, 1):
                if number > MOST_PARTS:
                    raise Malformed(f"more than {MOST_PARTS} files are in one request")
                _take(services, sender, number, headers, pieces, finishing)
        except Malformed as error:
            finishing.settle(0)
            if not result.stored and not result.failed and not result.nameless:
                return refusal(400, f"The request cannot be read: {error}")
            # What came before was whole, and is kept.
            _note(result, number + 1, NOT_UNDERSTOOD, f"the request cannot be read further: {error}")
    if number == 0:
        return refusal(400, "There is no file in this request")
    return result.answer()


class _Finishing:
    """Files that were read are made durable side by side, and share the index's commits, while the next are
    read. The links of the result are made in the thread of the request."""

    def __init__(self, services: Services, result: Result) -> None:
        self._services, self._result = services, result
        self._pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="store")
        self._waiting: deque[tuple[int, FileIn, Future[Outcome]]] = deque()

    def add(self, number: int, file: FileIn) -> None:
        self._waiting.append((number, file, self._pool.submit(file.finish)))
        self.settle(2 * AT_A_TIME)

    def refused(self, number: int, file: FileIn, error: Exception) -> None:
        file.abort()
        self.settle(0)              # what came before is told before
        _refused(file, number, error, self._result)

    def settle(self, left: int) -> None:
        """Tell what became of the oldest, until so many are left."""
        while len(self._waiting) > left:
            number, file, future = self._waiting.popleft()
            try:
                outcome = future.result()
            except Exception as error:  # noqa: BLE001 - this one fails with a reason, the others go on
                file.abort()
                _refused(file, number, error, self._result)
            else:
                _told(self._services, file, outcome, self._result)

    def __enter__(self) -> _Finishing:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.settle(0)
        finally:
            self._pool.shutdown(wait=True)


def _pieces() -> Iterator[bytes]:
    while piece := request.stream.read(PIECE):
        yield piece


def _take(services: Services, sender: Sender, number: int, headers: dict[str, str], pieces: Iterator[bytes],
          finishing: _Finishing) -> None:
    """One part. Raises Malformed where the body breaks off within it."""
    file = FileIn(services.ingest, sender)
    try:
        kind = headers.get("content-type", DICOM).split(";")[0].strip().lower()
        if kind not in (DICOM, "application/octet-stream", ""):
            raise NotDicom(f"the part is of type {kind[:80]}")
        for piece in pieces:
            file.write(piece)
    except Malformed:
        file.abort()
        raise
    except Exception as error:  # noqa: BLE001 - this one fails with a reason, the others go on
        finishing.refused(number, file, error)
    else:
        finishing.add(number, file)


def _told(services: Services, file: FileIn, outcome: Outcome, result: Result) -> None:
    assert file.known is not None
    item = _reference(file)
    log.info("stored", source=SOURCE, uid=outcome.sop_instance_uid, kind=outcome.kind,
             note=outcome.note or None)
    if outcome.kind == "conflict":
        result.notes.append(f"{outcome.sop_instance_uid}: UID is taken by other content; both are kept")
        if services.ingest.policy.conflict_status == "refuse":
            result.failed.append({**item, FAILURE: element("US", [DUPLICATE])})
            return
        item[WARNING] = element("US", [COERCED])
    elif outcome.mismatch:
        item[WARNING] = element("US", [MISMATCH])
    result.warned |= WARNING in item
    if outcome.study_instance_uid:
        result.studies.add(outcome.study_instance_uid)
        place = f"{url(outcome.study_instance_uid)}/instances/{outcome.sop_instance_uid}"
        item[RETRIEVE_URL] = element("UR", [_retrieve_url(services, outcome) or place])
    result.stored.append({tag: item[tag] for tag in sorted(item)})


def _retrieve_url(services: Services, outcome: Outcome) -> str:
    there = services.frames.find("", "", outcome.sop_instance_uid)
    series = there.series_instance_uid
    return url(there.study_instance_uid, series, there.sop_instance_uid) if series else ""


def _refused(file: FileIn, number: int, error: Exception, result: Result) -> None:
    reason = failure_reason(error)
    if isinstance(error, IdentifierInvalid) and file.known is None:
        reason = NOT_UNDERSTOOD
    told = error.message if isinstance(error, DicomnnError) else "the node could not store it"
    log.warning("not-stored", source=SOURCE, part=number, reason=f"{reason:04X}",
                uid=file.known.sop_instance_uid if file.known else None, why=str(error)[:300],
                exc_info=None if isinstance(error, DicomnnError) else error)
    if file.known is None:
        _note(result, number, reason, told)
        return
    result.notes.append(f"part {number}: {told}")
    result.failed.append({**_reference(file), FAILURE: element("US", [reason])})


def _note(result: Result, number: int, reason: int, told: str) -> None:
    """A failure of which no UID is known (PS3.18 table 10.5.3-3: Other Failures Sequence)."""
    result.notes.append(f"part {number}: {told}")
    result.nameless.append({FAILURE: element("US", [reason])})


def _reference(file: FileIn) -> dict[str, Any]:
    assert file.known is not None
    return {CLASS: element("UI", [file.known.sop_class_uid]),
            INSTANCE: element("UI", [file.known.sop_instance_uid])}
