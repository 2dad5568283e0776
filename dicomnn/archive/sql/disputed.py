"""Identities that objects disagree about: found by looking through the tables, so not for every status."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.engine import Engine

from dicomnn.archive.records import Disputed
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.match import alive

_PAGE = 500


def disputed(engine: Engine) -> Iterator[Disputed]:
    """See `Index.disputed`."""
    yield from _several(engine, "patients", schema.patient, "study_instance_uid", "patient_key")
    yield from _several(engine, "studies", schema.series, "series_instance_uid", "study_instance_uid")


def _several(engine: Engine, kind: str, table: Table, of: str, named: str) -> Iterator[Disputed]:
    """Values of the column ``of`` that stand beside more than one of ``named``."""
    column, last = table.c[of], ""
    while True:
        statement = (select(column).where(column > last, alive(table)).group_by(column)
                     .having(func.count() > 1).order_by(column).limit(_PAGE))
        with engine.connect() as connection:
            uids = list(connection.execute(statement).scalars())
            found = [Disputed(kind, uid, _named(connection, table, of, named, uid)) for uid in uids]
        yield from found
        if len(uids) < _PAGE:
            return
        last = uids[-1]


def _named(connection: Connection, table: Table, of: str, named: str, uid: str) -> tuple[str, ...]:
    return tuple(connection.execute(select(table.c[named]).where(table.c[of] == uid, alive(table))
                                    .order_by(table.c[named])).scalars())
