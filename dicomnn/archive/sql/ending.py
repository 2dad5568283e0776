"""The end of an instance and of an object: tombstones, and releases that were carried out."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select

from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_text
from dicomnn.archive.sql.receive import in_use
from dicomnn.archive.states import Event, State
from dicomnn.errors import InUse


def deleted(batch: Batch, sop_instance_uid: str, reason: str, by: str) -> bool:
    """See `Index.delete`."""
    table = schema.instance
    row = batch.row(or_(table.c.sop_instance_uid == sop_instance_uid,
                        table.c.received_uid == sop_instance_uid))
    if row is None or row["state"] == State.DELETED.value:
        return False
    if in_use(batch, row["received_uid"], row["digest"]):
        raise InUse("another archive keeps it here.", subject=sop_instance_uid)
    batch.move(row, Event.DELETE, why="deleted", reason=reason, detail=clean_text(f"by {by}"),
               error_code=None)
    batch.line("deleted", row["received_uid"], row["revision"] + 1, reason=reason, by=by)
    return True


def released(batch: Batch, object_names: Sequence[str]) -> None:
    """See `Index.released`."""
    table = schema.release
    for name in object_names:
        size = batch.connection.execute(select(table.c.size).where(table.c.object_name == name)).scalar()
        if size is not None and batch.connection.execute(
                delete(table).where(table.c.object_name == name)).rowcount:
            batch.count("store", -size)
            batch.count("releases", -1)
