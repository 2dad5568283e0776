"""Questions to the index: short reads in keyset pages, no OFFSET, no COUNT."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RowMapping, Select, or_, select

from dicomnn.archive.index import Conflict, Instance, Release, Study
from dicomnn.archive.sql import schema
from dicomnn.archive.states import State

Row = Mapping[str, Any] | RowMapping
Made = TypeVar("Made")


def instance_of(row: Row) -> Instance:
    state = State(row["state"])
    leased_until = {State.CODING: row["due_at"], State.RECODING: row["recode_at"]}
    return Instance(
        id=row["id"], sop_instance_uid=row["sop_instance_uid"], received_uid=row["received_uid"],
        sop_class_uid=row["sop_class_uid"], study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"], transfer_syntax_uid=row["transfer_syntax_uid"],
        state=state, revision=row["revision"], reason=row["reason"], detail=row["detail"],
        error_code=row["error_code"], attempts=row["attempts"], object_name=row["object_name"],
        object_sha256=row["object_sha256"], object_size=row["object_size"], digest=row["digest"],
        before=row["before"], profile=row["profile"], model_id=row["model_id"],
        attributes=row["attributes"], facts=row["facts"], source=row["source"],
        calling_ae=row["calling_ae"], called_ae=row["called_ae"], peer_address=row["peer_address"],
        received_at=row["received_at"], changed_at=row["changed_at"], lease_owner=row["lease_owner"],
        lease_until=leased_until.get(state), tried_effort=row["tried_effort"],
        tried_model=row["tried_model"], recode_effort=row["recode_effort"], recode_by=row["recode_by"],
        recode_profile=row["recode_profile"])


def conflict_of(row: Row) -> Conflict:
    return Conflict(**dict(row))


def study_of(row: Row) -> Study:
    return Study(**{field.name: row[field.name] for field in fields(Study)})


def get(engine: Engine, uid: str) -> Instance | None:
    """By its present UID, else by the one it came with."""
    table = schema.instance
    with engine.connect() as connection:
        rows = connection.execute(
            select(table).where(or_(table.c.sop_instance_uid == uid, table.c.received_uid == uid))
        ).mappings().all()
    rows = sorted(rows, key=lambda row: row["sop_instance_uid"] != uid)
    return instance_of(rows[0]) if rows else None


def pages(engine: Engine, statement: Select[Any], column: Any, size: int, start: Any,
          make: Callable[[RowMapping], Made]) -> Iterator[Made]:
    """Rows in ascending order of ``column`` (unique), a transaction per page."""
    last, name = start, column.name
    while True:
        page = statement.order_by(column).limit(size)
        if last is not None:
            page = page.where(column > last)
        with engine.connect() as connection:
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield make(row)
        if len(rows) < size:
            return
        last = rows[-1][name]


def instances(engine: Engine, *, study: str | None, series: str | None, sop_instance: str | None,
              state: State | None, reason: str | None, include_deleted: bool,
              page: int) -> Iterator[Instance]:
    """See `Index.instances`."""
    table = schema.instance
    statement = select(table)
    if study is not None:
        statement = statement.where(table.c.study_instance_uid == study)
    if series is not None:
        statement = statement.where(table.c.series_instance_uid == series)
    if sop_instance is not None:
        statement = statement.where(or_(table.c.sop_instance_uid == sop_instance,
                                        table.c.received_uid == sop_instance))
    if reason is not None:
        statement = statement.where(table.c.reason == reason)
    if state is not None:
        statement = statement.where(table.c.state == state.value)
    elif not include_deleted:
        statement = statement.where(table.c.state != State.DELETED.value)
    yield from pages(engine, statement, table.c.id, page, None, instance_of)


def conflicts(engine: Engine, *, study: str | None, sop_instance: str | None,
              page: int) -> Iterator[Conflict]:
    """See `Index.conflicts`."""
    table = schema.conflict
    statement = select(table)
    if study is not None:
        statement = statement.where(table.c.study_instance_uid == study)
    if sop_instance is not None:
        statement = statement.where(table.c.sop_instance_uid == sop_instance)
    yield from pages(engine, statement, table.c.id, page, None, conflict_of)


def object_names(engine: Engine, *, page: int = 2000) -> Iterator[tuple[str, int, str]]:
    """See `Index.object_names`: the four tables merged by name."""
    def of(table: Any, size: str, kind: str, *conditions: Any) -> Iterator[tuple[str, int, str]]:
        statement = select(table.c.object_name, table.c[size].label("bytes")).where(*conditions)
        return pages(engine, statement, table.c.object_name, page, None,
                     lambda row: (row["object_name"], row["bytes"], kind))

    # A tombstone names an object that is in the release queue or gone.
    alive = schema.instance.c.state != State.DELETED.value
    return heapq.merge(of(schema.instance, "object_size", "instance", alive),
                       of(schema.conflict, "object_size", "conflict"),
                       of(schema.attachment, "object_size", "attachment",
                          schema.attachment.c.object_name.is_not(None)),
                       of(schema.release, "size", "release"))


def referring(connection: Connection, name: str) -> str | None:
    """'instance', 'conflict' or 'attachment' if one names this object."""
    instance, conflict, attachment = schema.instance, schema.conflict, schema.attachment
    if connection.execute(select(instance.c.id).where(
            instance.c.object_name == name, instance.c.state != State.DELETED.value)).first() is not None:
        return "instance"
    if connection.execute(select(conflict.c.id).where(conflict.c.object_name == name)).first() is not None:
        return "conflict"
    if connection.execute(
            select(attachment.c.uuid).where(attachment.c.object_name == name)).first() is not None:
        return "attachment"
    return None


def due_releases(engine: Engine, now: float, limit: int) -> list[Release]:
    """See `Index.due_releases`; a name that something refers to after all is left out."""
    table = schema.release
    with engine.connect() as connection:
        rows = connection.execute(
            select(table).where(table.c.due_at <= now)
            .order_by(table.c.due_at, table.c.object_name).limit(limit)).mappings().all()
        return [Release(**row) for row in rows if not referring(connection, row["object_name"])]


def lossy_studies(engine: Engine, uids: Sequence[str]) -> set[str]:
    """See `Index.lossy_studies`: what must never be coded again is what is lossy."""
    column = schema.instance.c
    coded = [state.value for state in State if state.is_coded]
    with engine.connect() as connection:
        return set(connection.execute(
            select(column.study_instance_uid).distinct()
            .where(column.study_instance_uid.in_(list(uids)), column.state.in_(coded),
                   column.tried_effort.is_(None))).scalars())
