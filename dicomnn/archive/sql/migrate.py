"""Bring an index to the newest schema when it is opened (Alembic, from the package's own scripts)."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from dicomnn.archive.sql.engine import WRITES, as_archive_error
from dicomnn.errors import IndexFailed


def configuration(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade in one transaction. Two processes may do this at once: the second waits or tries again.

    Raises `IndexFailed`, also when the index was written by a later version of dicomnn."""
    script = ScriptDirectory.from_config(configuration())
    head = script.get_current_head()
    for attempt in range(5):
        try:
            with engine.connect() as connection:
                if MigrationContext.configure(connection).get_current_revision() == head:
                    return
            with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
                present = MigrationContext.configure(connection).get_current_revision()
                known = {entry.revision for entry in script.walk_revisions()}
                if present is not None and present not in known:
                    raise IndexFailed(f"the index has schema '{present}', which this version does not know.",
                                      cure="Install the newer dicomnn that wrote this index.")
                command.upgrade(configuration(connection), revision)
            return
        except SQLAlchemyError as error:
            # where DDL does not lock (PostgreSQL), another process may have been faster
            if attempt == 4:
                raise as_archive_error(error) from error
            time.sleep(0.2 * (attempt + 1))
        except CommandError as error:
            raise IndexFailed(f"the index cannot be migrated: {error}") from error
