"""An arrival in the index: new, the same again, or other content under a known UID."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, insert, select, update

from dicomnn.archive.index import Receipt, Received
from dicomnn.archive.records import ATTACHED
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import UNROUTED, Batch, clean_json, clean_text
from dicomnn.archive.sql.levels import instance_columns
from dicomnn.archive.states import Event, State


def receive(batch: Batch, received: Received, policy: str) -> Receipt:
    """See `Index.receive`."""
    uid = clean_text(received.sop_instance_uid)
    row = batch.row_of(uid)
    if row is None:
        return _new(batch, received, uid)
    if row["object_name"] == received.object_name:
        # Our own commit, whose answer was lost: said again, not done again.
        return Receipt("new", row["id"], row["sop_instance_uid"])
    batch.touched(clean_text(received.study_instance_uid), received.association)
    if row["state"] == State.DELETED.value:
        _point_to(batch, row, received, Event.RECEIVE_AGAIN)
        return Receipt("new", row["id"], uid)
    same = row["digest"] == received.digest
    if same and (policy != "always" or in_use(batch, row["received_uid"], row["digest"])):
        return _same(batch, row, received)
    if policy == "never":
        return _conflict(batch, row, received)
    return _replace(batch, row, received, same)


def columns(batch: Batch, received: Received) -> dict[str, Any]:
    """The columns that come from the object and its arrival, not from its life in the archive."""
    attributes = clean_json(received.attributes)
    return {
        "sop_class_uid": clean_text(received.sop_class_uid),
        "study_instance_uid": clean_text(received.study_instance_uid),
        "series_instance_uid": clean_text(received.series_instance_uid),
        "transfer_syntax_uid": clean_text(received.transfer_syntax_uid),
        "object_name": received.object_name,
        "object_sha256": received.object_sha256,
        "object_size": received.object_size,
        "digest": received.digest,
        "before": received.object_size,
        "profile": clean_text(received.profile),
        "model_id": None, "tried_effort": None, "tried_model": None,
        "recode_at": None, "recode_effort": None, "recode_by": None, "recode_profile": None,
        **instance_columns(attributes),
        "attributes": attributes,
        "described": received.described,
        "facts": clean_json(received.facts),
        "source": clean_text(received.source),
        "calling_ae": clean_text(received.calling_ae),
        "called_ae": clean_text(received.called_ae),
        "peer_address": clean_text(received.peer_address),
        "received_at": batch.now if received.received_at is None else received.received_at,
        "forward": UNROUTED if received.forward else None,
    }


def _state_columns(batch: Batch, received: Received) -> dict[str, Any]:
    if received.kept_reason is not None:
        return {"state": State.KEPT.value, "reason": received.kept_reason,
                "detail": clean_text(received.kept_detail), "due_at": None}
    return {"state": State.RECEIVED.value, "reason": None, "detail": "", "due_at": batch.now}


def _tell(batch: Batch, received: Received, kind: str, uid: str, revision: int) -> None:
    """The journal's line of an arrival: with the objects, enough to make the row again."""
    batch.line("received", uid, revision, kind=kind, object=received.object_name,
               sha256=received.object_sha256, size=received.object_size, digest=received.digest,
               sop_class_uid=received.sop_class_uid, study_instance_uid=received.study_instance_uid,
               series_instance_uid=received.series_instance_uid,
               transfer_syntax_uid=received.transfer_syntax_uid, profile=received.profile,
               reason=received.kept_reason, detail=received.kept_detail, facts=clean_json(received.facts),
               source=received.source, calling_ae=received.calling_ae, called_ae=received.called_ae,
               peer_address=received.peer_address,
               received_at=batch.now if received.received_at is None else received.received_at)
    batch.count("received", received.object_size)
    batch.happened("received")


def _new(batch: Batch, received: Received, uid: str) -> Receipt:
    row = {**columns(batch, received), **_state_columns(batch, received),
           "sop_instance_uid": uid, "received_uid": uid, "revision": 1, "attempts": 0,
           "error_code": None, "lease_owner": None, "lease_token": None, "changed_at": batch.now}
    result = batch.connection.execute(insert(schema.instance), row)
    assert result.inserted_primary_key is not None
    number = int(result.inserted_primary_key[0])
    batch.weigh(row, +1)
    batch.described(row)
    batch.touched(row["study_instance_uid"], received.association)
    batch.study_changed(row["study_instance_uid"])
    _tell(batch, received, "new", uid, 1)
    return Receipt("new", number, uid)


def _point_to(batch: Batch, row: Mapping[str, Any], received: Received, event: Event) -> None:
    values = {**columns(batch, received), "sop_instance_uid": row["received_uid"], "attempts": 0,
              "error_code": None}
    assert batch.move(row, event, **values), "the row is locked"
    batch.described(values)
    _tell(batch, received, "new" if event is Event.RECEIVE_AGAIN else "replaced",
          row["received_uid"], row["revision"] + 1)
    if received.kept_reason is not None:
        now = batch.row(schema.instance.c.id == row["id"])
        assert now is not None
        batch.move(now, Event.KEEP, reason=received.kept_reason,
                   detail=clean_text(received.kept_detail))


