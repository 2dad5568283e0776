"""`Accounts` on SQLAlchemy Core: short transactions of their own, no counters, no journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dicomnn.archive.accounts import Accounts, Deed, Session, Token, Upload, User
from dicomnn.archive.sql import accounts_schema as schema
from dicomnn.archive.sql.batch import clean_json, clean_text
from dicomnn.archive.sql.engine import WRITES, as_archive_error


class SqlAccounts(Accounts):
    """See `Accounts`."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine, self.clock = engine, clock

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise as_archive_error(error) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise as_archive_error(error) from error

    # ---------------------------------------------------------------- users
    def users(self) -> list[User]:
        table = schema.user
        with self._reading() as connection:
            return [
                User(**row) for row in connection.execute(select(table).order_by(table.c.name)).mappings()
            ]

    def user(self, name: str) -> User | None:
        table = schema.user
        with self._reading() as connection:
            row = connection.execute(select(table).where(table.c.name == clean_text(name))).mappings().first()
        return User(**row) if row is not None else None

    def add_user(self, name: str, role: str, password: str, by: str) -> bool:
        now = self.clock()
        try:
            with self._writing() as connection:
                connection.execute(
                    insert(schema.user).values(
                        name=clean_text(name),
                        role=role,
                        password=password,
                        created_at=now,
                        created_by=clean_text(by),
                        changed_at=now,
                    )
                )
        except IntegrityError:
            return False
        return True

    def change_user(self, name: str, *, role: str | None = None, password: str | None = None) -> bool:
        given = {key: value for key, value in (("role", role), ("password", password)) if value is not None}
        table, sessions = schema.user, schema.session
        with self._writing() as connection:
            done = connection.execute(
                update(table)
                .where(table.c.name == clean_text(name))
                .values(changed_at=self.clock(), **given)
            )
            if password is not None:
                connection.execute(delete(sessions).where(sessions.c.name == clean_text(name)))
        return bool(done.rowcount)

    def remove_user(self, name: str) -> bool:
        with self._writing() as connection:
            for table in (schema.session, schema.token):
                connection.execute(delete(table).where(table.c.name == clean_text(name)))
            done = connection.execute(delete(schema.user).where(schema.user.c.name == clean_text(name)))
        return bool(done.rowcount)

    # ---------------------------------------------------------------- sessions and tokens
    def open_session(self, session: Session) -> None:
        table = schema.session
        with self._writing() as connection:
            connection.execute(delete(table).where(table.c.expires_at <= self.clock()))
            connection.execute(
                insert(table).values(
                    digest=session.digest,
                    name=session.name,
                    form_key=session.form_key,
                    address=clean_text(session.address),
                    created_at=session.created_at,
                    seen_at=session.seen_at,
                    expires_at=session.expires_at,
                )
            )

    def session(self, digest: str) -> tuple[Session, User] | None:
        table = schema.session
        with self._reading() as connection:
            row = (
                connection.execute(
                    select(table).where(table.c.digest == digest, table.c.expires_at > self.clock())
                )
                .mappings()
                .first()
            )
        user = self.user(row["name"]) if row is not None else None
        return (Session(**row), user) if row is not None and user is not None else None

    def session_seen(self, digest: str, expires_at: float) -> None:
        table = schema.session
        with self._writing() as connection:
            connection.execute(
                update(table)
                .where(table.c.digest == digest)
                .values(seen_at=self.clock(), expires_at=expires_at)
            )

    def close_session(self, digest: str) -> None:
        with self._writing() as connection:
            connection.execute(delete(schema.session).where(schema.session.c.digest == digest))

    def add_token(self, name: str, digest: str, label: str) -> Token:
        now = self.clock()
        with self._writing() as connection:
            done = connection.execute(
                insert(schema.token).values(
                    digest=digest,
                    name=clean_text(name),
                    label=clean_text(label),
                    created_at=now,
                    used_at=None,
                )
            )
            key = done.inserted_primary_key
        assert key is not None
        return Token(int(key[0]), digest, name, label, now, None)

    def tokens(self, name: str) -> list[Token]:
        table = schema.token
        with self._reading() as connection:
            rows = connection.execute(
                select(table).where(table.c.name == clean_text(name)).order_by(table.c.id)
            ).mappings()
            return [Token(**row) for row in rows]

    def token(self, digest: str) -> tuple[Token, User] | None:
        with self._reading() as connection:
            row = (
                connection.execute(select(schema.token).where(schema.token.c.digest == digest))
                .mappings()
                .first()
            )
        user = self.user(row["name"]) if row is not None else None
        return (Token(**row), user) if row is not None and user is not None else None

    def token_used(self, token_id: int) -> None:
        with self._writing() as connection:
            connection.execute(
                update(schema.token).where(schema.token.c.id == token_id).values(used_at=self.clock())
            )

    def remove_token(self, name: str, token_id: int) -> bool:
        table = schema.token
        with self._writing() as connection:
            done = connection.execute(
                delete(table).where(table.c.id == token_id, table.c.name == clean_text(name))
            )
        return bool(done.rowcount)

    # ---------------------------------------------------------------- signing in
    def failures(self, keys: Sequence[str]) -> dict[str, tuple[int, float]]:
        table = schema.failure
        with self._reading() as connection:
            rows = connection.execute(select(table).where(table.c.key.in_(map(clean_text, keys)))).mappings()
            return {row["key"]: (row["failures"], row["failed_at"]) for row in rows}

    def failed(self, keys: Sequence[str], forget_before: float) -> None:
        table, now = schema.failure, self.clock()
        with self._writing() as connection:
            connection.execute(delete(table).where(table.c.failed_at < forget_before))
            for key in sorted(map(clean_text, keys)):
                done = connection.execute(
                    update(table)
                    .where(table.c.key == key)
                    .values(failures=table.c.failures + 1, failed_at=now)
                )
                if not done.rowcount:
                    connection.execute(insert(table).values(key=key, failures=1, failed_at=now))

    def succeeded(self, keys: Sequence[str]) -> None:
        with self._writing() as connection:
            connection.execute(delete(schema.failure).where(schema.failure.c.key.in_(map(clean_text, keys))))

    # ---------------------------------------------------------------- what was done
    def note(self, deed: Deed) -> None:
        with self._writing() as connection:
            connection.execute(
                insert(schema.deed).values(
                    at=deed.at,
                    **{
                        name: clean_text(getattr(deed, name))
                        for name in ("who", "action", "subject", "address", "outcome", "detail")
                    },
                )
            )

    def deeds(self, limit: int, *, before: int | None = None, who: str = "", subject: str = "") -> list[Deed]:
        table = schema.deed
        asked = select(table).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            asked = asked.where(table.c.id < before)
        if who:
            asked = asked.where(table.c.who == clean_text(who))
        if subject:
            asked = asked.where(table.c.subject == clean_text(subject))
        with self._reading() as connection:
            return [Deed(**row) for row in connection.execute(asked).mappings()]

    def begin_upload(self, upload: Upload) -> None:
        with self._writing() as connection:
            connection.execute(
                insert(schema.upload).values(
                    id=upload.id,
                    who=clean_text(upload.who),
                    address=clean_text(upload.address),
                    profile=clean_text(upload.profile),
                    started_at=upload.started_at,
                    changed_at=upload.changed_at,
                    arrived=0,
                    same=0,
                    failed=0,
                    bytes=0,
                    facts=clean_json(upload.facts),
                )
            )

    def add_to_upload(
        self,
        upload_id: str,
        *,
        arrived: int = 0,
        same: int = 0,
        failed: int = 0,
        size: int = 0,
        studies: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> bool:
        table, links = schema.upload, schema.upload_study
        with self._writing() as connection:
            values: dict[str, Any] = {
                "arrived": table.c.arrived + arrived,
                "same": table.c.same + same,
                "failed": table.c.failed + failed,
                "bytes": table.c.bytes + size,
                "changed_at": self.clock(),
            }
            if facts is not None:
                values["facts"] = clean_json(facts)
            done = connection.execute(update(table).where(table.c.id == upload_id).values(**values))
            if not done.rowcount:
                return False
            known = set(
                connection.execute(
                    select(links.c.study_instance_uid).where(links.c.upload_id == upload_id)
                ).scalars()
            )
            for study in sorted(set(map(clean_text, studies)) - known - {""}):
                connection.execute(insert(links).values(upload_id=upload_id, study_instance_uid=study))
        return True

    def upload(self, upload_id: str) -> Upload | None:
        with self._reading() as connection:
            row = (
                connection.execute(select(schema.upload).where(schema.upload.c.id == upload_id))
                .mappings()
                .first()
            )
            return None if row is None else self._upload(connection, row)

    def uploads(self, limit: int, *, study: str = "") -> list[Upload]:
        table, links = schema.upload, schema.upload_study
        asked = select(table).order_by(table.c.started_at.desc()).limit(limit)
        if study:
            asked = asked.join(links, links.c.upload_id == table.c.id).where(
                links.c.study_instance_uid == clean_text(study)
            )
        with self._reading() as connection:
            return [self._upload(connection, row) for row in connection.execute(asked).mappings().all()]

    @staticmethod
    def _upload(connection: Connection, row: RowMapping) -> Upload:
        links = schema.upload_study
        studies = connection.execute(
            select(links.c.study_instance_uid)
            .where(links.c.upload_id == row["id"])
            .order_by(links.c.study_instance_uid)
        ).scalars()
        return Upload(**row, studies=tuple(studies))
