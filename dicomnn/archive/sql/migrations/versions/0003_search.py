"""What queries search: patients, and more columns of studies, series and instances.

The rows that are there are filled when the index is opened (``describe.py``): ``described`` is 0 for them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("patient",
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("patient_key", sa.String(), nullable=False),
        sa.Column("patient_id", sa.String(), nullable=True),
        sa.Column("name_1", sa.String(), nullable=True),
        sa.Column("name_2", sa.String(), nullable=True),
        sa.Column("name_3", sa.String(), nullable=True),
        sa.Column("birth_date", sa.String(), nullable=True),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("search", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("instances", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid", "patient_key", name="pk_patient")
    )
    for column in ("patient_key", "patient_id", "name_1", "name_2", "name_3", "birth_date"):
        op.create_index(f"ix_patient_{column}_study_instance_uid", "patient", [column, "study_instance_uid"])
    for column in ("date_key", "time_key"):
        op.add_column("study", sa.Column(column, sa.String(), nullable=True))
    for table in ("study", "series"):
        op.add_column(table, sa.Column("attributes", sa.JSON(none_as_null=True), nullable=True))
        op.add_column(table, sa.Column("search", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_study_date_key_study_instance_uid", "study", ["date_key", "study_instance_uid"])
    op.create_index("ix_study_accession_number_study_instance_uid", "study",
                    ["accession_number", "study_instance_uid"])
    op.create_index("ix_series_series_instance_uid", "series", ["series_instance_uid"])
    op.add_column("instance", sa.Column("search", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("instance", sa.Column("patient_key", sa.String(), nullable=True))
    op.add_column("instance", sa.Column("described", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_instance_described_id", "instance", ["described", "id"])
    op.drop_index("ix_instance_series_instance_uid_id", "instance")
    op.create_index("ix_instance_series_instance_uid_study_instance_uid_id", "instance",
                    ["series_instance_uid", "study_instance_uid", "id"])
