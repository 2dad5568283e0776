"""Which presentation contexts to propose for a batch of instances (PS3.8 9.3.2.2, annex D).

The acceptor picks one transfer syntax for each context, so a context with five of them does not say "any
of these". Each class gets a context of its own for every syntax in which an instance of the batch can leave
unchanged, and for those preferred by configuration; the uncompressed ones are always there. An association
has room for 128; what does not fit goes over a further one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pynetdicom.presentation import PresentationContext, build_context

from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomnn.flow.retrieve import Match

MOST_CONTEXTS = 128


@dataclass
class Batch:
    """Instances that one association can carry, and the contexts to propose for them."""

    matches: list[Match] = field(default_factory=list)
    contexts: list[PresentationContext] = field(default_factory=list)


def plan(matches: Sequence[Match], compress: tuple[str, ...] = ()) -> list[Batch]:
    """As few batches as their contexts allow; the order of `matches` stays within each.

    A class whose syntaxes fill more than one association appears in several batches.
    """
    received: dict[str, dict[str, None]] = {}
    for match in matches:
        of_class = received.setdefault(match.sop_class_uid, {})
        if match.received:
            of_class[match.received] = None
    batches: list[Batch] = []
    place: dict[tuple[str, str], Batch] = {}
    for sop_class, syntaxes in received.items():
        for group in _groups(list(syntaxes), len(compress) + 2):
            contexts = _contexts(sop_class, group, compress)
            batch = next((b for b in batches if len(b.contexts) + len(contexts) <= MOST_CONTEXTS
                          and all(str(c.abstract_syntax) != sop_class for c in b.contexts)), None)
            if batch is None:
                batches.append(batch := Batch())
            batch.contexts += contexts
            place.update({(sop_class, syntax): batch for syntax in [*group, ""]})
    for match in matches:
        place[match.sop_class_uid, match.received].matches.append(match)
    return [batch for batch in batches if batch.matches]


def _groups(syntaxes: list[str], others: int) -> Iterable[list[str]]:
    room = MOST_CONTEXTS - others
    return [syntaxes[start:start + room] for start in range(0, max(1, len(syntaxes)), room)]


def _contexts(sop_class: str, received: list[str], compress: tuple[str, ...]) -> list[PresentationContext]:
    alone = list(dict.fromkeys([*received, *compress]))
    rest = [uid for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if uid not in alone]
    return [build_context(sop_class, uid) for uid in [*alone, *([rest] if rest else [])]]
