"""The life of an instance as one pure table: (state, event) -> state and instructions.

Nothing here reads a clock, a row or a file. ``sql/batch.py`` asks the table, obeys the
instructions and compare-and-sets the row; ``docs/archive.md`` draws the table. What the table does
not hold: a row may only move if nobody moved it since it was read (its ``revision`` or its lease
``token`` still stand), and that is checked in the UPDATE itself.
"""

from __future__ import annotations

from enum import Enum

from dicomnn.errors import InvalidTransition


class State(str, Enum):
    """Where an instance stands. One sentence each in ``STATE_SENTENCES``."""

    RECEIVED = "received"
    CODING = "coding"
    CODED = "coded"
    RECODING = "recoding"
    KEPT = "kept"
    DELETED = "deleted"

    def __str__(self) -> str:
        return self.value

    @property
    def is_coded(self) -> bool:
        """Whether the object that the index names holds a payload instead of pixels."""
        return self in (State.CODED, State.RECODING)


class Event(str, Enum):
    """What can happen to an instance. One sentence each in ``EVENT_SENTENCES``."""

    LEASE = "lease"
    RENEW = "renew"
    VERIFIED = "verified"
    KEEP = "keep"
    FAIL = "fail"
    GIVE_UP = "give-up"
    RETRY = "retry"
    ASK_AGAIN = "ask-again"
    CALL_OFF = "call-off"
    UNPACKED = "unpacked"
    REPLACE = "replace"
    DELETE = "delete"
    RECEIVE_AGAIN = "receive-again"

    def __str__(self) -> str:
        return self.value


class Instruction(str, Enum):
    """What the index does in the same transaction as the move."""

    START_LEASE = "start-lease"            # new token, expiry, one attempt more
    EXTEND_LEASE = "extend-lease"          # same token, later expiry
    END_LEASE = "end-lease"                # token and wishes cleared: who still works on it loses the
    #                                        compare-and-set, and it is offered to nobody
    BACK_OFF = "back-off"                  # due again after a pause that grows with the attempts
    DUE_NOW = "due-now"                    # offered to workers at once, attempts start at zero
    DUE_AGAIN = "due-again"                # the same, to workers that have nothing newer to do
    POINT_TO_NEW_OBJECT = "point-to-new-object"
    RELEASE_OLD_OBJECT = "release-old-object"  # the name goes to the release queue, after the grace time
    REPORT_DUE = "report-due"              # the study's report no longer says what is true

    def __str__(self) -> str:
        return self.value


STATE_SENTENCES: dict[State, str] = {
    State.RECEIVED: "Durable as received, acknowledged, waiting for a worker.",
    State.CODING: "Leased to a worker until a stated time; the original is still what the index names.",
    State.CODED: "The index names a coded object that was decoded again and compared.",
    State.RECODING: "Coded, and leased to a worker that codes it again; the index still names the object "
                    "that it had.",
    State.KEPT: "Stays byte for byte as received, for the stated reason.",
    State.DELETED: "A tombstone: the row stays, its object goes after the grace time.",
}

EVENT_SENTENCES: dict[Event, str] = {
    Event.LEASE: "A worker takes it, or takes it over from a lease that ran out.",
    Event.RENEW: "The worker is still at it.",
    Event.VERIFIED: "The coded object was read back, decoded, and equals the original.",
    Event.KEEP: "Judged not eligible, or not smaller: what is there stays.",
    Event.FAIL: "The attempt failed and others are left.",
    Event.GIVE_UP: "The last attempt failed, or the last lease ran out.",
    Event.RETRY: "A person or a newer version asks for another try.",
    Event.ASK_AGAIN: "A person or the nightly rule wants it coded again: more effort, or a newer model.",
    Event.CALL_OFF: "That wish was taken back before a worker began.",
    Event.UNPACKED: "A person wanted it as it was received: the restored original has the digest that came.",
    Event.REPLACE: "Other content came under the same UID and the policy lets the newer one win.",
    Event.DELETE: "A rule or a person, with a reason.",
    Event.RECEIVE_AGAIN: "A deleted instance was sent once more.",
}

_S, _E, _I = State, Event, Instruction

