"""The ledger of a migration: one row for each instance, in a SQLite file of the job's folder.

The archive is what counts: an instance is durable there before its row says so, so a row that was lost with
a killed process costs one more fetch and nothing else. Every change is one short transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dicomnn.errors import ConfigurationError
from dicomnn.flow.migration.rows import SCHEMA, SCHEMA_VERSION, STATES, Row
from dicomnn.flow.migration.source import Listed, Listing, Study, Wanted

ATTEMPTS = 3
LARGEST_BATCH = 500
PAGE = 1000


class Ledger:
    """Thread-safe; one process writes, others may read meanwhile."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        there = path.exists()
        if not there and not make:
            raise ConfigurationError(f"there is no ledger at {path}", cure="Begin with dicomnn migrate plan.")
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=60000"):
            self._connection.execute(f"PRAGMA {pragma}")
        if not self._all("SELECT name FROM sqlite_master WHERE name = 'instances'"):
            script = f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            self._connection.executescript(script)
        if self._all("PRAGMA user_version")[0][0] != SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} was made by another version of dicomnn", cure="Finish the job with that version."
            )

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _all(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def _run(self, statement: str, *values: Any) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    # ------------------------------------------------------------------ small facts
    def get(self, key: str, default: Any = None) -> Any:
        found = self._all("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(found[0][0]) if found else default

    def put(self, key: str, value: Any) -> None:
        self._run(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key,
            json.dumps(value),
        )

    # ------------------------------------------------------------------ the inventory
    def forget_questions(self) -> None:
        """Everything is asked anew; studies and instances stay."""
        self._run("DELETE FROM queries")

    def question(self, question: str, answers: int, state: str) -> None:
        self._run("INSERT OR REPLACE INTO queries VALUES (?, ?, ?)", question, answers, state)

    def questions(self, state: str) -> list[str]:
        return [row[0] for row in self._all("SELECT question FROM queries WHERE state = ? ORDER BY 1", state)]

    def study_found(self, study: Study) -> None:
        """New, or its count is brought up to date; one that grew is to be listed again."""
        self._run(
            "INSERT INTO studies (study_uid, study_date, modalities, counted, state)"
            " VALUES (?, ?, ?, ?, 'found')"
            " ON CONFLICT (study_uid) DO UPDATE SET state = CASE WHEN counted IS NOT excluded.counted"
            " THEN 'found' ELSE state END, counted = excluded.counted, study_date = excluded.study_date,"
            " modalities = excluded.modalities",
            study.study_uid,
            study.date,
            study.modalities,
            study.instances,
        )

    def unlisted(self) -> list[str]:
        return [row[0] for row in self._all("SELECT study_uid FROM studies WHERE state = 'found' ORDER BY 1")]

    def study_listed(self, study_uid: str, listing: Listing) -> int:
        """Its instances; how many of them are new."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                new = self._add(listing.instances, "find")
                self._run(
                    "UPDATE studies SET state = ?, listed = ?, series_counted = ?, note = ?"
                    " WHERE study_uid = ?",
                    "listed" if listing.instances else "empty",
                    len({one.item for one in listing.instances}),
                    listing.expected,
                    "; ".join(listing.notes),
                    study_uid,
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return new

    def items_found(self, items: Sequence[Listed]) -> int:
        """Files of a folder; how many of them are new."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                new = self._add(items, "file")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return new

    def _add(self, items: Iterable[Listed], expected_by: str) -> int:
        now = time.time()
        return sum(
            self._run(
                "INSERT INTO instances (item, sop_instance_uid, sop_class_uid, series_uid, study_uid,"
                " modality, syntax, listed_bytes, state, reason, detail, expected_by, found_at, done_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (item) DO UPDATE SET"
                " state = excluded.state, reason = excluded.reason, detail = excluded.detail, attempts = 0,"
                " verdict = '', signed_off = '', listed_bytes = excluded.listed_bytes"
                " WHERE listed_bytes IS NOT excluded.listed_bytes",     # a file that was changed or mended
                one.item,
                one.sop_instance_uid,
                one.sop_class_uid,
                one.series_uid,
                one.study_uid,
                one.modality,
                one.syntax,
                one.size,
                one.state,
                one.reason,
                one.detail,
                expected_by,
                now,
                None if one.state == "todo" else now,
            )
            for one in items
        )

    # ------------------------------------------------------------------ the transfer
    def try_again(self, *, set_aside: bool = False) -> int:
        """What failed in an earlier run, and on request what was set aside, gets new attempts; how many."""
        self._run("UPDATE studies SET asked_whole = 0")
        states = "('failed', 'set-aside')" if set_aside else "('failed')"
        return self._run(
            "UPDATE instances SET state = 'todo', attempts = 0, reason = '', detail = '', said = ''"
            f" WHERE signed_off = '' AND state IN {states}"
        )

    def next_wanted(self) -> Wanted | None:
        """A series, or one instance that a request for its series did not bring; None: nothing is left."""
        with self._lock:
            first = self._all(
                "SELECT study_uid, series_uid, attempts, item, sop_class_uid FROM instances"
                " WHERE state = 'todo' ORDER BY attempts, study_uid, series_uid LIMIT 1"
            )
            if not first:
                return None
            study, series, attempts, item, sop_class = first[0]
            if attempts:
                return Wanted(study, series, (item,), (sop_class,) if sop_class else (), singly=True)
            rows = self._all(
                "SELECT item, sop_class_uid FROM instances WHERE state = 'todo' AND attempts = 0"
                " AND study_uid = ? AND series_uid = ? ORDER BY id LIMIT ?",
                study,
                series,
                LARGEST_BATCH,
            )
            return Wanted(
                study,
                series,
                tuple(row[0] for row in rows),
                tuple(sorted({row[1] for row in rows if row[1]})),
            )

    def still_todo(self, items: Sequence[str]) -> list[str]:
        return [
            item
            for item in items
            if self._all("SELECT 1 FROM instances WHERE item = ? AND state = 'todo'", item)
        ]

    def not_brought(self, items: Sequence[str], said: str, reason: str = "not-delivered") -> None:
        """An attempt that did not bring them, with the source's own words; the last one is final."""
        for item in items:
            self._run(
                "UPDATE instances SET attempts = attempts + 1, said = ?,"
                " state = CASE WHEN attempts + 1 >= ? THEN 'failed' ELSE state END,"
                " reason = CASE WHEN attempts + 1 >= ? THEN ? ELSE reason END,"
                " done_at = CASE WHEN attempts + 1 >= ? THEN ? ELSE done_at END"
                " WHERE item = ? AND state = 'todo'",
                said,
                ATTEMPTS,
                ATTEMPTS,
                reason,
                ATTEMPTS,
                time.time(),
                item,
            )

    def arrived(
        self,
        item: str,
        *,
        uid: str,
        sop_class: str,
        study: str,
        syntax: str,
        size: int,
        digest: str,
        kind: str,
        note: str,
    ) -> None:
        """It is durable in the archive. A row is made for what nobody had announced."""
        conflict = kind == "conflict"
        detail = "the archive has other content under this UID; both are kept" if conflict else ""
        self._run(
            "INSERT INTO instances (item, sop_instance_uid, sop_class_uid, study_uid, syntax, bytes, digest,"
            " kind, reason, detail, state, expected_by, found_at, done_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'arrival', ?12, ?12)"
            " ON CONFLICT (item) DO UPDATE SET sop_instance_uid = ?2, sop_class_uid = ?3, syntax = ?5,"
            " bytes = ?6, digest = ?7, kind = ?8, reason = ?9, detail = ?10, state = ?11, done_at = ?12,"
            " verdict = '', study_uid = CASE WHEN study_uid = '' THEN ?4 ELSE study_uid END"
            " WHERE state != 'stored'",
            item,
            uid,
            sop_class,
            study,
            syntax,
            size,
            digest,
            kind,
            "conflict" if conflict else note,
            detail,
            "set-aside" if conflict else "stored",
            time.time(),
        )

    def refused(self, item: str, reason: str, detail: str, *, lasting: bool) -> None:
        """It came, or was read, and cannot be taken."""
        state = "set-aside" if lasting else "failed"
        self._run(
            "INSERT INTO instances (item, sop_instance_uid, reason, detail, state, expected_by, found_at,"
            " done_at) VALUES (?1, ?1, ?2, ?3, ?4, 'arrival', ?5, ?5)"
            " ON CONFLICT (item) DO UPDATE SET reason = ?2, detail = ?3, state = ?4, done_at = ?5"
            " WHERE state != 'stored'",
            item,
            reason,
            detail,
            state,
            time.time(),
        )

    # ------------------------------------------------------------------ verification and signing off
    def verified(self, results: Iterable[tuple[str, str, str, str, int | None]]) -> None:
        """(item, verdict, detail, digest that was read back, bytes in the store)."""
        now = time.time()
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE instances SET verdict = ?, verdict_detail = ?, read_back = ?, stored_bytes = ?,"
                " verified_at = ? WHERE item = ?",
                [
                    (verdict, detail, digest, size, now, item)
                    for item, verdict, detail, digest, size in results
                ],
            )
            self._connection.execute("COMMIT")

    def recounted(self, study_uid: str, counted: int | None) -> None:
        self._run("UPDATE studies SET counted = ? WHERE study_uid = ?", counted, study_uid)

    def sign_off(self, names: Sequence[str], words: str) -> int:
        """Exceptions that somebody answers for; none named: all of them. How many."""
        done = 0
        for table, key, condition in (
            ("instances", "item", "state IN ('set-aside', 'failed')"),
            ("studies", "study_uid", "1"),
        ):
            if names:
                marks = ", ".join("?" * len(names))
                done += self._run(
                    f"UPDATE {table} SET signed_off = ? WHERE {condition} AND {key} IN ({marks})",
                    words,
                    *names,
                )
            elif table == "instances":
                done += self._run(
                    f"UPDATE instances SET signed_off = ? WHERE {condition} AND signed_off = ''", words
                )
        if not names:
            done += self._run("UPDATE queries SET state = 'signed-off' WHERE state = 'cut'")
            for study in self.short_studies():
                done += self._run(
                    "UPDATE studies SET signed_off = ? WHERE study_uid = ?", words, study["study_uid"]
                )
        return done

    def classes(self, study_uid: str) -> tuple[str, ...]:
        """The SOP classes that are known of a study's instances."""
        found = self._all("SELECT DISTINCT sop_class_uid FROM instances WHERE study_uid = ?", study_uid)
        return tuple(sorted(row[0] for row in found if row[0]))

    def asked_whole(self, study_uid: str) -> None:
        self._run("UPDATE studies SET asked_whole = 1 WHERE study_uid = ?", study_uid)

    # ------------------------------------------------------------------ questions
    def short_studies(self) -> list[dict[str, Any]]:
        """Studies of which the source counts more than the ledger has rows for, not signed off."""
        return [
            dict(row)
            for row in self._all(
                "SELECT s.*, (SELECT COUNT(*) FROM instances i WHERE i.study_uid = s.study_uid) AS rows"
                " FROM studies s WHERE s.signed_off = '' AND MAX(COALESCE(s.counted, 0),"
                " COALESCE(s.series_counted, 0)) > (SELECT COUNT(*) FROM instances i"
                " WHERE i.study_uid = s.study_uid) ORDER BY s.study_uid"
            )
        ]

    def studies(self) -> Iterator[dict[str, Any]]:
        """Every study with its three counts: what the source says, what it listed, what arrived."""
        for row in self._all(
            "SELECT s.*, (SELECT COUNT(*) FROM instances i WHERE i.study_uid = s.study_uid"
            " AND i.state = 'stored') AS stored FROM studies s ORDER BY s.study_date, s.study_uid"
        ):
            yield dict(row)

    def counts(self) -> dict[str, int]:
        found = dict.fromkeys(STATES, 0)
        found.update(
            {row[0]: row[1] for row in self._all("SELECT state, COUNT(*) FROM instances GROUP BY state")}
        )
        return found

    def groups(self, columns: str, condition: str = "1") -> list[sqlite3.Row]:
        """Counts and bytes by columns (names of the schema): for the report."""
        return self._all(
            f"SELECT {columns}, COUNT(*) AS count, SUM(COALESCE(bytes, listed_bytes, 0)) AS bytes,"
            f" SUM(stored_bytes) AS stored_bytes FROM instances WHERE {condition}"
            f" GROUP BY {columns} ORDER BY count DESC"
        )

    def exceptions(self, limit: int = PAGE) -> list[Row]:
        """What is neither in the archive nor signed off, and what verification found wrong."""
        return [
            Row(**dict(row))
            for row in self._all(
                "SELECT * FROM instances WHERE state IN ('set-aside', 'failed')"
                " OR (state = 'stored' AND verdict NOT IN ('', 'exact', 'pixels', 'bounded', 'lossy'))"
                " ORDER BY id LIMIT ?",
                limit,
            )
        ]

    def rows(self, condition: str = "1", *values: Any) -> Iterator[Row]:
        """In order of id, in pages."""
        last = 0
        while page := self._all(
            f"SELECT * FROM instances WHERE ({condition}) AND id > ? ORDER BY id LIMIT ?", *values, last, PAGE
        ):
            for row in page:
                yield Row(**dict(row))
            last = page[-1]["id"]
