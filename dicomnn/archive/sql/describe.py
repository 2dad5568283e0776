"""What is known of instances from their attributes, made again: after a migration, and when more attributes
are read than before. Counters, states and revisions stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Engine

from dicomnn.archive.index import Instance
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_json
from dicomnn.archive.sql.levels import instance_columns
from dicomnn.archive.sql.search import instance_of
from dicomnn.archive.states import State

_PAGE = 500
_FILLED = 1


def fill(engine: Engine, run: Callable[[Callable[[Batch], int]], int]) -> None:
    """Let every row of an index from before the search be found, by the attributes that it has."""
    table = schema.instance

    def piece(batch: Batch) -> int:
        rows = batch.connection.execute(
            select(table).where(table.c.described == 0).order_by(table.c.id).limit(_PAGE)
            .with_for_update()).mappings().all()
        for row in map(dict, rows):
            _describe(batch, row, row["attributes"], _FILLED)
        return len(rows)

    with engine.connect() as connection:
        if connection.execute(select(table.c.id).where(table.c.described == 0).limit(1)).first() is None:
            return
    while run(piece):
        pass


def outdated(engine: Engine, version: int, limit: int) -> list[Instance]:
    """See `Index.outdated`."""
    table = schema.instance
    with engine.connect() as connection:
        rows = connection.execute(
            select(table).where(table.c.described < version)
            .order_by(table.c.described, table.c.id).limit(limit)).mappings().all()
    return [instance_of(row) for row in rows]


def describe(batch: Batch, number: int, object_digest: str, attributes: Mapping[str, Any] | None,
             version: int) -> bool:
    """See `Index.describe`."""
    row = batch.row(schema.instance.c.id == number)
    if row is None or row["digest"] != object_digest or row["described"] >= version:
        return False
    _describe(batch, row, row["attributes"] if attributes is None else clean_json(attributes), version)
    return True


def _describe(batch: Batch, row: Mapping[str, Any], attributes: dict[str, Any], version: int) -> None:
    table = schema.instance
    new = {**row, **instance_columns(attributes), "attributes": attributes, "described": version}
    if row["described"]:
        batch.weigh_patient(row, -1)
    batch.weigh_patient(new, +1)
    if row["state"] != State.DELETED.value:
        batch.described(new)
    columns = ("attributes", "search", "patient_key", "modality", "instance_number", "described")
    batch.connection.execute(update(table).where(table.c.id == row["id"])
                             .values({name: new[name] for name in columns}))