def _same(batch: Batch, row: Mapping[str, Any], received: Received) -> Receipt:
    batch.release(received.object_name, received.object_size, "same", grace=False)
    batch.count("duplicates")
    claimed = _claim(batch, schema.instance, row, received)
    batch.line("same", row["received_uid"], row["revision"], object=received.object_name,
               digest=received.digest, calling_ae=received.calling_ae, peer_address=received.peer_address,
               claimed=received.source if claimed else None)
    return Receipt("same", row["id"], row["sop_instance_uid"], drop=received.object_name)


def in_use(batch: Batch, received_uid: str, digest: str) -> bool:
    """Whether an attachment refers to this data set."""
    table = schema.attachment
    return batch.connection.execute(
        select(table.c.uuid).where(table.c.received_uid == received_uid, table.c.digest == digest)
        .limit(1)).first() is not None


def _claim(batch: Batch, table: Table, row: Mapping[str, Any], received: Received) -> bool:
    """What was here only for attachments arrived by another way: from now on it stays when they go."""
    if row["source"] != ATTACHED or received.source == ATTACHED:
        return False
    batch.connection.execute(update(table).where(table.c.id == row["id"]).values(
        source=clean_text(received.source), calling_ae=clean_text(received.calling_ae),
        peer_address=clean_text(received.peer_address)))
    return True


def _conflict(batch: Batch, row: Mapping[str, Any], received: Received) -> Receipt:
    table = schema.conflict
    known = batch.connection.execute(
        select(table.c.id, table.c.object_name, table.c.source)
        .where(table.c.instance_id == row["id"], table.c.digest == received.digest)).mappings().first()
    if known is not None:
        if known["object_name"] == received.object_name:
            return Receipt("conflict", row["id"], row["sop_instance_uid"], known["id"])
        batch.connection.execute(
            update(table).where(table.c.id == known["id"]).values(times_seen=table.c.times_seen + 1))
        batch.release(received.object_name, received.object_size, "same", grace=False)
        batch.count("duplicates")
        claimed = _claim(batch, table, dict(known), received)
        batch.line("same", row["received_uid"], row["revision"], object=received.object_name,
                   digest=received.digest, calling_ae=received.calling_ae,
                   peer_address=received.peer_address, claimed=received.source if claimed else None)
        return Receipt("conflict", row["id"], row["sop_instance_uid"], known["id"],
                       drop=received.object_name)
    number = record(batch, row, dict(
        digest=received.digest, object_name=received.object_name, object_sha256=received.object_sha256,
        object_size=received.object_size, superseded=False, coded=False,
        calling_ae=clean_text(received.calling_ae), peer_address=clean_text(received.peer_address),
        received_at=batch.now if received.received_at is None else received.received_at,
        attributes=clean_json(received.attributes), source=clean_text(received.source),
        transfer_syntax_uid=clean_text(received.transfer_syntax_uid), profile=clean_text(received.profile)))
    _tell(batch, received, "conflict", row["received_uid"], row["revision"])
    return Receipt("conflict", row["id"], row["sop_instance_uid"], number)


def record(batch: Batch, row: Mapping[str, Any], values: dict[str, Any]) -> int:
    """Insert a conflict record beside an instance; its id."""
    result = batch.connection.execute(insert(schema.conflict).values(
        instance_id=row["id"], sop_instance_uid=row["received_uid"],
        study_instance_uid=row["study_instance_uid"], times_seen=1, **values))
    batch.count("conflicts")
    batch.count("store", values["object_size"])
    batch.study_sum(row["study_instance_uid"], "conflicts", 1)
    batch.study_changed(row["study_instance_uid"])
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def _replace(batch: Batch, row: Mapping[str, Any], received: Received, same: bool) -> Receipt:
    """The newer wins; the older stays as a conflict record, unless its content is kept already."""
    _point_to(batch, row, received, Event.REPLACE)
    table = schema.conflict
    kept_already = same or batch.connection.execute(
        select(table.c.id).where(table.c.instance_id == row["id"], table.c.digest == row["digest"])).first()
    if kept_already:
        batch.release(row["object_name"], row["object_size"], "replaced", grace=True)
        return Receipt("replaced", row["id"], row["received_uid"])
    number = record(batch, row, dict(
        digest=row["digest"], object_name=row["object_name"], object_sha256=row["object_sha256"],
        object_size=row["object_size"], superseded=True, coded=State(row["state"]).is_coded,
        calling_ae=row["calling_ae"], peer_address=row["peer_address"], received_at=row["received_at"],
        attributes=row["attributes"], source=row["source"], transfer_syntax_uid=row["transfer_syntax_uid"],
        profile=row["profile"]))
    return Receipt("replaced", row["id"], row["received_uid"], number)
