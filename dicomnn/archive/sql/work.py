"""Leases and what becomes of them; every change compares the lease's token and the row's revision."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, or_, select, update

from dicomnn.archive.index import RECODE_FAILED, UNPACKED, Tried, Work
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_json, clean_text
from dicomnn.archive.sql.search import instance_of
from dicomnn.archive.states import Event, Instruction, State, transition

_LONGEST_PAUSE = 3600.0
LEASE_RAN_OUT = "lease-ran-out"
_OF_CODED = ("exact", "quality", "tiles", "payload_bytes", "coded_at", "effort", "seconds", "note")
LEASED = (State.CODING, State.RECODING)


def lease(batch: Batch, owner: str, seconds: float, limit: int, attempts: int) -> list[Work]:
    """See `Index.lease`. A worker that was killed used up an attempt: what kills workers is kept."""
    table = schema.instance
    return take(batch, [table.c.due_at <= batch.now], [table.c.due_at, table.c.id],
                owner, seconds, limit, attempts)


def take(batch: Batch, conditions: Sequence[Any], order: Sequence[Any], owner: str, seconds: float,
         limit: int, attempts: int) -> list[Work]:
    """Lease up to ``limit`` rows that meet the conditions; give up those that have no attempt left."""
    table = schema.instance
    works: list[Work] = []
    while len(works) < limit:
        rows = batch.connection.execute(
            select(table).where(*conditions).order_by(*order).limit(limit - len(works))
            .with_for_update(skip_locked=True)).mappings().all()
        if not rows:
            break
        for row in map(dict, rows):
            # A received row may have more attempts than a configuration that was lowered since allows.
            if State(row["state"]) in LEASED and row["attempts"] >= attempts:
                give_up(batch, row, LEASE_RAN_OUT,
                        f"{row['attempts']} workers took it and none came back (last: {row['lease_owner']}).")
                continue
            token, until = secrets.token_hex(12), batch.now + seconds
            new = {"lease_owner": clean_text(owner), "lease_token": token, _due_column(row): until,
                   "attempts": row["attempts"] + 1}
            if batch.move(row, Event.LEASE, **new):
                now = batch.row(table.c.id == row["id"])
                assert now is not None
                works.append(Work(instance_of(now), owner, token, new["attempts"], until))
    return works


def _due_column(row: Mapping[str, Any]) -> str:
    """What is coded already waits in a line of its own, so that new arrivals never stand behind it."""
    return "recode_at" if State(row["state"]).is_coded else "due_at"


def held(batch: Batch, work: Work) -> dict[str, Any] | None:
    """The row, if the lease still stands. One that ran out and that nobody took still does."""
    table = schema.instance
    return batch.row(and_(table.c.id == work.instance.id,
                          table.c.state.in_([state.value for state in LEASED]),
                          table.c.lease_token == work.token))


def renew(batch: Batch, work: Work, seconds: float) -> bool:
    """See `Index.renew`. The revision stays: nothing that anybody shows has changed."""
    row = held(batch, work)
    if row is None:
        return False
    _, instructions = transition(State(row["state"]), Event.RENEW)
    assert instructions == (Instruction.EXTEND_LEASE,)
    table = schema.instance
    done = batch.connection.execute(
        update(table).where(table.c.id == row["id"], table.c.lease_token == work.token)
        .values(**{_due_column(row): batch.now + seconds}))
    return bool(done.rowcount)


def coded(batch: Batch, work: Work, object_name: str, object_sha256: str, object_size: int,
          model_id: str | None, tried: Tried | None, facts: Mapping[str, Any] | None,
          sop_instance_uid: str | None) -> bool:
    """See `Index.coded`."""
    table = schema.instance
    row = held(batch, work)
    if row is None:
        now = batch.row(table.c.id == work.instance.id)
        if now is not None and now["object_name"] == object_name:
            return True                    # our own commit, whose answer was lost
        batch.release(object_name, object_size, "lease-lost", grace=False)
        return False
    again = row["state"] == State.RECODING.value
    uid = clean_text(sop_instance_uid) if sop_instance_uid else row["sop_instance_uid"]
    batch.move(row, Event.VERIFIED, why="recoded" if again else "coded", object_name=object_name,
               object_sha256=object_sha256, object_size=object_size, model_id=model_id,
               sop_instance_uid=uid, error_code=None, reason=None, detail="", facts=_merged(row, facts),
               profile=row["recode_profile"] or row["profile"], **_tried_columns(tried))
    if again:
        batch.count("recoded")
        batch.count("recoded-before", row["object_size"])
        batch.count("recoded-after", object_size)
    batch.happened("recoded" if again else "coded")
    batch.line("coded", row["received_uid"], row["revision"] + 1, object=object_name, sha256=object_sha256,
               size=object_size, before=row["before"], replaces=row["object_name"], model_id=model_id,
               sop_instance_uid=uid if uid != row["received_uid"] else None,
               facts=_merged(row, facts), again=again or None, **_tried_columns(tried))
    return True


def unpacked(batch: Batch, work: Work, object_name: str, object_sha256: str, object_size: int,
             profile: str) -> bool:
    """See `Index.unpacked`."""
    table = schema.instance
    row = held(batch, work)
    if row is None:
        now = batch.row(table.c.id == work.instance.id)
        if now is not None and now["object_name"] == object_name:
            return True                    # our own commit, whose answer was lost
        batch.release(object_name, object_size, "lease-lost", grace=False)
        return False
    batch.move(row, Event.UNPACKED, why="unpacked", object_name=object_name, object_sha256=object_sha256,
               object_size=object_size, model_id=None, error_code=None, reason=UNPACKED, detail="",
               profile=profile, facts={**row["facts"], **dict.fromkeys(_OF_CODED), "profile": profile},
               **_tried_columns(None))
    batch.happened("unpacked")
    batch.line("unpacked", row["received_uid"], row["revision"] + 1, object=object_name, sha256=object_sha256,
               size=object_size, replaces=row["object_name"], profile=profile, reason=UNPACKED)
    return True


def _tried_columns(tried: Tried | None) -> dict[str, Any]:
    return {"tried_effort": tried.effort if tried else None, "tried_model": tried.model if tried else None}


def kept(batch: Batch, work: Work, reason: str, detail: str, tried: Tried | None,
         facts: Mapping[str, Any] | None) -> bool:
    """See `Index.kept`."""
    row = held(batch, work)
    if row is None:
        return False
    told = {"reason": reason, "detail": clean_text(detail)}
    if row["state"] == State.RECODING.value:
        # Coded it is and stays: that no smaller object was found is no reason that a report shows.
        new = _tried_columns(tried)
        batch.move(row, Event.KEEP, **new)
        batch.count("recode-kept")
        batch.happened("recode-kept")
        batch.line("not-recoded", row["received_uid"], row["revision"] + 1, **told, **new)
        return True
    batch.move(row, Event.KEEP, **told, error_code=None, facts=_merged(row, facts))
    batch.happened("kept")
    batch.line("kept", row["received_uid"], row["revision"] + 1, **told, facts=_merged(row, facts))
    return True


def failed(batch: Batch, work: Work, error_code: str, message: str, attempts: int, back_off: float) -> State:
    """See `Index.failed`."""
    row = held(batch, work)
    if row is None:
        now = batch.row(schema.instance.c.id == work.instance.id)
        return State(now["state"]) if now is not None else State.DELETED
    if row["attempts"] >= attempts:
        return give_up(batch, row, error_code, message)
    pause = min(back_off * 2.0 ** (row["attempts"] - 1), _LONGEST_PAUSE)
    wishes = {name: row[name] for name in ("recode_effort", "recode_by", "recode_profile")}
    batch.move(row, Event.FAIL, **wishes, **{_due_column(row): batch.now + pause}, error_code=error_code,
               detail=clean_text(message))
    batch.line("failed", row["received_uid"], row["revision"] + 1, error_code=error_code, detail=message,
               attempt=row["attempts"])
    return transition(State(row["state"]), Event.FAIL)[0]


def give_up(batch: Batch, row: Mapping[str, Any], error_code: str, message: str) -> State:
    """The last attempt is used up. An original is kept, with reason 'failed' and what went wrong; a coded
    object stays what it was, and the reason says that it could not be coded again."""
    again = row["state"] == State.RECODING.value
    reason = RECODE_FAILED if again else "failed"
    batch.move(row, Event.GIVE_UP, reason=reason, error_code=error_code, detail=clean_text(message))
    batch.happened("recode-failed" if again else "kept")
    batch.line(RECODE_FAILED if again else "kept", row["received_uid"], row["revision"] + 1, reason=reason,
               error_code=error_code, detail=message, attempt=row["attempts"])
    return transition(State(row["state"]), Event.GIVE_UP)[0]


def retry(batch: Batch, sop_instance_uid: str | None, reason: str | None, after: int,
          limit: int) -> tuple[int, int]:
    """Up to ``limit`` kept rows with ids beyond ``after``: (how many, last id looked at)."""
    table = schema.instance
    conditions = [table.c.state == State.KEPT.value, table.c.id > after]
    if sop_instance_uid is not None:
        conditions.append(or_(table.c.sop_instance_uid == sop_instance_uid,
                              table.c.received_uid == sop_instance_uid))
    if reason is not None:
        conditions.append(table.c.reason == reason)
    rows = batch.connection.execute(
        select(table).where(*conditions).order_by(table.c.id).limit(limit).with_for_update()).mappings().all()
    for row in map(dict, rows):
        batch.move(row, Event.RETRY)
        batch.line("retry", row["received_uid"], row["revision"] + 1)
    return len(rows), rows[-1]["id"] if rows else after


def _merged(row: Mapping[str, Any], facts: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**row["facts"], **clean_json(facts or {})}
