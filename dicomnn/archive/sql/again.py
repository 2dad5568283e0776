"""Coding again: which coded instances are meant, who wants it, and who takes it.

What waits to be coded again stands in a line of its own (``recode_by``, ``recode_at``), so that a million
of them cost nobody who asks for new arrivals anything. What an object was tried with last is a pair of
columns that is counted, so finding candidates reads only rows of pairs that are meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, and_, delete, func, insert, or_, select, update

from dicomnn.archive.index import ASKED, NIGHT, RECODE_FAILED, Instance, Lift, Tried, Work
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch
from dicomnn.archive.sql.search import instance_of, pages
from dicomnn.archive.sql.work import take
from dicomnn.archive.states import Event, State

_TONIGHT = "recode-night:"


class Page(NamedTuple):
    """Part of the work of `Index.ask_again`. last: the id after which to go on; None: nothing is left."""

    number: int
    size: int
    last: int | None


# ------------------------------------------------------------------ which
def _meant(lift: Lift, tried: Tried, by: str) -> list[Any]:
    """Conditions on a row: this pair, coded, not on its way already, and whatever narrows it down."""
    column = schema.instance.c
    waits_less = and_(column.recode_effort.in_(list(lift.lower)), column.recode_by == by)
    free = [column.recode_at.is_(None), waits_less]
    if by == ASKED:
        free.append(column.recode_by == NIGHT)
    found = [column.tried_effort == tried.effort, column.tried_model == tried.model,
             column.state == State.CODED.value, or_(*free)]
    if lift.study is not None:
        found.append(column.study_instance_uid == lift.study)
    if lift.modality is not None:
        found.append(column.modality == lift.modality)
    if lift.received_before is not None:
        found.append(column.received_at <= lift.received_before)
    if not lift.failed:
        found.append(func.coalesce(column.reason, "") != RECODE_FAILED)
    return found


def candidates(engine: Engine, lift: Lift, pairs: Sequence[Tried], page: int) -> Iterator[Instance]:
    """See `Index.recodable`."""
    table = schema.instance
    for tried in filter(lift.means, pairs):
        yield from pages(engine, select(table).where(*_meant(lift, tried, ASKED)), table.c.id, page, None,
                         instance_of)


# ------------------------------------------------------------------ wishes
def ask(batch: Batch, lift: Lift, tried: Tried, by: str, after: int, limit: int) -> Page:
    """Up to ``limit`` instances of one pair, in order of arrival, become due to be coded again."""
    table = schema.instance
    rows = batch.connection.execute(
        select(table).where(*_meant(lift, tried, by), table.c.id > after)
        .order_by(table.c.id).limit(limit).with_for_update()).mappings().all()
    for row in map(dict, rows):
        wanted = row["recode_effort"]
        batch.move(row, Event.ASK_AGAIN, recode_by=by,
                   recode_effort=lift.effort if wanted is None or wanted in lift.lower else wanted)
    return Page(len(rows), sum(row["object_size"] for row in rows),
                rows[-1]["id"] if len(rows) == limit else None)


def ask_tonight(batch: Batch, lift: Lift, pairs: Sequence[Tried], limit: int, night: str,
                per_night: int) -> int:
    """The same for the nightly rule, at most ``per_night`` (0: any number) in the night of that name,
    whoever asks: the sum is a row of its own that only one at a time may change."""
    table = schema.counter
    key = and_(table.c.name == _TONIGHT + night, table.c.shard == 0)
    taken = batch.connection.execute(select(table.c.value).where(key).with_for_update()).scalar()
    if taken is None:
        batch.connection.execute(delete(table).where(table.c.name.startswith(_TONIGHT, autoescape=True)))
        batch.connection.execute(insert(table).values(name=_TONIGHT + night, shard=0, value=0))
    if per_night:
        limit = min(limit, per_night - int(taken or 0))
    count = 0
    for tried in filter(lift.means, pairs):
        if count < limit:
            count += ask(batch, lift, tried, NIGHT, 0, limit - count).number
    batch.connection.execute(update(table).where(key).values(value=table.c.value + count))
    return count


def ask_as(batch: Batch, uid: str, profile: str, effort: str, by: str) -> bool:
    """See `Index.ask_as`."""
    row = batch.row_of(uid)
    if row is None:
        return False
    if row["state"] == State.CODED.value and row["tried_effort"] is not None:
        batch.move(row, Event.ASK_AGAIN, recode_by=ASKED, recode_effort=effort, recode_profile=profile)
        return True
    if row["state"] == State.KEPT.value:
        batch.move(row, Event.RETRY, profile=profile)
        batch.line("retry", row["received_uid"], row["revision"] + 1, profile=profile, by=by)
        return True
    return False


def call_off(batch: Batch, limit: int) -> int:
    """Up to ``limit`` wishes are forgotten."""
    table = schema.instance
    rows = batch.connection.execute(
        select(table).where(table.c.recode_by.in_([ASKED, NIGHT]), table.c.state == State.CODED.value)
        .order_by(table.c.id).limit(limit).with_for_update()).mappings().all()
    for row in map(dict, rows):
        batch.move(row, Event.CALL_OFF, error_code=None, detail="")
    return len(rows)


# ------------------------------------------------------------------ work
def due(by: str, now: float) -> list[Any]:
    """Conditions on a row that a worker may take now."""
    column = schema.instance.c
    return [column.recode_by == by, column.recode_at <= now]


def lease(batch: Batch, owner: str, seconds: float, limit: int, attempts: int,
          night: bool) -> list[Work]:
    """See `Index.lease_again`."""
    column = schema.instance.c
    works: list[Work] = []
    for by in (ASKED, NIGHT) if night else (ASKED,):
        works += take(batch, due(by, batch.now), [column.recode_at, column.id], owner, seconds,
                      limit - len(works), attempts)
    return works
