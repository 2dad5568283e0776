"""Users, their sessions and tokens, failed sign-ins, uploads, audit table; what the archive held by hours;
coding again with another profile."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.Float(precision=53)


def _text(name: str, kind: sa.types.TypeEngine | None = None) -> sa.Column:
    return sa.Column(name, kind or sa.String(), nullable=False)


def upgrade() -> None:
    op.add_column("instance", sa.Column("recode_profile", sa.String(), nullable=True))
    op.create_table(
        "account",
        _text("name"),
        _text("role"),
        _text("password"),
        _text("created_at", _TIME),
        _text("created_by"),
        _text("changed_at", _TIME),
        sa.PrimaryKeyConstraint("name", name="pk_account"),
    )
    op.create_table(
        "web_session",
        _text("digest"),
        _text("name"),
        _text("form_key"),
        _text("address"),
        _text("created_at", _TIME),
        _text("seen_at", _TIME),
        _text("expires_at", _TIME),
        sa.PrimaryKeyConstraint("digest", name="pk_web_session"),
    )
    op.create_index("ix_web_session_name", "web_session", ["name"])
    op.create_index("ix_web_session_expires_at", "web_session", ["expires_at"])
    op.create_table(
        "access_token",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        _text("digest"),
        _text("name"),
        _text("label"),
        _text("created_at", _TIME),
        sa.Column("used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_access_token"),
    )
    op.create_index("uq_access_token_digest", "access_token", ["digest"], unique=True)
    op.create_index("ix_access_token_name", "access_token", ["name"])
    op.create_table(
        "sign_in_failure",
        _text("key"),
        _text("failures", sa.Integer()),
        _text("failed_at", _TIME),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_failure"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        _text("at", _TIME),
        _text("who"),
        _text("action"),
        _text("subject"),
        _text("address"),
        _text("outcome"),
        _text("detail", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_who_id", "audit", ["who", "id"])
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"])
    op.create_table(
        "upload",
        _text("id"),
        _text("who"),
        _text("address"),
        _text("profile"),
        _text("started_at", _TIME),
        _text("changed_at", _TIME),
        *(_text(name, sa.BigInteger()) for name in ("arrived", "same", "failed", "bytes")),
        _text("facts", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_upload"),
    )
    op.create_index("ix_upload_started_at", "upload", ["started_at"])
    op.create_table(
        "upload_study",
        _text("upload_id"),
        _text("study_instance_uid"),
        sa.PrimaryKeyConstraint("upload_id", "study_instance_uid", name="pk_upload_study"),
    )
    op.create_index("ix_upload_study_study_instance_uid", "upload_study", ["study_instance_uid"])
    op.create_table(
        "history",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        *(
            _text(name, sa.BigInteger())
            for name in ("bytes_before", "bytes_after", "bytes_store", "instances")
        ),
        sa.PrimaryKeyConstraint("hour", name="pk_history"),
    )
    op.create_index(
        "ix_study_last_touched_study_instance_uid", "study", ["last_touched", "study_instance_uid"]
    )
