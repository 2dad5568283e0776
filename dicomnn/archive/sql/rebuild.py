"""Fill an empty index from records that ``archive/check.py`` made of objects and journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Engine

from dicomnn.archive.index import Attachment, Rebuilt
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.attachments import insert_rebuilt
from dicomnn.archive.sql.batch import Batch, clean_json, clean_text
from dicomnn.archive.sql.receive import columns, record
from dicomnn.archive.states import State
from dicomnn.errors import IndexFailed

_GROUP = 200


def rebuild(engine: Engine, run: Callable[[Callable[[Batch], int]], int],
            records: Iterable[Rebuilt], attached: Iterable[Attachment] = ()) -> int:
    """See `Index.rebuild`. The journal is not written: it has told all this already."""
    with engine.connect() as connection:
        if any(connection.execute(select(table).limit(1)).first() is not None
               for table in (schema.instance, schema.attachment)):
            raise IndexFailed("the index is not empty; rebuilding fills only a new one.",
                              cure="Move the index aside, then rebuild into a new one.")
    source, total = iter(records), 0
    while group := list(islice(source, _GROUP)):
        total += run(lambda batch, group=group: sum(_row(batch, item) for item in group))  # type: ignore[misc]
    names = iter(attached)
    while some := list(islice(names, _GROUP)):
        run(lambda batch, some=some: sum(_name(batch, item) for item in some))  # type: ignore[misc]
    return total


def _name(batch: Batch, attachment: Attachment) -> int:
    insert_rebuilt(batch, attachment)
    return 1


def _row(batch: Batch, item: Rebuilt) -> int:
    received = item.received
    uid = clean_text(received.sop_instance_uid)
    row: dict[str, Any] = {
        **columns(batch, received), "received_uid": uid,
        "sop_instance_uid": clean_text(item.sop_instance_uid) if item.sop_instance_uid else uid,
        "state": item.state.value, "revision": item.revision, "reason": item.reason,
        "detail": clean_text(item.detail), "error_code": item.error_code, "attempts": 0,
        "due_at": batch.now if item.state is State.RECEIVED else None,
        "lease_owner": None, "lease_token": None, "model_id": item.model_id,
        "tried_effort": item.tried.effort if item.tried else None,
        "tried_model": item.tried.model if item.tried else None,
        "changed_at": batch.now if item.changed_at is None else item.changed_at,
    }
    if item.before is not None:
        row["before"] = item.before
    result = batch.connection.execute(insert(schema.instance), row)
    assert result.inserted_primary_key is not None
    row["id"] = int(result.inserted_primary_key[0])
    batch.weigh(row, +1)
    batch.count("received", row["before"])
    batch.described(row)
    batch.touched(row["study_instance_uid"], None)
    batch.study_changed(row["study_instance_uid"])
    for other, superseded, coded in item.conflicts:
        record(batch, row, dict(
            digest=other.digest, object_name=other.object_name, object_sha256=other.object_sha256,
            object_size=other.object_size, superseded=superseded, coded=coded,
            calling_ae=clean_text(other.calling_ae), peer_address=clean_text(other.peer_address),
            received_at=batch.now if other.received_at is None else other.received_at,
            attributes=clean_json(other.attributes), source=clean_text(other.source),
            transfer_syntax_uid=clean_text(other.transfer_syntax_uid), profile=clean_text(other.profile)))
    for name, size in item.release:
        batch.release(name, size, "rebuilt", grace=True)
    return 1
