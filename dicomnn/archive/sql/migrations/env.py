"""Run by Alembic; the connection and its transaction are the caller's (``migrate.py``)."""

from alembic import context

import dicomnn.archive.sql.accounts_schema  # noqa: F401 - its tables belong to the metadata
from dicomnn.archive.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
