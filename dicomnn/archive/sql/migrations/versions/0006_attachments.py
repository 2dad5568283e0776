"""What another archive keeps with us: a table of its names, and whose a conflict record is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("attachment",
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("form", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("received_uid", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("prefix", sa.LargeBinary(), nullable=True),
        sa.Column("object_name", sa.String(), nullable=True),
        sa.Column("object_size", sa.BigInteger(), nullable=True),
        sa.Column("encoding", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("uuid", name="pk_attachment")
    )
    op.create_index("ix_attachment_received_uid_digest", "attachment", ["received_uid", "digest"])
    op.create_index("uq_attachment_object_name", "attachment", ["object_name"], unique=True)
    for column in ("source", "transfer_syntax_uid", "profile"):
        op.add_column("conflict", sa.Column(column, sa.String(), nullable=False, server_default=""))
