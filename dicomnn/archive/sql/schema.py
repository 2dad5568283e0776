"""The tables. ``migrations/`` makes them; a test holds both equal. Times: seconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
})

# What the search reads: the attributes that a level keeps, and other forms of them; see ``levels.py``.
Attributes = JSON(none_as_null=True)

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")

instance = Table(
    "instance", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("sop_instance_uid", String, nullable=False),
    Column("received_uid", String, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("study_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("state", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("reason", String),
    Column("detail", Text, nullable=False),
    Column("error_code", String),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float(53)),            # when a worker may take it; None: never
    Column("lease_owner", String),
    Column("lease_token", String),
    Column("object_name", String, nullable=False),
    Column("object_sha256", String, nullable=False),
    Column("object_size", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("before", BigInteger, nullable=False),
    Column("profile", String, nullable=False),
    Column("model_id", String),
    Column("tried_effort", String),         # with what it was coded last, or tried to be; None: never again
    Column("tried_model", String),
    Column("recode_at", Float(53)),         # when a worker may take it to code it again; None: never
    Column("recode_effort", String),
    Column("recode_by", String),
    Column("recode_profile", String),       # with another profile than it has; None: with its own
    Column("modality", String),
    Column("instance_number", BigInteger),
    Column("attributes", JSON, nullable=False),
    Column("search", Attributes),
    Column("patient_key", String),
    Column("described", Integer, nullable=False, server_default="0"),   # by which reader of attributes
    Column("facts", JSON, nullable=False),
    Column("source", String, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("called_ae", String, nullable=False),
    Column("peer_address", String, nullable=False),
    Column("received_at", Float(53), nullable=False),
    Column("changed_at", Float(53), nullable=False),
    Column("forward", Integer),             # see ``forward.py``; None: it came when there were no rules
    Index("uq_instance_sop_instance_uid", "sop_instance_uid", unique=True),
    Index("uq_instance_received_uid", "received_uid", unique=True),
    Index("uq_instance_object_name", "object_name", unique=True),
    Index(None, "due_at", "id"),
    Index(None, "recode_by", "recode_at", "id"),
    Index(None, "tried_effort", "tried_model", "id"),
    Index(None, "study_instance_uid", "id"),
    Index(None, "series_instance_uid", "study_instance_uid", "id"),
    Index(None, "state", "reason", "id"),
    Index(None, "described", "id"),
)

conflict = Table(
    "conflict", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("instance_id", BigInteger, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("study_instance_uid", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("object_name", String, nullable=False),
    Column("object_sha256", String, nullable=False),
    Column("object_size", BigInteger, nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("coded", Boolean, nullable=False),
    Column("times_seen", Integer, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("peer_address", String, nullable=False),
    Column("received_at", Float(53), nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("source", String, nullable=False, server_default=""),
    Column("transfer_syntax_uid", String, nullable=False, server_default=""),
    Column("profile", String, nullable=False, server_default=""),
    Index("uq_conflict_object_name", "object_name", unique=True),
    Index("uq_conflict_instance_id_digest", "instance_id", "digest", unique=True),
    Index(None, "study_instance_uid", "id"),
    Index(None, "sop_instance_uid", "id"),
)

# What another archive keeps with us, under a name of its own: bytes before a data set that an instance or a
# conflict has (received_uid, digest), or an object of its own.
attachment = Table(
    "attachment", metadata,
    Column("uuid", String, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("form", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("received_uid", String),
    Column("digest", String),
    Column("prefix", LargeBinary),
    Column("object_name", String),
    Column("object_size", BigInteger),
    Column("encoding", String, nullable=False),
    Column("received_at", Float(53), nullable=False),
    Index(None, "received_uid", "digest"),
    Index("uq_attachment_object_name", "object_name", unique=True),
)

release = Table(
    "release", metadata,
    Column("object_name", String, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("due_at", Float(53), nullable=False),
    Column("reason", String, nullable=False),
    Index(None, "due_at", "object_name"),
)

study = Table(
    "study", metadata,
    Column("study_instance_uid", String, primary_key=True),
    Column("patient_id", String),
    Column("patient_name", String),
    Column("study_date", String),
    Column("study_time", String),
    Column("accession_number", String),
    Column("study_description", String),
    Column("date_key", String),
    Column("time_key", String),
    Column("attributes", Attributes),
    Column("search", Attributes),
    Column("instances", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    Column("bytes_before", BigInteger, nullable=False),
    Column("bytes_after", BigInteger, nullable=False),
    Column("unrouted", BigInteger, nullable=False, server_default="0"),     # instances with forward = 1
    Column("last_touched", Float(53), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("report_due", Boolean, nullable=False),
    Column("report_at", Float(53)),
    Column("report_claimed_until", Float(53)),
    Index(None, "report_due", "last_touched"),
    Index(None, "last_touched", "study_instance_uid"),
    Index(None, "unrouted", "last_touched"),
    Index(None, "date_key", "study_instance_uid"),
    Index(None, "accession_number", "study_instance_uid"),
)

# A study has one patient, unless its objects disagree: then it is found under each of them.
patient = Table(
    "patient", metadata,
    Column("study_instance_uid", String, primary_key=True),
    Column("patient_key", String, primary_key=True),
    Column("patient_id", String),
    Column("name_1", String),               # component groups of the name, folded
    Column("name_2", String),
    Column("name_3", String),
    Column("birth_date", String),
    Column("attributes", Attributes),
    Column("search", Attributes),
    Column("instances", BigInteger, nullable=False),
    Index(None, "patient_key", "study_instance_uid"),
    Index(None, "patient_id", "study_instance_uid"),
    Index(None, "name_1", "study_instance_uid"),
    Index(None, "name_2", "study_instance_uid"),
    Index(None, "name_3", "study_instance_uid"),
    Index(None, "birth_date", "study_instance_uid"),
)

series = Table(
    "series", metadata,
    Column("study_instance_uid", String, primary_key=True),
    Column("series_instance_uid", String, primary_key=True),
    Column("modality", String),
    Column("series_number", BigInteger),
    Column("series_description", String),
    Column("attributes", Attributes),
    Column("search", Attributes),
    Column("instances", BigInteger, nullable=False),
    Index(None, "series_instance_uid"),
)

# Counted in the instance's own transaction. A row per writing process (shard), so that no two
# processes wait for the same row; read as a sum.
counter = Table(
    "counter", metadata,
    Column("name", String, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

activity = Table(
    "activity", metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

# What the archive held at the end of each hour, for a curve over months.
history = Table(
    "history", metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("bytes_before", BigInteger, nullable=False),
    Column("bytes_after", BigInteger, nullable=False),
    Column("bytes_store", BigInteger, nullable=False),
    Column("instances", BigInteger, nullable=False),
)

association = Table(
    "association", metadata,
    Column("token", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("peer_address", String, nullable=False),
    Column("opened_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
)

association_study = Table(
    "association_study", metadata,
    Column("association", String, primary_key=True),
    Column("study_instance_uid", String, primary_key=True),
    Index(None, "study_instance_uid"),
)

# The ledger of forwarding: an instance's content on its way to a destination. Rows are never deleted.
delivery = Table(
    "delivery", metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("destination", String, nullable=False),
    Column("instance_id", BigInteger, nullable=False),
    Column("received_uid", String, nullable=False),
    Column("study_instance_uid", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("status", String),               # of the peer, four hexadecimal digits; its comment
    Column("comment", Text),
    Column("error_code", String),
    Column("detail", Text),
    Column("created_at", Float(53), nullable=False),
    Column("deadline_at", Float(53), nullable=False),
    Column("due_at", Float(53)),            # waiting: when it may be tried; sending: when the lease ends
    Column("tried_at", Float(53)),
    Column("changed_at", Float(53), nullable=False),
    Column("lease_owner", String),
    Column("lease_token", String),
    Index("uq_delivery_destination_instance_id_digest", "destination", "instance_id", "digest", unique=True),
    Index(None, "destination", "state", "due_at", "id"),
    Index(None, "destination", "state", "created_at"),
    Index(None, "study_instance_uid", "id"),
)

destination = Table(
    "destination", metadata,
    Column("name", String, primary_key=True),
    Column("held", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),        # in a row
    Column("pause_until", Float(53)),
    Column("error_code", String),
    Column("detail", Text),
    Column("failed_at", Float(53)),
    Column("accepted_at", Float(53)),
)
