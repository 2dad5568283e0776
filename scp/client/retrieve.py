"""C-GET and C-MOVE as a client, and which presentation contexts a C-GET proposes.

The peer chooses one syntax for a context, so there is one for every syntax of each class: then it can send
what it has as it has it. Room for 128 contexts means a few classes an association.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_role
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext, build_context

from scp.client.association import PENDING, ClientAssociation, Serve, answers, asked, decoded
from scp.client.query import contexts_of
from scp.dimse.contexts import EXPLICIT_LE, IMPLICIT_LE, RANKING

_JPEG = "1.2.840.10008.1.2.4."
SYNTAXES = (*RANKING, *(_JPEG + number for number in ("50", "51", "81", "91", "203")))
"""What images are stored in somewhere; video (below) comes with the classes that have it."""
VIDEO = tuple(_JPEG + number for number in ("100", "101", "102", "103", "104", "105", "106", "107", "108"))
VIDEO_CLASSES = ("1.2.840.10008.5.1.4.1.1.77.1.",)
ROOM = 127
COMMON = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in (
        "2",
        "4",
        "1",
        "1.1",
        "1.2",
        "7",
        "6.1",
        "3.1",
        "20",
        "128",
        "2.1",
        "4.1",
        "12.1",
        "12.2",
        "1.3",
        "77.1.4",
        "77.1.6",
        "66.4",
        "66",
        "88.11",
        "88.22",
        "88.33",
        "88.59",
        "88.67",
        "11.1",
        "481.1",
        "481.2",
        "481.3",
        "481.5",
        "104.1",
        "9.1.1",
        "9.1.2",
        "1.1.1",
        "1.2.1",
        "4.2",
        "7.2",
        "7.4",
        "13.1.1",
        "13.1.3",
        "30",
        "67",
    )
)
"""Classes to propose (uncompressed only) where the peer does not tell which ones it will send."""


@dataclass(frozen=True)
class Retrieved:
    """The end of a C-GET or C-MOVE. failed_uids: as the peer listed them."""

    status: int
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    failed_uids: list[str] = field(default_factory=list)
    comment: str = ""

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} {word}"
            for word, count in (
                ("completed", self.completed),
                ("failed", self.failed),
                ("with a warning", self.warning),
            )
            if count is not None
        )
        return " ".join(
            part
            for part in (f"status {self.status:04X}", f"({counts})" if counts else "", self.comment)
            if part
        )


def groups(sop_classes: Iterable[str]) -> list[list[PresentationContext]]:
    """The storage contexts for each association that these classes need (none: the common ones)."""
    wanted = list(dict.fromkeys(sop_classes))
    if not wanted:
        return [[build_context(uid, [EXPLICIT_LE, IMPLICIT_LE]) for uid in COMMON]]
    made: list[list[PresentationContext]] = []
    for uid in wanted:
        video = VIDEO if uid.startswith(VIDEO_CLASSES) else ()
        contexts = [build_context(uid, syntax) for syntax in (*SYNTAXES, *video)]
        if not made or len(made[-1]) + len(contexts) > ROOM:
            made.append([])
        made[-1] += contexts
    return made


def proposal(
    model: str, storage: Sequence[PresentationContext]
) -> tuple[list[PresentationContext], list[Any]]:
    """Contexts and roles of a C-GET's association (PS3.4 C.4.3: the client is SCP of the storage classes)."""
    classes = dict.fromkeys(str(context.abstract_syntax) for context in storage)
    return [*contexts_of(model), *storage], [build_role(uid, scp_role=True) for uid in classes]


def get(assoc: ClientAssociation, model: str, keys: Dataset, serve: Serve) -> Retrieved:
    """One C-GET to its end. Raises PeerError."""
    return _follow(assoc, C_GET(), model, keys, serve, lambda: 0.0)


def move(
    assoc: ClientAssociation, model: str, keys: Dataset, destination: str, heard: Callable[[], float]
) -> Retrieved:
    """One C-MOVE to its end; the instances come to whoever listens as ``destination``. Raises PeerError."""
    request = C_MOVE()
    request.MoveDestination = destination
    return _follow(assoc, request, model, keys, None, heard)


def _follow(
    assoc: ClientAssociation,
    request: Any,
    model: str,
    keys: Dataset,
    serve: Serve | None,
    heard: Callable[[], float],
) -> Retrieved:
    context = asked(assoc, request, model, keys)
    for answer in answers(assoc, request, serve=serve, heard=heard):
        if int(answer.Status) in PENDING:
            continue
        listed = decoded(getattr(answer, "Identifier", None), context)
        uids = [] if listed is None else listed.get("FailedSOPInstanceUIDList") or []
        return Retrieved(
            int(answer.Status),
            answer.NumberOfCompletedSuboperations,
            answer.NumberOfFailedSuboperations,
            answer.NumberOfWarningSuboperations,
            [uids] if isinstance(uids, str) else [str(u) for u in uids],
            str(getattr(answer, "ErrorComment", None) or ""),
        )
    raise AssertionError("answers end with a final one")
