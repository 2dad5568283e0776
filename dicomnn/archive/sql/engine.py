"""Engine setup, and what databases write differently: the one file that knows SQLite from others."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, TableValuedAlias, create_engine, event, func, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dicomnn.errors import ArchiveError, IndexFailed, StoreFull

WRITES = "dicomnn_writes"
"""Execution option of connections that will write: they take their place in the queue at BEGIN."""


def make_engine(url: str) -> Engine:
    """An engine whose commits are durable when they return. `IndexFailed` for an unusable URL."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database)
        return create_engine(url, pool_size=8, max_overflow=32, pool_pre_ping=True, json_serializer=_json)
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise IndexFailed(f"cannot open the index: {error}", subject=str(url).split("@")[-1]) from error


def without_absent(value: Any) -> Any:
    """A JSON value without the keys that have none: most objects lack most attributes, and whoever asks for
    one that is not there gets None all the same."""
    if isinstance(value, dict):
        return {key: without_absent(item) for key, item in value.items() if item is not None}
    return value


def _json(value: Any) -> str:
    """What a JSON column gets. It is most of the index, so it holds no white space either."""
    return json.dumps(without_absent(value), separators=(",", ":"))


def _sqlite(url: str, database: str | None) -> Engine:
    if database:
        Path(database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=8, max_overflow=64, connect_args={"timeout": 60.0},
                           json_serializer=_json)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None      # the driver's own BEGIN comes too late: see `begun`
        cursor = connection.cursor()
        # Of a new file: a coded instance's row takes 2 to 3 kB, and of these a page of 4096 holds one.
        cursor.execute("PRAGMA page_size=8192")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")   # NORMAL may lose the last commits at a power cut
        cursor.execute("PRAGMA wal_autocheckpoint=128")  # pages: a log of 1 MiB, cut back when it was larger
        cursor.execute("PRAGMA journal_size_limit=1048576")
        cursor.execute("PRAGMA busy_timeout=60000")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.execute("PRAGMA case_sensitive_like=ON")  # as everywhere else; and LIKE 'a%' can use an index
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for another writer in WAL
        # (SQLITE_BUSY_SNAPSHOT), so writers say so at once.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


# ---------------------------------------------------------------- lists inside of JSON columns
def each(dialect: str, column: ColumnElement[Any], name: str, *, items: bool = False) -> TableValuedAlias:
    """The list under ``name`` in a JSON column as a table with the column ``value``: texts, or objects."""
    if dialect == "sqlite":
        return func.json_each(column, f'$."{name}"').table_valued("value")
    unnest = func.json_array_elements if items else func.json_array_elements_text
    return unnest(column.op("->")(name)).table_valued("value")


def item_text(dialect: str, item: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """The text under ``name`` in an object of `each`."""
    if dialect == "sqlite":
        return func.json_extract(item, f'$."{name}"')
    return item.op("->>")(name)


def as_archive_error(error: SQLAlchemyError) -> ArchiveError:
    """`StoreFull` when the database's disk is full, `IndexFailed` otherwise."""
    cause = getattr(error, "orig", None) or error
    told = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    if isinstance(error, DBAPIError) and ("is full" in told or "No space left" in told):
        return StoreFull(f"the index's disk is full: {told}")
    return IndexFailed(f"the index database failed: {told}")


def index_bytes(engine: Engine) -> int:
    """Bytes the index takes, 0 when the database does not tell."""
    name = engine.dialect.name
    if name == "sqlite":
        base, total = str(engine.url.database), 0
        for suffix in ("", "-wal"):
            with contextlib.suppress(OSError):
                total += os.stat(base + suffix).st_size
        return total
    if name == "postgresql":
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0)
    return 0
