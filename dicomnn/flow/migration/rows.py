"""The tables of a migration's ledger, and one row of the largest."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
STATES = ("todo", "stored", "set-aside", "failed", "left")

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE studies (
    study_uid TEXT PRIMARY KEY, study_date TEXT NOT NULL, modalities TEXT NOT NULL,
    counted INTEGER, series_counted INTEGER, listed INTEGER, state TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '', asked_whole INTEGER NOT NULL DEFAULT 0,
    signed_off TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX studies_state ON studies (state);
CREATE TABLE queries (question TEXT PRIMARY KEY, answers INTEGER NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE instances (
    id INTEGER PRIMARY KEY, item TEXT NOT NULL UNIQUE, sop_instance_uid TEXT NOT NULL DEFAULT '',
    sop_class_uid TEXT NOT NULL DEFAULT '', series_uid TEXT NOT NULL DEFAULT '',
    study_uid TEXT NOT NULL DEFAULT '', modality TEXT NOT NULL DEFAULT '', expected_by TEXT NOT NULL,
    listed_bytes INTEGER, syntax TEXT NOT NULL DEFAULT '', bytes INTEGER, digest TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, kind TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '', said TEXT NOT NULL DEFAULT '', attempts INTEGER NOT NULL DEFAULT 0,
    verdict TEXT NOT NULL DEFAULT '', verdict_detail TEXT NOT NULL DEFAULT '',
    read_back TEXT NOT NULL DEFAULT '', stored_bytes INTEGER, found_at REAL NOT NULL,
    done_at REAL, verified_at REAL,
    signed_off TEXT NOT NULL DEFAULT '');
CREATE INDEX instances_todo ON instances (state, attempts, study_uid, series_uid);
CREATE INDEX instances_study ON instances (study_uid, series_uid);
"""


@dataclass(frozen=True)
class Row:
    """One instance of the ledger; see the schema."""

    id: int
    item: str
    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    modality: str
    expected_by: str
    listed_bytes: int | None
    syntax: str
    bytes: int | None
    digest: str
    state: str
    kind: str
    reason: str
    detail: str
    said: str
    attempts: int
    verdict: str
    verdict_detail: str
    read_back: str
    stored_bytes: int | None
    found_at: float
    done_at: float | None
    verified_at: float | None
    signed_off: str
