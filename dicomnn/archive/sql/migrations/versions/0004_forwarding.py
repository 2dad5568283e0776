"""Forwarding: which arrivals its rules have not seen, the ledger of deliveries, what is known of
destinations."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("forward", sa.Integer(), nullable=True))
    op.add_column("study", sa.Column("unrouted", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_study_unrouted_last_touched", "study", ["unrouted", "last_touched"])
    op.create_table("delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False,
                  autoincrement=True),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False)
          for name in ("received_uid", "study_instance_uid", "digest", "state", "rule")),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("deadline_at", sa.Float(precision=53), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=True),
        sa.Column("tried_at", sa.Float(precision=53), nullable=True),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_token", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery")
    )
    op.create_index("uq_delivery_destination_instance_id_digest", "delivery",
                    ["destination", "instance_id", "digest"], unique=True)
    op.create_index("ix_delivery_destination_state_due_at_id", "delivery",
                    ["destination", "state", "due_at", "id"])
    op.create_index("ix_delivery_destination_state_created_at", "delivery",
                    ["destination", "state", "created_at"])
    op.create_index("ix_delivery_study_instance_uid_id", "delivery", ["study_instance_uid", "id"])
    op.create_table("destination",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("pause_until", sa.Float(precision=53), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("failed_at", sa.Float(precision=53), nullable=True),
        sa.Column("accepted_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_destination")
    )
