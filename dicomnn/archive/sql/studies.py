"""Open associations, stable studies, reports that are due."""

from __future__ import annotations

import secrets

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.engine import Engine

from dicomnn.archive.index import Study
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.batch import Batch, clean_text
from dicomnn.archive.sql.search import study_of

SILENT_AFTER = 3600.0
"""Seconds after which an association that nobody closed (its process died) no longer counts."""


def association_opened(batch: Batch, calling_ae: str, peer_address: str, owner: str) -> str:
    table = schema.association
    dead = batch.connection.execute(
        select(table.c.token).where(table.c.seen_at < batch.now - SILENT_AFTER).limit(100)).scalars().all()
    for token in dead:
        association_closed(batch, token)
    token = secrets.token_hex(12)
    batch.connection.execute(insert(table).values(
        token=token, owner=clean_text(owner), calling_ae=clean_text(calling_ae),
        peer_address=clean_text(peer_address), opened_at=batch.now, seen_at=batch.now))
    return token


def association_closed(batch: Batch, token: str) -> None:
    links, table = schema.association_study, schema.association
    studies = batch.connection.execute(
        select(links.c.study_instance_uid).where(links.c.association == token)
        .order_by(links.c.study_instance_uid)).scalars().all()
    for uid in studies:
        batch.connection.execute(update(schema.study).where(schema.study.c.study_instance_uid == uid)
                                 .values(last_touched=batch.now))
    batch.connection.execute(delete(links).where(links.c.association == token))
    batch.connection.execute(delete(table).where(table.c.token == token))


def forget_associations(batch: Batch, owner: str) -> int:
    table = schema.association
    tokens = batch.connection.execute(
        select(table.c.token).where(table.c.owner == clean_text(owner))).scalars().all()
    for token in tokens:
        association_closed(batch, token)
    return len(tokens)


def stable(engine: Engine, now: float, quiet_seconds: float, limit: int) -> list[Study]:
    """See `Index.stable_studies`."""
    study, links, association = schema.study, schema.association_study, schema.association
    open_now = (select(links.c.association)
                .join(association, association.c.token == links.c.association)
                .where(links.c.study_instance_uid == study.c.study_instance_uid,
                       association.c.seen_at >= now - SILENT_AFTER)).exists()
    statement = (select(study)
                 .where(study.c.report_due.is_(True), study.c.last_touched <= now - quiet_seconds, ~open_now,
                        or_(study.c.report_claimed_until.is_(None), study.c.report_claimed_until <= now))
                 .order_by(study.c.last_touched).limit(limit))
    with engine.connect() as connection:
        return [study_of(row) for row in connection.execute(statement).mappings()]


def claim_report(batch: Batch, uid: str, revision: int, seconds: float) -> bool:
    table = schema.study
    done = batch.connection.execute(
        update(table)
        .where(table.c.study_instance_uid == uid, table.c.revision == revision, table.c.report_due.is_(True),
               or_(table.c.report_claimed_until.is_(None), table.c.report_claimed_until <= batch.now))
        .values(report_claimed_until=batch.now + seconds))
    return bool(done.rowcount)


def report_written(batch: Batch, uid: str, revision: int) -> bool:
    table = schema.study
    done = batch.connection.execute(
        update(table).where(table.c.study_instance_uid == uid, table.c.revision == revision)
        .values(report_due=False, report_at=batch.now, report_claimed_until=None))
    return bool(done.rowcount)


def recent(engine: Engine, limit: int, before: tuple[float, str] | None) -> list[Study]:
    """See `Index.recent_studies`."""
    column = schema.study.c
    statement = (select(schema.study).where(column.instances > 0)
                 .order_by(column.last_touched.desc(), column.study_instance_uid.desc()).limit(limit))
    if before is not None:
        touched, uid = before
        statement = statement.where(or_(
            column.last_touched < touched,
            and_(column.last_touched == touched, column.study_instance_uid < uid)))
    with engine.connect() as connection:
        return [study_of(row) for row in connection.execute(statement).mappings()]
