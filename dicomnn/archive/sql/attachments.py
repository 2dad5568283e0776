"""Attachments: names that another archive gave to bytes, and what stays when one of them goes.

The data set of an image is an instance like any other: coded by the workers, found by queries. An attachment
only refers to it, by the UID it came with and its digest; so the same data set under two names is stored
once, and stays until the last name is gone. What also arrived by another way stays in any case.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Engine

from dicomnn.archive.index import Attached, Attachment, Received
from dicomnn.archive.records import ATTACHED
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_text
from dicomnn.archive.sql.receive import columns, in_use, receive
from dicomnn.archive.sql.search import Row, pages, referring
from dicomnn.archive.states import Event, State

REMOVED = "attachment-removed"
_TABLE = schema.attachment


def attachment_of(row: Row) -> Attachment:
    return Attachment(**dict(row))


def get(engine: Engine, uuid: str) -> Attachment | None:
    """See `Index.attachment`."""
    with engine.connect() as connection:
        row = connection.execute(select(_TABLE).where(_TABLE.c.uuid == uuid)).mappings().first()
    return attachment_of(row) if row is not None else None


def of_content(engine: Engine, received_uid: str, limit: int = 16) -> list[Attachment]:
    """See `Index.attachments_of`."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(_TABLE).where(_TABLE.c.received_uid == received_uid, _TABLE.c.form == "file")
            .order_by(_TABLE.c.received_at.desc()).limit(limit)).mappings().all()
    return [attachment_of(row) for row in rows]


def every(engine: Engine, page: int) -> Iterator[Attachment]:
    """See `Index.attachments`."""
    yield from pages(engine, select(_TABLE), _TABLE.c.uuid, page, None, attachment_of)


# ------------------------------------------------------------------ in
def attach(batch: Batch, attachment: Attachment, received: Received | None) -> Attached:
    """See `Index.attach`."""
    name = received.object_name if received is not None else attachment.object_name
    there = batch.connection.execute(
        select(_TABLE).where(_TABLE.c.uuid == attachment.uuid).with_for_update()).mappings().first()
    if there is not None:
        present = attachment_of(there)
        same = (present.size, present.sha256) == (attachment.size, attachment.sha256)
        drop = None
        if name is not None and referring(batch.connection, name) is None:
            size = received.object_size if received is not None else attachment.object_size or 0
            batch.release(name, size, "same" if same else "taken", grace=False)
            drop = name
        return Attached("same" if same else "taken", present, drop=drop)
    if attachment.form == "head":
        assert attachment.received_uid is not None and attachment.digest is not None
        if not in_use(batch, attachment.received_uid, attachment.digest):
            return Attached("gone")        # what it is the beginning of went just now
    if received is None:
        return Attached("new", _insert(batch, attachment))
    row = batch.row_of(clean_text(received.sop_instance_uid))
    if row is not None and not _gives_back(batch, row, received):
        # What is there under this UID will not give these bytes back, so they are kept on their own.
        own = replace(attachment, form="object", received_uid=None, digest=None, prefix=None,
                      object_name=name, object_size=received.object_size)
        return Attached("new", _insert(batch, own))
    receipt = receive(batch, received, "never")
    return Attached("new", _insert(batch, attachment), receipt, receipt.drop)


def _gives_back(batch: Batch, row: Mapping[str, Any], received: Received) -> bool:
    """Whether what is, or would be, kept under this UID gives the data set back exactly, now and later."""
    if row["received_uid"] != received.sop_instance_uid:
        return False                       # the UID that a lossy profile gave to something else
    if row["state"] == State.DELETED.value:
        return True                        # it takes its place
    profile, digest = row["profile"], row["digest"]
    if digest != received.digest:
        conflict = schema.conflict
        beside = batch.connection.execute(
            select(conflict.c.profile)
            .where(conflict.c.instance_id == row["id"], conflict.c.digest == received.digest)).first()
        if beside is None:
            return True                    # it is kept beside the instance
        profile = beside.profile
    return profile in (received.profile, "keep")


def _insert(batch: Batch, attachment: Attachment) -> Attachment:
    made = replace(attachment, received_at=batch.now if attachment.received_at is None
                   else attachment.received_at)
    batch.connection.execute(insert(_TABLE), asdict(made))
    _weigh(batch, made, +1)
    told = {name: value for name, value in asdict(made).items()
            if name not in ("prefix", "received_uid", "object_name")}
    prefix = None if made.prefix is None else base64.b64encode(made.prefix).decode("ascii")
    batch.line("attached", made.received_uid or "", 0, **told, prefix=prefix, object=made.object_name)
    return made


