"""The first schema: instances and their states, conflicts, releases, studies, series, counters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table("activity",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "kind", "shard", name="pk_activity")
    )
    op.create_table("association",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("calling_ae", sa.String(), nullable=False),
        sa.Column("peer_address", sa.String(), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_association")
    )
    op.create_table("association_study",
        sa.Column("association", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("association", "study_instance_uid", name="pk_association_study")
    )
    op.create_index("ix_association_study_study_instance_uid", "association_study", ["study_instance_uid"])
    op.create_table("conflict",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("object_name", sa.String(), nullable=False),
        sa.Column("object_sha256", sa.String(), nullable=False),
        sa.Column("object_size", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("coded", sa.Boolean(), nullable=False),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("calling_ae", sa.String(), nullable=False),
        sa.Column("peer_address", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conflict")
    )
    op.create_index("ix_conflict_sop_instance_uid_id", "conflict", ["sop_instance_uid", "id"])
    op.create_index("ix_conflict_study_instance_uid_id", "conflict", ["study_instance_uid", "id"])
    op.create_index("uq_conflict_instance_id_digest", "conflict", ["instance_id", "digest"], unique=True)
    op.create_index("uq_conflict_object_name", "conflict", ["object_name"], unique=True)
    op.create_table("counter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "shard", name="pk_counter")
    )
    op.create_table("instance",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("received_uid", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.Column("object_name", sa.String(), nullable=False),
        sa.Column("object_sha256", sa.String(), nullable=False),
        sa.Column("object_size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("modality", sa.String(), nullable=True),
        sa.Column("instance_number", sa.BigInteger(), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("calling_ae", sa.String(), nullable=False),
        sa.Column("called_ae", sa.String(), nullable=False),
        sa.Column("peer_address", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instance")
    )
    op.create_index("ix_instance_due_at_id", "instance", ["due_at", "id"])
    op.create_index("ix_instance_series_instance_uid_id", "instance", ["series_instance_uid", "id"])
    op.create_index("ix_instance_state_reason_id", "instance", ["state", "reason", "id"])
    op.create_index("ix_instance_study_instance_uid_id", "instance", ["study_instance_uid", "id"])
    op.create_index("uq_instance_object_name", "instance", ["object_name"], unique=True)
    op.create_index("uq_instance_received_uid", "instance", ["received_uid"], unique=True)
    op.create_index("uq_instance_sop_instance_uid", "instance", ["sop_instance_uid"], unique=True)
    op.create_table("release",
        sa.Column("object_name", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("object_name", name="pk_release")
    )
    op.create_index("ix_release_due_at_object_name", "release", ["due_at", "object_name"])
    op.create_table("series",
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=True),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("series_description", sa.String(), nullable=True),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "series_instance_uid", name="pk_series")
    )
    op.create_table("study",
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=True),
        sa.Column("patient_name", sa.String(), nullable=True),
        sa.Column("study_date", sa.String(), nullable=True),
        sa.Column("study_time", sa.String(), nullable=True),
        sa.Column("accession_number", sa.String(), nullable=True),
        sa.Column("study_description", sa.String(), nullable=True),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("conflicts", sa.BigInteger(), nullable=False),
        sa.Column("bytes_before", sa.BigInteger(), nullable=False),
        sa.Column("bytes_after", sa.BigInteger(), nullable=False),
        sa.Column("last_touched", sa.Float(precision=53), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("report_due", sa.Boolean(), nullable=False),
        sa.Column("report_at", sa.Float(precision=53), nullable=True),
        sa.Column("report_claimed_until", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("study_instance_uid", name="pk_study")
    )
    op.create_index("ix_study_report_due_last_touched", "study", ["report_due", "last_touched"])
