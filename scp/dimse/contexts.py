"""Presentation contexts that the node accepts, and what it negotiates for its query models."""

from __future__ import annotations

from typing import Any

from pynetdicom import sop_class
from pynetdicom.presentation import PresentationContext, build_context

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.1.{service}" for service in (1, 2, 3))   # find, move, get
STUDY_ROOT = tuple(f"1.2.840.10008.5.1.4.1.2.2.{service}" for service in (1, 2, 3))
FIND_MODELS = (PATIENT_ROOT[0], STUDY_ROOT[0])
QUERY_MODELS = (*PATIENT_ROOT, *STUDY_ROOT)
SERVICES = (VERIFICATION, *QUERY_MODELS)

# The acceptor picks one syntax per context. Uncompressed first: the only choice that any sender can
# follow whatever it has; then lossless; then what remains, in the proposer's order.
RANKING = (
    EXPLICIT_LE, IMPLICIT_LE, "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.1.99",
)
_RANK = {uid: place for place, uid in enumerate(RANKING)}
_STORED = ("_STORAGE_CLASSES", "_NON_PATIENT_OBJECT_CLASSES")
_TABLES = {name: {str(uid) for uid in table.values()} for name, table in vars(sop_class).items()
           if name.endswith("_CLASSES") and isinstance(table, dict) and name != "_SERVICE_CLASSES"}
_STORAGE = frozenset().union(*(_TABLES[name] for name in _STORED))
_OTHER_SERVICES = frozenset().union(*(uids for name, uids in _TABLES.items() if name not in _STORED))
_STANDARD = "1.2.840.10008."
_STANDARD_STORAGE = "1.2.840.10008.5.1.4.1.1."


def is_storage(abstract_syntax: str) -> bool:
    """Standard storage classes (retired and future ones too) and every private class."""
    if abstract_syntax in _STORAGE:
        return True
    if abstract_syntax in _OTHER_SERVICES:
        return False
    return abstract_syntax.startswith(_STANDARD_STORAGE) or not abstract_syntax.startswith(_STANDARD)


def supported_for(proposed: list[PresentationContext]) -> list[PresentationContext]:
    """What the node answers to this proposal: own services, and every storage class in any syntax.

    PS3.8 annex D: one syntax per context is accepted, by the node's ranking.
    """
    wanted: dict[str, list[str]] = {}
    for context in proposed:
        syntaxes = wanted.setdefault(str(context.abstract_syntax), [])
        syntaxes += [str(t) for t in context.transfer_syntax if str(t) not in syntaxes]
    answer = []
    for uid, syntaxes in wanted.items():
        if uid in SERVICES:
            answer.append(build_context(uid, [EXPLICIT_LE, IMPLICIT_LE]))
        elif is_storage(uid):
            ranked = sorted(syntaxes, key=lambda t: _RANK.get(t, len(_RANK)))
            context = build_context(uid, ranked)
            # Both roles: the peer stores to us, and receives from us during C-GET (PS3.7 D.3.3.4).
            context.scu_role = context.scp_role = True
            answer.append(context)
    return answer


def extended_answer(model: str, asked: bytes) -> bytes:
    """The answer to SOP Class Extended Negotiation of a query or retrieve model (PS3.4 C.5.1.1, C.5.2.1).

    Relational queries and retrieval: yes, as for everybody. Combined date and time: as asked. Fuzzy matching
    of names, timezone adjustment, conversion of multi-frame images: no.
    """
    answer = bytearray(len(asked))
    if asked:
        answer[0] = 1
    if model in FIND_MODELS and len(asked) > 1:
        answer[1] = asked[1] & 1
    return bytes(answer)


def combined_datetime(assoc: Any, model: str) -> bool:
    """Whether this peer negotiated that a date and its time are matched as one moment."""
    negotiated = assoc.facts.get("extended", {}).get(model, b"")
    return len(negotiated) > 1 and negotiated[1] == 1
