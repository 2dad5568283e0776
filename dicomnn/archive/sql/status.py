"""The figures of `Index.status`, from counters alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import Engine

from dicomnn.archive.index import Held, Status, Tried
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch
from dicomnn.archive.sql.engine import index_bytes
from dicomnn.archive.states import State


def _suffixes(sums: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in sorted(sums.items())
            if name.startswith(prefix) and value}


def counters(engine: Engine) -> dict[str, int]:
    """Every counter, summed over its shards."""
    table = schema.counter
    with engine.connect() as connection:
        rows = connection.execute(select(table.c.name, func.sum(table.c.value)).group_by(table.c.name)).all()
    return {name: int(value) for name, value in rows}


def _tried(sums: dict[str, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, value in _suffixes(sums, "tried:").items():
        effort, model = name.split(":", 1)
        found.setdefault(effort, {})[model] = value
    return found


def tried(engine: Engine) -> list[Tried]:
    """With what the coded instances that may be coded again were coded, or tried to be, last."""
    return [Tried(effort, model) for effort, models in _tried(counters(engine)).items() for model in models]


def status(engine: Engine, now: float, rate_seconds: float, models: Sequence[str] = ()) -> Status:
    sums = defaultdict(int, counters(engine))
    activity, instance = schema.activity, schema.instance
    first = int((now - rate_seconds) // 60) + 1     # whole minutes, and the one that runs
    seconds = max(now - first * 60.0, 1.0)
    with engine.connect() as connection:
        rows = connection.execute(
            select(activity.c.kind, func.sum(activity.c.value))
            .where(activity.c.minute >= first).group_by(activity.c.kind)).all()
        waiting = connection.execute(
            select(instance.c.received_at)
            .where(instance.c.state == State.RECEIVED.value, instance.c.reason.is_(None))
            .order_by(instance.c.id).limit(1)).scalar()
    return Status(
        backlog=sums[f"state:{State.RECEIVED}"], coding=sums[f"state:{State.CODING}"],
        coded=sums[f"state:{State.CODED}"] + sums[f"state:{State.RECODING}"], kept=_suffixes(sums, "kept:"),
        deleted=sums[f"state:{State.DELETED}"], failures=_suffixes(sums, "failure:"),
        retrying=sums["retrying"], conflicts=sums["conflicts"], duplicates=sums["duplicates"],
        bytes_received=sums["received"], bytes_before=sums["before"], bytes_after=sums["after"],
        bytes_store=sums["store"], bytes_index=index_bytes(engine), releases_waiting=sums["releases"],
        rate_seconds=seconds, rate={kind: int(value) / seconds for kind, value in rows},
        oldest_backlog=waiting, models=models, recode_waiting=_suffixes(sums, "recode:"),
        recoding=_suffixes(sums, "recoding:"), recoded=sums["recoded"],
        recode_kept=sums["recode-kept"], recode_bytes_before=sums["recoded-before"],
        recode_bytes_after=sums["recoded-after"], recode_failures=_suffixes(sums, "recode-failure:"),
        attachments=sums["attachments"], tried=_tried(sums))


def activity(engine: Engine, since: float) -> dict[str, list[tuple[float, int]]]:
    """See `Index.activity`."""
    table = schema.activity
    with engine.connect() as connection:
        rows = connection.execute(
            select(table.c.kind, table.c.minute, func.sum(table.c.value))
            .where(table.c.minute >= int(since // 60)).group_by(table.c.kind, table.c.minute)
            .order_by(table.c.minute)).all()
    found: dict[str, list[tuple[float, int]]] = {}
    for kind, minute, value in rows:
        found.setdefault(kind, []).append((minute * 60.0, int(value)))
    return found


def remember(batch: Batch, now: Status) -> None:
    """See `Index.remember`."""
    table, hour = schema.history, int(batch.now // 3600)
    values = {"bytes_before": now.bytes_before, "bytes_after": now.bytes_after,
              "bytes_store": now.bytes_store, "instances": now.coded + now.kept_total}
    if not batch.connection.execute(update(table).where(table.c.hour == hour).values(**values)).rowcount:
        batch.connection.execute(insert(table).values(hour=hour, **values))


def history(engine: Engine) -> list[Held]:
    """See `Index.history`."""
    with engine.connect() as connection:
        rows = connection.execute(select(schema.history).order_by(schema.history.c.hour)).mappings()
        return [Held(**row) for row in rows]
