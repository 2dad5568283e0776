"""`Forwarding` on SQLAlchemy Core: arrivals to deliveries, leases and what becomes of them.

What arrived under rules has ``instance.forward`` = 1 until they have seen it, and ``study.unrouted`` counts
those, so that looking for them costs nothing where there are none. Deliveries are counted by state and
destination in ``counter``; the ledger may be long. What a person does with it stands in ``deliveries.py``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RowMapping, exists, insert, literal, select, update

from dicomnn.archive.forwarding import (
    LEASE_RAN_OUT,
    Arrived,
    Delivery,
    Failure,
    Forwarding,
    Leg,
    Queue,
    Which,
)
from dicomnn.archive.sql import deliveries as ledger
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import ROUTED, UNROUTED, Batch, clean_text
from dicomnn.archive.sql.deliveries import Row, move, of_destination, put_destination
from dicomnn.archive.sql.match import alive
from dicomnn.archive.sql.search import pages
from dicomnn.archive.sql.studies import SILENT_AFTER

Result = TypeVar("Result")
Run = Callable[[Callable[[Batch], Any]], Any]


class SqlForwarding(Forwarding):
    """See `Forwarding`. run: the index's commit queue; now: its clock; told: turns the database's errors into
    the archive's."""

    def __init__(self, engine: Engine, run: Run, now: Callable[[], float],
                 told: Callable[[], AbstractContextManager[None]]) -> None:
        self._engine, self._run, self._now, self._told = engine, run, now, told

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._told(), self._engine.connect() as connection:
            yield connection

    # ---------------------------------------------------------------- by the rules
    def arrived(self, quiet_seconds: float, limit: int = 50) -> list[Arrived]:
        study, instance = schema.study, schema.instance
        now = self._now()
        statement = (select(study.c.study_instance_uid, study.c.study_description, study.c.last_touched)
                     .where(study.c.unrouted > 0, study.c.last_touched <= now - quiet_seconds,
                            ~_open_now(now))
                     .order_by(study.c.last_touched).limit(limit))
        with self._reading() as connection:
            found = connection.execute(statement).all()
            return [Arrived(row.study_instance_uid, row.study_description or "", tuple(
                (sender.modality or "", sender.calling_ae) for sender in connection.execute(
                    select(instance.c.modality, instance.c.calling_ae).distinct()
                    .where(*_under_rules(row.study_instance_uid)))), row.last_touched) for row in found]

    def route(self, arrived: Arrived, destinations: Mapping[str, str], deadline_seconds: float) -> int | None:
        study, instance, uid = schema.study, schema.instance, arrived.study_instance_uid

        def piece(batch: Batch) -> int | None:
            touched = batch.connection.execute(
                select(study.c.last_touched).where(study.c.study_instance_uid == uid)
                .with_for_update()).scalar()
            if touched != arrived.touched:
                return None
            made = sum(_make(batch, uid, name, rule, deadline_seconds, _under_rules(uid))
                       for name, rule in sorted(destinations.items()))
            seen = batch.connection.execute(
                update(instance).where(instance.c.study_instance_uid == uid, instance.c.forward == UNROUTED,
                                       alive(instance)).values(forward=ROUTED)).rowcount
            batch.study_sum(uid, "unrouted", -seen)
            return made

        result: int | None = self._run(piece)
        return result

    # ---------------------------------------------------------------- by a forwarder
    def lease(self, destination: str, owner: str, seconds: float, limit: int, strikes: int) -> list[Delivery]:
        now = self._now()
        with self._reading() as connection:      # an idle forwarder that asks does not write
            about = of_destination(connection, destination)
            if about is not None and (about["held"] or (about["pause_until"] or 0.0) > now):
                return []
            if not any(connection.execute(select(schema.delivery.c.id).where(*_due(destination, leg, now))
                                          .limit(1)).first() for leg in (Leg.SENDING, Leg.WAITING)):
                return []
        leased: list[Delivery] = self._run(
            lambda batch: _lease(batch, destination, clean_text(owner), seconds, limit, strikes))
        return leased

    def renew(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        table = schema.delivery
        tokens = sorted({delivery.lease_token or "" for delivery in deliveries})
        self._run(lambda batch: batch.connection.execute(
            update(table).where(table.c.state == Leg.SENDING.value, table.c.lease_token.in_(tokens),
                                table.c.id.in_([delivery.id for delivery in deliveries]))
            .values(due_at=batch.now + seconds)) and None)

    def sent(self, delivery: Delivery, status: str, comment: str) -> bool:
        def piece(batch: Batch) -> bool:
            row = _held(batch, delivery)
            if row is None:
                return False
            move(batch, row, Leg.SENT, tries=row["tries"] + 1, tried_at=batch.now, status=status,
                 comment=clean_text(comment) or None, error_code=None, detail=None)
            put_destination(batch, row["destination"], accepted_at=batch.now, failures=0, pause_until=None,
                            error_code=None, detail=None)
            return True

        done: bool = self._run(piece)
        return done

    def failed(self, delivery: Delivery, failure: Failure, strikes: int) -> Leg:
        def piece(batch: Batch) -> Leg:
            row = _held(batch, delivery)
            if row is None:
                return delivery.state
            batch.count(f"delivery-failure:{failure.error_code}:{row['destination']}")
            count = row["strikes"] + _is_strike(batch, row, failure)
            leg = Leg.FAILED if count >= strikes else Leg.WAITING
            move(batch, row, leg, tries=row["tries"] + 1, strikes=count, tried_at=batch.now,
                 due_at=batch.now + failure.wait if leg is Leg.WAITING else None, **_told(failure))
            return leg

        leg: Leg = self._run(piece)
        return leg

    def drop(self, delivery: Delivery, reason: str) -> None:
        def piece(batch: Batch) -> None:
            row = _held(batch, delivery)
            if row is not None:
                move(batch, row, Leg.DROPPED, error_code=reason, detail=None)

        self._run(piece)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        def piece(batch: Batch) -> None:
            for delivery in deliveries:
                row = _held(batch, delivery)
                if row is not None:
                    move(batch, row, Leg.WAITING, due_at=delivery.due_at)

        if deliveries:
            self._run(piece)

    def pause(self, destination: str, failure: Failure) -> None:
        def piece(batch: Batch) -> None:
            about = of_destination(batch.connection, destination)
            batch.count(f"delivery-failure:{failure.error_code}:{destination}")
            put_destination(batch, destination, failures=(about["failures"] if about else 0) + 1,
                            pause_until=batch.now + failure.wait, failed_at=batch.now,
                            error_code=failure.error_code, detail=clean_text(failure.detail))

        self._run(piece)

    def failures(self, destination: str) -> int:
        with self._reading() as connection:
            about = of_destination(connection, destination)
        return int(about["failures"]) if about is not None else 0

    def owners(self) -> list[str]:
        table = schema.delivery
        with self._reading() as connection:
            return [owner for (owner,) in connection.execute(
                select(table.c.lease_owner).distinct().where(
                    table.c.destination.in_(ledger.names(connection)),
                    table.c.state == Leg.SENDING.value)) if owner]

    def abandoned(self, owner: str) -> int:
        table = schema.delivery

        def piece(batch: Batch) -> int:
            return batch.connection.execute(
                update(table).where(table.c.destination.in_(ledger.names(batch.connection)),
                                    table.c.state == Leg.SENDING.value, table.c.lease_owner == owner)
                .values(due_at=batch.now)).rowcount

        count: int = self._run(piece)
        return count

    # ---------------------------------------------------------------- by a person
    def hold(self, which: Which) -> int:
        return ledger.hold(self._run, which)

    def release(self, which: Which) -> int:
        return ledger.release(self._run, which)

    def retry(self, which: Which) -> int:
        return ledger.retry(self._run, which)

    def discard(self, which: Which, by: str) -> int:
        return ledger.discard(self._run, which, by)

    def send(self, study_instance_uid: str, destination: str, *, by: str, deadline_seconds: float,
             again: bool = False) -> int:
        instance = schema.instance
        here = [instance.c.study_instance_uid == study_instance_uid, alive(instance)]
        reopened = ledger.reopen(self._run, study_instance_uid, destination, again)
        made: int = self._run(lambda batch: _make(batch, study_instance_uid, destination, clean_text(by),
                                                  deadline_seconds, here, back=True))
        return reopened + made

    # ---------------------------------------------------------------- questions
    def deliveries(self, which: Which, *, page: int = 500) -> Iterator[Delivery]:
        table = schema.delivery
        with self._told():
            yield from pages(self._engine, select(table).where(*ledger.meant(which)), table.c.id, page, None,
                             of_row)

    def queues(self) -> list[Queue]:
        with self._told():
            return ledger.queues(self._engine)

    def any_open(self) -> bool:
        table = schema.delivery
        with self._reading() as connection:
            names = ledger.names(connection)
            return bool(names) and connection.execute(select(table.c.id).where(
                table.c.destination.in_(names), table.c.state.in_([Leg.WAITING.value, Leg.SENDING.value]))
                .limit(1)).first() is not None


# ------------------------------------------------------------------ arrivals
def _open_now(now: float) -> Any:
    study, links, association = schema.study, schema.association_study, schema.association
    return (select(links.c.association)
            .join(association, association.c.token == links.c.association)
            .where(links.c.study_instance_uid == study.c.study_instance_uid,
                   association.c.seen_at >= now - SILENT_AFTER)).exists()


def _under_rules(uid: str) -> list[Any]:
    instance = schema.instance
    return [instance.c.study_instance_uid == uid, instance.c.forward.is_not(None), alive(instance)]


def _make(batch: Batch, uid: str, destination: str, rule: str, deadline_seconds: float,
          conditions: Sequence[Any], *, back: bool = False) -> int:
    """Deliveries of everything that meets the conditions and has none yet; ``back``: also of what came from
    there."""
    instance, table = schema.instance, schema.delivery
    if not back:
        conditions = [*conditions, instance.c.calling_ae != destination]
    known = exists().where(table.c.destination == destination, table.c.instance_id == instance.c.id,
                           table.c.digest == instance.c.digest)
    values = {"destination": literal(destination), "instance_id": instance.c.id,
              "received_uid": instance.c.received_uid, "study_instance_uid": literal(uid),
              "digest": instance.c.digest, "state": literal(Leg.WAITING.value), "rule": literal(rule),
              "tries": literal(0), "strikes": literal(0), "created_at": literal(batch.now),
              "deadline_at": literal(batch.now + deadline_seconds), "due_at": literal(batch.now),
              "changed_at": literal(batch.now)}
    made = batch.connection.execute(insert(table).from_select(
        list(values), select(*values.values()).where(*conditions, ~known).order_by(instance.c.id)),
        execution_options={"preserve_rowcount": True}).rowcount       # of an INSERT not every driver tells it
    if made:
        batch.count(ledger.counter(Leg.WAITING, destination), made)
        put_destination(batch, destination)
    return made


# ------------------------------------------------------------------ leases
def _due(destination: str, leg: Leg, now: float) -> list[Any]:
    table = schema.delivery
    return [table.c.destination == destination, table.c.state == leg.value, table.c.due_at <= now]


def _lease(batch: Batch, destination: str, owner: str, seconds: float, limit: int,
           strikes: int) -> list[Delivery]:
    table = schema.delivery

    def rows(leg: Leg, most: int) -> list[Row]:
        return [dict(row) for row in batch.connection.execute(
            select(table).where(*_due(destination, leg, batch.now)).order_by(table.c.due_at, table.c.id)
            .limit(most).with_for_update(skip_locked=True)).mappings()]

    while left_behind := rows(Leg.SENDING, 1):
        row, count = left_behind[0], left_behind[0]["strikes"] + 1
        why = {"strikes": count, "error_code": LEASE_RAN_OUT,
               "detail": f"{row['lease_owner']} took it and did not come back"}
        batch.count(f"delivery-failure:{LEASE_RAN_OUT}:{destination}")
        if count < strikes:
            return [_take(batch, {**row, **why}, owner, seconds, **why)]
        move(batch, row, Leg.FAILED, **why)
    return [_take(batch, row, owner, seconds) for row in rows(Leg.WAITING, limit)]


def _take(batch: Batch, row: Row, owner: str, seconds: float, **more: Any) -> Delivery:
    """Lease one row. Its ``due_at`` in what is given is that of before, for `give_back`."""
    new = {"lease_owner": owner, "lease_token": secrets.token_hex(12), **more}
    move(batch, row, Leg.SENDING, due_at=batch.now + seconds, **new)
    return of_row({**row, **new, "state": Leg.SENDING.value})


def _held(batch: Batch, delivery: Delivery) -> Row | None:
    """Its row, if the lease still stands (also when it ran out and nobody took it)."""
    table = schema.delivery
    row = batch.connection.execute(select(table).where(
        table.c.id == delivery.id, table.c.state == Leg.SENDING.value,
        table.c.lease_token == delivery.lease_token).with_for_update()).mappings().first()
    return dict(row) if row is not None else None


def _is_strike(batch: Batch, row: Row, failure: Failure) -> int:
    if failure.blames != "either":
        return int(failure.blames == "instance")
    about = of_destination(batch.connection, row["destination"])
    accepted = about["accepted_at"] if about is not None else None
    return int(accepted is not None and row["tried_at"] is not None and accepted > row["tried_at"])


def _told(failure: Failure) -> dict[str, Any]:
    return {"error_code": failure.error_code, "detail": clean_text(failure.detail), "status": failure.status,
            "comment": clean_text(failure.comment) if failure.comment else None}


def of_row(row: Row | RowMapping) -> Delivery:
    """A row of the ledger as it is given out."""
    values = {field.name: row[field.name] for field in fields(Delivery)}
    return Delivery(**{**values, "state": Leg(row["state"])})