TRANSITIONS: dict[tuple[State, Event], tuple[State, tuple[Instruction, ...]]] = {
    (_S.RECEIVED, _E.LEASE): (_S.CODING, (_I.START_LEASE,)),
    (_S.CODING, _E.LEASE): (_S.CODING, (_I.START_LEASE,)),
    (_S.CODING, _E.RENEW): (_S.CODING, (_I.EXTEND_LEASE,)),
    (_S.CODING, _E.VERIFIED): (
        _S.CODED, (_I.END_LEASE, _I.POINT_TO_NEW_OBJECT, _I.RELEASE_OLD_OBJECT, _I.REPORT_DUE)),
    (_S.RECEIVED, _E.KEEP): (_S.KEPT, (_I.END_LEASE, _I.REPORT_DUE)),
    (_S.CODING, _E.KEEP): (_S.KEPT, (_I.END_LEASE, _I.REPORT_DUE)),
    (_S.CODING, _E.FAIL): (_S.RECEIVED, (_I.END_LEASE, _I.BACK_OFF)),
    (_S.CODING, _E.GIVE_UP): (_S.KEPT, (_I.END_LEASE, _I.REPORT_DUE)),
    (_S.KEPT, _E.RETRY): (_S.RECEIVED, (_I.DUE_NOW, _I.REPORT_DUE)),
    (_S.CODED, _E.ASK_AGAIN): (_S.CODED, (_I.DUE_AGAIN,)),
    (_S.CODED, _E.CALL_OFF): (_S.CODED, (_I.END_LEASE,)),
    (_S.CODED, _E.LEASE): (_S.RECODING, (_I.START_LEASE,)),
    (_S.RECODING, _E.LEASE): (_S.RECODING, (_I.START_LEASE,)),
    (_S.RECODING, _E.RENEW): (_S.RECODING, (_I.EXTEND_LEASE,)),
    (_S.RECODING, _E.VERIFIED): (
        _S.CODED, (_I.END_LEASE, _I.POINT_TO_NEW_OBJECT, _I.RELEASE_OLD_OBJECT, _I.REPORT_DUE)),
    (_S.RECODING, _E.UNPACKED): (
        _S.KEPT, (_I.END_LEASE, _I.POINT_TO_NEW_OBJECT, _I.RELEASE_OLD_OBJECT, _I.REPORT_DUE)),
    (_S.RECODING, _E.KEEP): (_S.CODED, (_I.END_LEASE,)),
    (_S.RECODING, _E.FAIL): (_S.CODED, (_I.END_LEASE, _I.BACK_OFF)),
    (_S.RECODING, _E.GIVE_UP): (_S.CODED, (_I.END_LEASE,)),
    **{
        (state, _E.REPLACE): (
            _S.RECEIVED, (_I.END_LEASE, _I.DUE_NOW, _I.POINT_TO_NEW_OBJECT, _I.REPORT_DUE))
        for state in (_S.RECEIVED, _S.CODING, _S.CODED, _S.RECODING, _S.KEPT)
    },
    **{
        (state, _E.DELETE): (_S.DELETED, (_I.END_LEASE, _I.RELEASE_OLD_OBJECT, _I.REPORT_DUE))
        for state in (_S.RECEIVED, _S.CODING, _S.CODED, _S.RECODING, _S.KEPT)
    },
    (_S.DELETED, _E.RECEIVE_AGAIN): (
        _S.RECEIVED, (_I.DUE_NOW, _I.POINT_TO_NEW_OBJECT, _I.REPORT_DUE)),
}


def transition(state: State, event: Event, *, story: str = "") -> tuple[State, tuple[Instruction, ...]]:
    """Where ``event`` leads from ``state`` and what the index must do with it.

    ``story`` says what is known about the instance (UID, revision, owner of the lease); it becomes
    part of the message of `InvalidTransition`, raised when the table has no such row.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = ", ".join(str(e) for (s, e) in TRANSITIONS if s is state) or "nothing"
        told = f" ({story})" if story else ""
        raise InvalidTransition(
            f"'{event}' cannot happen in state '{state}'{told}; from there only: {allowed}."
        ) from None


def diagram() -> str:
    """The table as text, one line per transition; ``docs/archive.md`` holds exactly this."""
    width = max(len(f"{state} --{event}-->") for state, event in TRANSITIONS)
    lines = []
    for (state, event), (target, instructions) in sorted(
            TRANSITIONS.items(), key=lambda item: (list(State).index(item[0][0]), item[0][1].value)):
        arrow = f"{state} --{event}-->"
        lines.append(f"{arrow:<{width}} {target!s:<9} {', '.join(map(str, instructions))}")
    return "\n".join(lines)
