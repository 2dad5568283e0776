"""The ledger's rows: moved from state to state with their counts, by hand too, and added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from dicomnn.archive.forwarding import Leg, Queue, Which
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_text
from dicomnn.archive.sql.status import counters

Row = Mapping[str, Any]
Run = Callable[[Callable[[Batch], Any]], Any]
_PAGE = 500
_FRESH = {"strikes": 0, "lease_owner": None, "lease_token": None}


def counter(leg: Leg, destination: str) -> str:
    """The name under which deliveries are counted."""
    return f"delivery:{leg.value}:{destination}"


def move(batch: Batch, row: Row, leg: Leg, **values: Any) -> None:
    """Change a row that was read in this transaction, and its counts."""
    table = schema.delivery
    lease = {} if leg is Leg.SENDING else {"lease_owner": None, "lease_token": None, "due_at": None}
    batch.connection.execute(update(table).where(table.c.id == row["id"]).values(
        **{"state": leg.value, "changed_at": batch.now, **lease, **values}))
    batch.count(counter(Leg(row["state"]), row["destination"]), -1)
    batch.count(counter(leg, row["destination"]), 1)


# ------------------------------------------------------------------ destinations
def of_destination(connection: Connection, name: str) -> Row | None:
    """What is known of it."""
    found = connection.execute(
        select(schema.destination).where(schema.destination.c.name == name)).mappings().first()
    return dict(found) if found is not None else None


def put_destination(batch: Batch, name: str, **values: Any) -> None:
    """Change its row; make it when it is not there."""
    table = schema.destination
    if of_destination(batch.connection, name) is None:
        batch.connection.execute(insert(table).values(
            **{"name": name, "held": False, "failures": 0, **values}))
    elif values:
        batch.connection.execute(update(table).where(table.c.name == name).values(**values))


def names(connection: Connection) -> list[str]:
    """Every destination that is known; there are few."""
    return list(connection.execute(select(schema.destination.c.name).order_by(schema.destination.c.name))
                .scalars())


# ------------------------------------------------------------------ by hand
def meant(which: Which) -> list[Any]:
    """Conditions on a row of the ledger."""
    column = schema.delivery.c
    found: list[Any] = [column.state.in_([leg.value for leg in which.states])]
    if which.destination is not None:
        found.append(column.destination == which.destination)
    if which.study_instance_uid is not None:
        found.append(column.study_instance_uid == which.study_instance_uid)
    return found


def _each(run: Run, which: Which, states: tuple[Leg, ...], change: Callable[[Batch, Row], None]) -> int:
    """All that is meant and in one of the states, a page a transaction; how many."""
    table, total, last = schema.delivery, 0, 0
    wanted = Which(which.destination, which.study_instance_uid, [s for s in states if s in which.states])
    while True:
        def piece(batch: Batch, after: int = last) -> list[int]:
            rows = [dict(row) for row in batch.connection.execute(
                select(table).where(*meant(wanted), table.c.id > after).order_by(table.c.id).limit(_PAGE)
                .with_for_update()).mappings()]
            for row in rows:
                change(batch, row)
            return [row["id"] for row in rows]

        ids = run(piece)
        total += len(ids)
        if len(ids) < _PAGE:
            return total
        last = ids[-1]


def _wait(batch: Batch, row: Row) -> None:
    move(batch, row, Leg.WAITING, due_at=batch.now, **_FRESH)


def hold(run: Run, which: Which) -> int:
    """See `Forwarding.hold`."""
    if which.destination is not None and which.study_instance_uid is None:
        destination = which.destination
        run(lambda batch: put_destination(batch, destination, held=True))
        return _each(run, which, (Leg.WAITING, Leg.SENDING, Leg.FAILED), lambda _batch, _row: None)
    return _each(run, which, (Leg.WAITING,), lambda batch, row: move(batch, row, Leg.HELD))


def release(run: Run, which: Which) -> int:
    """See `Forwarding.release`."""
    if which.study_instance_uid is None:
        def piece(batch: Batch) -> None:
            for name in names(batch.connection):
                if which.destination in (None, name):
                    put_destination(batch, name, held=False)

        run(piece)
    return _each(run, which, (Leg.HELD,), _wait)


def retry(run: Run, which: Which) -> int:
    """See `Forwarding.retry`."""
    count = _each(run, which, (Leg.WAITING, Leg.FAILED), _wait)

    def piece(batch: Batch) -> None:
        for name in names(batch.connection):
            if which.destination in (None, name):
                put_destination(batch, name, pause_until=None)

    run(piece)
    return count


def discard(run: Run, which: Which, by: str) -> int:
    """See `Forwarding.discard`."""
    told = {"error_code": "dropped", "detail": clean_text(f"by {by}")}
    return _each(run, which, (Leg.WAITING, Leg.HELD, Leg.FAILED, Leg.SENDING),
                 lambda batch, row: move(batch, row, Leg.DROPPED, **told))


def reopen(run: Run, study: str, destination: str, again: bool) -> int:
    """What is not on its way any more is; ``again``: also what was sent."""
    states = (Leg.DROPPED, Leg.FAILED, *((Leg.SENT,) if again else ()))
    return _each(run, Which(destination, study, states), states, _wait)


# ------------------------------------------------------------------ sums
def queues(engine: Engine) -> list[Queue]:
    """See `Forwarding.queues`."""
    table = schema.delivery
    sums = counters(engine)
    counts, failed = _split(sums, "delivery:"), _split(sums, "delivery-failure:")
    found = []
    with engine.connect() as connection:
        for about in connection.execute(
                select(schema.destination).order_by(schema.destination.c.name)).mappings():
            name = about["name"]
            oldest = min((row for leg in Leg if leg.open and counts.get(name, {}).get(leg.value) for row in [
                connection.execute(select(table.c.created_at, table.c.deadline_at).where(
                    table.c.destination == name, table.c.state == leg.value)
                    .order_by(table.c.created_at).limit(1)).first()] if row is not None),
                key=lambda row: row.created_at, default=None)
            found.append(Queue(
                destination=name,
                counts={leg: counts.get(name, {}).get(leg.value, 0) for leg in Leg},
                oldest=oldest.created_at if oldest else None, deadline=oldest.deadline_at if oldest else None,
                held=bool(about["held"]), failures=about["failures"], pause_until=about["pause_until"],
                error_code=about["error_code"], detail=about["detail"], failed_at=about["failed_at"],
                accepted_at=about["accepted_at"], failed_tries=failed.get(name, {})))
    return found


def _split(sums: Mapping[str, int], prefix: str) -> dict[str, dict[str, int]]:
    """``prefix`` + what + ':' + destination, by destination."""
    found: dict[str, dict[str, int]] = {}
    for key, value in sums.items():
        if key.startswith(prefix) and value:
            what, name = key.removeprefix(prefix).split(":", 1)
            found.setdefault(name, {})[what] = value
    return found
