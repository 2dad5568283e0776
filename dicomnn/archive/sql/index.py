"""`SqlIndex`: the index on SQLAlchemy Core. Subjects lie in the files beside this one; here is only
how they are run: writes through the commit queue, reads on connections of their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from dicomnn.archive.commit_queue import CommitQueue
from dicomnn.archive.index import (
    ASKED,
    CONFLICT_POLICIES,
    NIGHT,
    Attached,
    Attachment,
    Conflict,
    Disputed,
    Held,
    Index,
    Instance,
    Lift,
    Located,
    Rebuilt,
    Receipt,
    Received,
    Release,
    Status,
    Study,
    Tried,
    Work,
)
from dicomnn.archive.journal import Journal
from dicomnn.archive.sql import (
    again,
    attachments,
    describe,
    disputed,
    ending,
    find,
    rebuild,
    schema,
    search,
    status,
    studies,
    work,
)
from dicomnn.archive.sql.accounts import SqlAccounts
from dicomnn.archive.sql.batch import Batch, Known
from dicomnn.archive.sql.engine import WRITES, as_archive_error, make_engine
from dicomnn.archive.sql.forward import SqlForwarding
from dicomnn.archive.sql.migrate import migrate
from dicomnn.archive.sql.receive import receive
from dicomnn.archive.states import State
from dicomnn.archive.store import Hook, nothing_happens
from dicomnn.conditions import Condition
from dicomnn.errors import ConfigurationError, InstanceNotFound

Result = TypeVar("Result")
Piece = Callable[[Batch], Any]
_SHARDS = 64
_PAGE = 200
_TRIES = 4


@contextmanager
def _told_as_archive_error() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise as_archive_error(error) from error


class SqlIndex(Index):
    """See `Index` and `open_index`. ``clock`` gives seconds since 1970; tests set it."""

    def __init__(self, url: str, *, journal: Journal | None = None, policy: str = "never",
                 grace_seconds: float = 0.0, attempts: int = 3, back_off: float = 30.0,
                 clock: Callable[[], float] | None = None, hook: Hook | None = None) -> None:
        if policy not in CONFLICT_POLICIES:
            raise ConfigurationError(f"duplicates: {policy!r} is none of {', '.join(CONFLICT_POLICIES)}.")
        self.url = url
        self.hook = hook or nothing_happens
        self._journal, self._policy, self._grace = journal, policy, grace_seconds
        self._attempts, self._back_off = attempts, back_off
        self._clock = clock or time.time
        self._known = Known()
        self._shard = secrets.randbelow(_SHARDS)
        self._engine = make_engine(url)
        with _told_as_archive_error():
            migrate(self._engine)
        self.commits: CommitQueue[Piece] = CommitQueue(self._commit)
        with _told_as_archive_error():
            describe.fill(self._engine, self._run)
        self.forwarding = SqlForwarding(self._engine, self._run, self._clock, _told_as_archive_error)
        self._accounts = SqlAccounts(self._engine, self._clock)

    @property
    def accounts(self) -> SqlAccounts:
        return self._accounts

    # ---------------------------------------------------------------- how writes are run
    def _commit(self, pieces: Sequence[Piece]) -> Sequence[Any]:
        """All pieces in one transaction: rows, then the journal's lines durable, then the commit.

        Tried again when the database asks for it (deadlock, a row made by two at once, a lost
        connection); every piece recognises its own earlier commit."""
        for attempt in range(1, _TRIES + 1):
            try:
                with self._engine.connect().execution_options(**{WRITES: True}) as connection:
                    with connection.begin():
                        self.hook("index.begun")
                        batch = Batch(connection, shard=self._shard, now=self._clock(), grace=self._grace,
                                      known=self._known)
                        results = [piece(batch) for piece in pieces]
                        batch.flush()
                        self.hook("index.executed")
                        if self._journal is not None:
                            self._journal.append(batch.lines)
                        self.hook("journal.written")
                        self.hook("index.committing")
                    self._known.learn(batch.learned)
                    self.hook("index.committed")
                return results
            except (IntegrityError, OperationalError) as error:
                if attempt == _TRIES:
                    raise as_archive_error(error) from error
                time.sleep(0.01 * 4 ** attempt)
            except SQLAlchemyError as error:
                raise as_archive_error(error) from error
        raise AssertionError("the last try returns or raises")

    def _run(self, piece: Callable[[Batch], Result]) -> Result:
        result: Result = self.commits.run(piece)
        return result

    # ---------------------------------------------------------------- arrival
    def receive(self, received: Received) -> Receipt:
        return self._run(lambda batch: receive(batch, received, self._policy))

    def association_opened(self, *, calling_ae: str = "", peer_address: str = "", owner: str = "") -> str:
        return self._run(lambda batch: studies.association_opened(batch, calling_ae, peer_address, owner))

    def association_closed(self, association: str) -> None:
        self._run(lambda batch: studies.association_closed(batch, association))

    def forget_associations(self, owner: str) -> int:
        return self._run(lambda batch: studies.forget_associations(batch, owner))

    # ---------------------------------------------------------------- what another archive keeps with us
    def attach(self, attachment: Attachment, received: Received | None = None) -> Attached:
        return self._run(lambda batch: attachments.attach(batch, attachment, received))

    def detach(self, uuid: str) -> bool:
        return self._run(lambda batch: attachments.detach(batch, uuid))

    def attachment(self, uuid: str) -> Attachment | None:
        with _told_as_archive_error():
            return attachments.get(self._engine, uuid)

    def attachments_of(self, received_uid: str) -> list[Attachment]:
        with _told_as_archive_error():
            return attachments.of_content(self._engine, received_uid)

    def attachments(self, *, page: int = 500) -> Iterator[Attachment]:
        with _told_as_archive_error():
            yield from attachments.every(self._engine, page)

    # ---------------------------------------------------------------- work
    def lease(self, owner: str, seconds: float, limit: int = 1) -> list[Work]:
        if not self._any(schema.instance.c.due_at <= self._clock()):
            return []                      # idle workers that ask do not write
        return self._run(lambda batch: work.lease(batch, owner, seconds, limit, self._attempts))

    def _any(self, *conditions: Any) -> bool:
        with _told_as_archive_error(), self._engine.connect() as connection:
            found = connection.execute(select(schema.instance.c.id).where(*conditions).limit(1))
            return found.first() is not None

    def renew(self, work_: Work, seconds: float) -> bool:
        return self._run(lambda batch: work.renew(batch, work_, seconds))

    def coded(self, work_: Work, object_name: str, *, object_sha256: str, object_size: int,
              model_id: str | None = None, tried: Tried | None = None,
              facts: Mapping[str, Any] | None = None, sop_instance_uid: str | None = None) -> bool:
        return self._run(lambda batch: work.coded(batch, work_, object_name, object_sha256, object_size,
                                                  model_id, tried, facts, sop_instance_uid))

    def kept(self, work_: Work, reason: str, detail: str = "", *, tried: Tried | None = None,
             facts: Mapping[str, Any] | None = None) -> bool:
        return self._run(lambda batch: work.kept(batch, work_, reason, detail, tried, facts))

    def failed(self, work_: Work, error_code: str, message: str) -> State:
        return self._run(lambda batch: work.failed(batch, work_, error_code, message, self._attempts,
                                                   self._back_off))

    def retry(self, *, sop_instance_uid: str | None = None, reason: str | None = None) -> int:
        total, last = 0, 0
        while True:
            def piece(batch: Batch, after: int = last) -> tuple[int, int]:
                return work.retry(batch, sop_instance_uid, reason, after, _PAGE)
            count, last = self._run(piece)
            total += count
            if count < _PAGE:
                return total

    # ---------------------------------------------------------------- coding again
    def _tried(self) -> list[Tried]:
        with _told_as_archive_error():
            return status.tried(self._engine)

    def recodable(self, lift: Lift, *, page: int = 500) -> Iterator[Instance]:
        with _told_as_archive_error():
            yield from again.candidates(self._engine, lift, self._tried(), page)

    def ask_again(self, lift: Lift, limit: int | None = None, *,
                  told: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        count = size = 0
        for tried in filter(lift.means, self._tried()):
            after: int | None = 0
            while after is not None and (limit is None or count < limit):
                most = _PAGE if limit is None else min(_PAGE, limit - count)

                def piece(batch: Batch, tried: Tried = tried, after: int = after,
                          most: int = most) -> again.Page:
                    return again.ask(batch, lift, tried, ASKED, after, most)
                page = self._run(piece)
                count, size, after = count + page.number, size + page.size, page.last
                if told is not None:
                    told(count, size)
        return count, size

    def ask_as(self, sop_instance_uid: str, *, profile: str, effort: str, by: str) -> bool:
        return self._run(lambda batch: again.ask_as(batch, sop_instance_uid, profile, effort, by))

    def unpacked(self, work_: Work, object_name: str, *, object_sha256: str, object_size: int,
                 profile: str) -> bool:
        return self._run(lambda batch: work.unpacked(batch, work_, object_name, object_sha256, object_size,
                                                     profile))

    def ask_tonight(self, lift: Lift, limit: int, *, night: str, per_night: int = 0) -> int:
        pairs = [tried for tried in self._tried() if lift.means(tried)]
        if not pairs:
            return 0
        return self._run(lambda batch: again.ask_tonight(batch, lift, pairs, limit, night, per_night))

    def call_off(self) -> int:
        total = count = self._run(lambda batch: again.call_off(batch, _PAGE))
        while count == _PAGE:
            count = self._run(lambda batch: again.call_off(batch, _PAGE))
            total += count
        return total

    def lease_again(self, owner: str, seconds: float, limit: int = 1, *, night: bool = False) -> list[Work]:
        now = self._clock()
        if not any(self._any(*again.due(by, now)) for by in ((ASKED, NIGHT) if night else (ASKED,))):
            return []
        return self._run(lambda batch: again.lease(batch, owner, seconds, limit, self._attempts, night))

    # ---------------------------------------------------------------- the end
    def delete(self, sop_instance_uid: str, *, reason: str, by: str) -> bool:
        return self._run(lambda batch: ending.deleted(batch, sop_instance_uid, reason, by))

    def due_releases(self, limit: int = 100) -> list[Release]:
        with _told_as_archive_error():
            return search.due_releases(self._engine, self._clock(), limit)

    def released(self, object_names: Iterable[str]) -> None:
        names = sorted(object_names)
        if names:
            self._run(lambda batch: ending.released(batch, names))

    # ---------------------------------------------------------------- questions
    def get(self, sop_instance_uid: str) -> Instance:
        with _told_as_archive_error():
            found = search.get(self._engine, sop_instance_uid)
        if found is None:
            raise InstanceNotFound("no instance with this UID.", subject=sop_instance_uid)
        return found

    def instances(self, *, study: str | None = None, series: str | None = None,
                  sop_instance: str | None = None, state: State | None = None, reason: str | None = None,
                  include_deleted: bool = False, page: int = 500) -> Iterator[Instance]:
        with _told_as_archive_error():
            yield from search.instances(
                self._engine, study=study, series=series, sop_instance=sop_instance, state=state,
                reason=reason, include_deleted=include_deleted, page=page)

    def conflicts(self, *, study: str | None = None, sop_instance: str | None = None,
                  page: int = 500) -> Iterator[Conflict]:
        with _told_as_archive_error():
            yield from search.conflicts(self._engine, study=study, sop_instance=sop_instance, page=page)

    def disputed(self) -> Iterator[Disputed]:
        with _told_as_archive_error():
            yield from disputed.disputed(self._engine)

    def study(self, study_instance_uid: str) -> Study | None:
        table = schema.study
        with _told_as_archive_error(), self._engine.connect() as connection:
            row = connection.execute(
                select(table).where(table.c.study_instance_uid == study_instance_uid)).mappings().first()
        return search.study_of(row) if row is not None else None

    def studies(self, *, page: int = 500) -> Iterator[Study]:
        table = schema.study
        with _told_as_archive_error():
            yield from search.pages(self._engine, select(table), table.c.study_instance_uid, page, None,
                                    search.study_of)

    def recent_studies(self, limit: int, *, before: tuple[float, str] | None = None) -> list[Study]:
        with _told_as_archive_error():
            return studies.recent(self._engine, limit, before)

    def lossy_studies(self, uids: Sequence[str]) -> set[str]:
        with _told_as_archive_error():
            return search.lossy_studies(self._engine, uids)

    def activity(self, since: float) -> dict[str, list[tuple[float, int]]]:
        with _told_as_archive_error():
            return status.activity(self._engine, since)

    def remember(self) -> None:
        now = self.status()
        self._run(lambda batch: status.remember(batch, now))

    def history(self) -> list[Held]:
        with _told_as_archive_error():
            return status.history(self._engine)

    def find(self, level: str, conditions: Sequence[Condition], *, wanted: Iterable[str] = (),
             page: int = 500) -> Iterator[dict[str, Any]]:
        with _told_as_archive_error():
            yield from find.find(self._engine, level, conditions, wanted, page)

    def locate(self, conditions: Sequence[Condition], *, page: int = 5000) -> Iterator[Located]:
        with _told_as_archive_error():
            yield from find.locate(self._engine, conditions, page)

    def more_than(self, level: str, conditions: Sequence[Condition], limit: int) -> bool:
        with _told_as_archive_error():
            return find.more_than(self._engine, level, conditions, limit)

    def outdated(self, version: int, limit: int = 100) -> list[Instance]:
        with _told_as_archive_error():
            return describe.outdated(self._engine, version, limit)

    def describe(self, instance: Instance, attributes: Mapping[str, Any] | None, version: int) -> bool:
        return self._run(lambda batch: describe.describe(batch, instance.id, instance.digest, attributes,
                                                         version))

    def status(self, rate_seconds: float = 300.0) -> Status:
        with _told_as_archive_error():
            return status.status(self._engine, self._clock(), rate_seconds)

    # ---------------------------------------------------------------- stable studies and reports
    def stable_studies(self, quiet_seconds: float, limit: int = 100) -> list[Study]:
        with _told_as_archive_error():
            return studies.stable(self._engine, self._clock(), quiet_seconds, limit)

    def claim_report(self, study_instance_uid: str, revision: int, seconds: float) -> bool:
        return self._run(lambda batch: studies.claim_report(batch, study_instance_uid, revision, seconds))

    def report_written(self, study_instance_uid: str, revision: int) -> bool:
        return self._run(lambda batch: studies.report_written(batch, study_instance_uid, revision))

    # ---------------------------------------------------------------- checking
    def object_names(self) -> Iterator[tuple[str, int, str]]:
        with _told_as_archive_error():
            yield from search.object_names(self._engine)

    def referrer(self, object_name: str) -> str | None:
        table = schema.release
        with _told_as_archive_error(), self._engine.connect() as connection:
            found = search.referring(connection, object_name)
            if found is None and connection.execute(
                    select(table.c.object_name).where(table.c.object_name == object_name)).first():
                return "release"
        return found

    def rebuild(self, records: Iterable[Rebuilt], attached: Iterable[Attachment] = ()) -> int:
        return rebuild.rebuild(self._engine, self._run, records, attached)

    def close(self) -> None:
        self._engine.dispose()
