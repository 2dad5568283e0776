"""Answers to a query, in keyset pages: what a level and those above it know, by attribute.

Tables are joined only when a condition or a wanted attribute needs them; what is counted is read for a page
at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, func, literal, select, tuple_
from sqlalchemy.engine import Engine

from dicomnn.archive.records import Located
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.computed import CODED, COMPUTED, computed
from dicomnn.archive.sql.levels import LEVEL_OF, LEVELS
from dicomnn.archive.sql.match import TABLES, Matcher, Sql, alive
from dicomnn.archive.sql.search import pages
from dicomnn.archive.states import State
from dicomnn.conditions import Condition

# What makes a row of the answer one, in the order in which rows come.
_KEYS: dict[str, tuple[ColumnElement[Any], ...]] = {
    "patient": (schema.patient.c.patient_key,), "study": (schema.study.c.study_instance_uid,),
    "series": (schema.series.c.study_instance_uid, schema.series.c.series_instance_uid),
    "instance": (schema.instance.c.id,),
}
# Columns that say more than the attributes: the keys of counts, and UIDs as they are now.
_IDENTITY: dict[str, tuple[str, ...]] = {
    "patient": (), "study": ("study_instance_uid",), "series": ("study_instance_uid", "series_instance_uid"),
    "instance": ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid"),
}


def find(engine: Engine, level: str, conditions: Sequence[Condition], wanted: Iterable[str],
         page: int) -> Iterator[dict[str, Any]]:
    """See `Index.find`."""
    names = tuple(wanted)
    keys = _KEYS[level]
    statement = _statement(engine.dialect.name, level, conditions, names)
    last: tuple[Any, ...] | None = None
    while True:
        asked = statement.limit(page)
        if last is not None:
            asked = asked.where(keys[0] > last[0] if len(keys) == 1
                                else tuple_(*keys) > tuple_(*map(literal, last)))
        with engine.connect() as connection:
            rows = connection.execute(asked).all()
            answers = []
            for row in rows:
                now = tuple(row[:len(keys)])
                if now != last:            # a patient has many studies, a study with two patients two rows
                    answers.append(_answer(level, row._mapping))
                last = now
            computed(connection, level, answers, names)
        yield from answers
        if len(rows) < page:
            return


def locate(engine: Engine, conditions: Sequence[Condition], page: int) -> Iterator[Located]:
    """See `Index.locate`."""
    table = schema.instance
    columns = [table.c[name] for name in ("id", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid",
                                          "state")]
    statement = _statement(engine.dialect.name, "instance", conditions, ()).with_only_columns(*columns)
    return pages(engine, statement, table.c.id, page, None, lambda row: Located(
        row["sop_instance_uid"], row["sop_class_uid"], row["transfer_syntax_uid"],
        State(row["state"]).is_coded))


def more_than(engine: Engine, level: str, conditions: Sequence[Condition], limit: int) -> bool:
    """See `Index.more_than`."""
    statement = _statement(engine.dialect.name, level, conditions, ())
    rows = statement.with_only_columns(*_KEYS[level]).distinct().order_by(None).limit(limit + 1).subquery()
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(rows)).scalar() or 0) > limit


def _statement(dialect: str, level: str, conditions: Sequence[Condition],
               wanted: tuple[str, ...]) -> Select[Any]:
    """Keys first, then what `_answer` reads; ordered by the keys."""
    matcher = Matcher(dialect, level)
    where = [matcher.sql(condition) for condition in conditions]
    joined = matcher.tables
    told = {level}
    for name in wanted:
        if name == CODED:
            continue
        other = LEVEL_OF[name]
        if LEVELS.index(other) > LEVELS.index(level):
            raise ValueError(f"{name} lies below the level {level}")
        if name in COMPUTED:
            joined |= {"patient"} if other == "patient" and level != "instance" else set()
        elif level != "instance":          # whose own attributes have all that its object said
            told.add(other)
    joined |= told
    keys = _KEYS[level]
    columns: list[Sql] = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    columns += [TABLES[name].c.attributes.label(f"attributes_{name}") for name in LEVELS if name in told]
    columns += [TABLES[level].c[name].label(name) for name in _IDENTITY[level]]
    order = list(keys)
    if level == "instance" or "patient" in joined:
        owner = schema.instance if level == "instance" else schema.patient
        columns.append(owner.c.patient_key.label("patient_key"))
    if level != "instance" and "patient" in joined:
        order.append(schema.patient.c.study_instance_uid if level == "patient"
                     else schema.patient.c.patient_key)
    tables = [TABLES[name] for name in LEVELS if name in joined]
    return (select(*columns).select_from(*tables)
            .where(*where, *_links(level, joined), *(alive(table) for table in tables), *_named(level))
            .order_by(*order))


def _links(level: str, joined: set[str]) -> Iterator[Sql]:
    own = TABLES[level]
    for name in joined - {level}:
        yield own.c.study_instance_uid == TABLES[name].c.study_instance_uid
        if level == "instance" and name == "series":
            yield own.c.series_instance_uid == schema.series.c.series_instance_uid
        if level == "instance" and name == "patient":
            yield own.c.patient_key == schema.patient.c.patient_key


def _named(level: str) -> Iterator[Sql]:
    """Objects without Study or Series Instance UID are found as instances, and make no study or series."""
    if level != "instance":
        yield TABLES[level].c.study_instance_uid != ""
    if level == "series":
        yield schema.series.c.series_instance_uid != ""


def _answer(level: str, row: Mapping[str, Any] | RowMapping) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name in LEVELS:
        answer.update(row.get(f"attributes_{name}") or {})
    answer.update({name: row[name] for name in _IDENTITY[level]})
    if "patient_key" in row:
        answer["patient_key"] = row["patient_key"]
    return answer
