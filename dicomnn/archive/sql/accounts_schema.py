"""The tables of accounts and of what was done with them. Times: seconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from dicomnn.archive.sql.schema import Key, metadata

user = Table(
    "account", metadata,
    Column("name", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("password", String, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("created_by", String, nullable=False),
    Column("changed_at", Float(53), nullable=False),
)

session = Table(
    "web_session", metadata,
    Column("digest", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("form_key", String, nullable=False),
    Column("address", String, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Index(None, "name"),
    Index(None, "expires_at"),
)

token = Table(
    "access_token", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("digest", String, nullable=False),
    Column("name", String, nullable=False),
    Column("label", String, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("used_at", Float(53)),
    Index("uq_access_token_digest", "digest", unique=True),
    Index(None, "name"),
)

failure = Table(
    "sign_in_failure", metadata,
    Column("key", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", Float(53), nullable=False),
)

deed = Table(
    "audit", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("address", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "who", "id"),
    Index(None, "subject", "id"),
)

upload = Table(
    "upload", metadata,
    Column("id", String, primary_key=True),
    Column("who", String, nullable=False),
    Column("address", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("started_at", Float(53), nullable=False),
    Column("changed_at", Float(53), nullable=False),
    Column("arrived", BigInteger, nullable=False),
    Column("same", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("facts", JSON, nullable=False),
    Index(None, "started_at"),
)

upload_study = Table(
    "upload_study", metadata,
    Column("upload_id", String, primary_key=True),
    Column("study_instance_uid", String, primary_key=True),
    Index(None, "study_instance_uid"),
)
