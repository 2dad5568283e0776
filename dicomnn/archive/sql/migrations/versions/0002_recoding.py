"""Coding again: what each object was tried with, and which ones wait to be coded again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NEW = (("tried_effort", sa.String()), ("tried_model", sa.String()), ("recode_at", sa.Float(precision=53)),
        ("recode_effort", sa.String()), ("recode_by", sa.String()))


def upgrade() -> None:
    for name, kind in _NEW:
        op.add_column("instance", sa.Column(name, kind, nullable=True))
    op.create_index("ix_instance_recode_by_recode_at_id", "instance", ["recode_by", "recode_at", "id"])
    op.create_index("ix_instance_tried_effort_tried_model_id", "instance",
                    ["tried_effort", "tried_model", "id"])
    _tell_what_was_tried()


def _tell_what_was_tried() -> None:
    """Objects that were coded exactly may be coded again; their facts say with what effort they were."""
    instance = sa.table("instance", sa.column("state"), sa.column("facts", sa.JSON()), sa.column("model_id"),
                        sa.column("tried_effort"), sa.column("tried_model"))
    counter = sa.table("counter", sa.column("name"), sa.column("shard"), sa.column("value"))
    connection = op.get_bind()
    connection.execute(
        sa.update(instance)
        .where(instance.c.state == "coded",
               instance.c.facts["exact"].as_string().in_(("data-set", "pixels")))
        .values(tried_effort=sa.func.coalesce(instance.c.facts["effort"].as_string(), ""),
                tried_model=sa.func.coalesce(instance.c.model_id, "")))
    groups = connection.execute(
        sa.select(instance.c.tried_effort, instance.c.tried_model, sa.func.count())
        .where(instance.c.tried_effort.is_not(None))
        .group_by(instance.c.tried_effort, instance.c.tried_model)).all()
    for effort, model, number in groups:
        connection.execute(sa.insert(counter).values(
            name=f"tried:{effort}:{model}", shard=0, value=number))