def insert_rebuilt(batch: Batch, attachment: Attachment) -> None:
    """A row that the journal told of; it is not told again."""
    batch.connection.execute(insert(_TABLE), asdict(attachment))
    _weigh(batch, attachment, +1)


def _weigh(batch: Batch, attachment: Attachment, sign: int) -> None:
    batch.count("attachments", sign)
    batch.count("store", sign * (attachment.object_size or 0))


# ------------------------------------------------------------------ out
def detach(batch: Batch, uuid: str) -> bool:
    """See `Index.detach`."""
    there = batch.connection.execute(
        select(_TABLE).where(_TABLE.c.uuid == uuid).with_for_update()).mappings().first()
    if there is None:
        return False
    gone = attachment_of(there)
    batch.connection.execute(delete(_TABLE).where(_TABLE.c.uuid == uuid))
    _weigh(batch, gone, -1)
    batch.line("detached", gone.received_uid or "", 0, uuid=uuid)
    if gone.object_name is not None:
        batch.release(gone.object_name, gone.object_size or 0, REMOVED, grace=True)
    elif gone.received_uid is not None and gone.digest is not None:
        _content_may_go(batch, gone.received_uid, gone.digest)
    return True


def _content_may_go(batch: Batch, received_uid: str, digest: str) -> None:
    if in_use(batch, received_uid, digest):
        return
    table, conflict = schema.instance, schema.conflict
    row = batch.row(table.c.received_uid == received_uid)
    if row is None:
        return
    beside = batch.connection.execute(
        select(conflict).where(conflict.c.instance_id == row["id"], conflict.c.digest == digest,
                               conflict.c.source == ATTACHED)).mappings().first()
    if beside is not None:
        _drop_conflict(batch, dict(beside))
        batch.release(beside["object_name"], beside["object_size"], REMOVED, grace=True)
        batch.line("conflict-dropped", received_uid, row["revision"], object=beside["object_name"])
    if row["digest"] != digest or row["source"] != ATTACHED or row["state"] == State.DELETED.value:
        return
    heir = batch.connection.execute(
        select(conflict).where(conflict.c.instance_id == row["id"], conflict.c.coded.is_(False))
        .order_by(conflict.c.id).limit(1)).mappings().first()
    if heir is None:
        batch.move(row, Event.DELETE, why=REMOVED, reason=REMOVED, detail="", error_code=None)
        batch.line("deleted", received_uid, row["revision"] + 1, reason=REMOVED)
    else:
        _promote(batch, row, dict(heir))


def _drop_conflict(batch: Batch, record: Mapping[str, Any]) -> None:
    batch.connection.execute(delete(schema.conflict).where(schema.conflict.c.id == record["id"]))
    batch.count("conflicts", -1)
    batch.count("store", -record["object_size"])
    batch.study_sum(record["study_instance_uid"], "conflicts", -1)
    batch.study_changed(record["study_instance_uid"])


def _promote(batch: Batch, row: Mapping[str, Any], heir: Mapping[str, Any]) -> None:
    """What was kept beside a content that goes takes its place, and waits for a worker like an arrival."""
    about = heir["attributes"]
    received = Received(
        sop_instance_uid=row["received_uid"], digest=heir["digest"], object_name=heir["object_name"],
        object_sha256=heir["object_sha256"], object_size=heir["object_size"],
        sop_class_uid=about.get("sop_class_uid") or row["sop_class_uid"],
        study_instance_uid=about.get("study_instance_uid") or row["study_instance_uid"],
        series_instance_uid=about.get("series_instance_uid") or row["series_instance_uid"],
        transfer_syntax_uid=heir["transfer_syntax_uid"] or row["transfer_syntax_uid"],
        attributes=about, described=row["described"], profile=heir["profile"] or row["profile"],
        source=heir["source"], calling_ae=heir["calling_ae"], peer_address=heir["peer_address"],
        received_at=heir["received_at"])
    _drop_conflict(batch, heir)
    values = {**columns(batch, received), "sop_instance_uid": row["received_uid"], "error_code": None}
    assert batch.move(row, Event.REPLACE, **values), "the row is locked"
    batch.described(values)
    batch.touched(values["study_instance_uid"], None)
    batch.release(row["object_name"], row["object_size"], REMOVED, grace=True)
    batch.line("promoted", row["received_uid"], row["revision"] + 1, object=heir["object_name"])
