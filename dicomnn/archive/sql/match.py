"""A query's conditions (``conditions.py``) as SQL over the tables that hold what is searched."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, literal, or_, select, true

from dicomnn.archive.sql import schema
from dicomnn.archive.sql.engine import each, item_text
from dicomnn.archive.sql.keys import ESCAPE, like, name_groups
from dicomnn.archive.sql.levels import ATTRIBUTES, LEVEL_OF, LEVELS, Kind
from dicomnn.archive.states import State
from dicomnn.conditions import (
    AnyItem,
    Condition,
    DateRange,
    MomentRange,
    Name,
    OneOf,
    TimeRange,
    Wildcard,
)
from dicomnn.errors import IdentifierInvalid

Sql = ColumnElement[Any]

TABLES: dict[str, Table] = {"patient": schema.patient, "study": schema.study, "series": schema.series,
                            "instance": schema.instance}
LARGEST_LIST = 10_000
"""Values in one list; every database takes some 30 000 parameters in a statement."""

# The column of an attribute on the table that has it, where it is not the attribute's own name.
_NAMED = {("patient", "patient_birth_date"): "birth_date", ("study", "study_date"): "date_key",
          ("study", "study_time"): "time_key"}


class Matcher:
    """The conditions of one query at one level. ``tables``: levels whose rows they read."""

    def __init__(self, dialect: str, level: str) -> None:
        self._dialect, self._level = dialect, level
        self.tables: set[str] = {level}

    def sql(self, condition: Condition) -> Sql:
        """Raises IdentifierInvalid for a list that no statement can hold."""
        if isinstance(condition, AnyItem):
            return self._any_item(condition)
        if isinstance(condition, MomentRange):
            return self._moment(condition)
        if isinstance(condition, Name):
            return self._name(condition)
        if isinstance(condition, (DateRange, TimeRange)):
            return _between(self._moment_of(condition.attribute), condition.first, condition.last)
        if condition.attribute == "modalities_in_study":
            return self._in_study(schema.series, "modality", condition)
        if condition.attribute == "sop_classes_in_study":
            return self._in_study(schema.instance, "sop_class_uid", condition)
        kind = ATTRIBUTES[LEVEL_OF[condition.attribute]][condition.attribute]
        if kind is Kind.TEXTS:
            return self._in_list(condition.attribute, lambda value: _text(value, condition))
        return _text(self.column(condition.attribute), condition)

    # ---------------------------------------------------------------- where an attribute lies
    def _place(self, attribute: str) -> str:
        """The level whose table is read: its own, or the query's where that has the key itself."""
        level = LEVEL_OF[attribute]
        if attribute in ("study_instance_uid", "series_instance_uid") and level != self._level:
            if attribute in TABLES[self._level].c:
                return self._level
        if LEVELS.index(level) > LEVELS.index(self._level):
            raise ValueError(f"{attribute} lies below the level {self._level}")
        self.tables.add(level)
        return level

    def column(self, attribute: str) -> Sql:
        """The attribute's value as it is compared."""
        place = self._place(attribute)
        table, name = TABLES[place], _NAMED.get((place, attribute), attribute)
        if name in table.c:
            return table.c[name]
        text = table.c.attributes[attribute]
        return text.as_integer() if ATTRIBUTES[place][attribute] is Kind.NUMBER else text.as_string()

    def _moment_of(self, attribute: str) -> Sql:
        place = self._place(attribute)
        table = TABLES[place]
        if (place, attribute) in _NAMED:
            return table.c[_NAMED[place, attribute]]
        return func.coalesce(table.c.search[attribute].as_string(), table.c.attributes[attribute].as_string())

    def _in_list(self, attribute: str, fits: Any) -> Sql:
        values = each(self._dialect, TABLES[self._place(attribute)].c.search, attribute)
        return select(literal(1)).select_from(values).where(fits(values.c.value)).exists()

    # ---------------------------------------------------------------- the kinds that need more
    def _name(self, condition: Name) -> Sql:
        return or_(*(self._one_name(condition.attribute, pattern) for pattern in condition.patterns))

    def _one_name(self, attribute: str, pattern: str) -> Sql:
        groups = [group.rstrip("^") if not group.endswith("*") else group for group in pattern.split("=")[:3]]
        if attribute != "patient_name":
            wanted = next((group for group in groups if group), "*")
            return self._in_list(attribute, lambda value: _folded(value, wanted))
        self.tables.add("patient")
        columns = [schema.patient.c.name_1, schema.patient.c.name_2, schema.patient.c.name_3]
        if len(groups) == 1:
            return or_(*(_folded(column, groups[0]) for column in columns))
        return and_(true(), *(_folded(column, group) for column, group in zip(columns, groups, strict=False)
                              if group))

    def _in_study(self, table: Table, name: str, condition: OneOf | Wildcard) -> Sql:
        """Any series or instance of the study fits."""
        other = table.alias()
        return select(literal(1)).where(
            other.c.study_instance_uid == self.column("study_instance_uid"), alive(other),
            _text(other.c[name], condition)).exists()

    def _moment(self, condition: MomentRange) -> Sql:
        date, time = self._moment_of(condition.date), self._moment_of(condition.time)
        parts: list[Sql] = [date.is_not(None)]
        if condition.first is not None:
            day, clock = condition.first
            parts.append(or_(date > day, and_(date == day, func.coalesce(time, "000000") >= clock)))
        if condition.last is not None:
            day, clock = condition.last
            parts.append(or_(date < day, and_(date == day, func.coalesce(time, "000000") <= clock)))
        return and_(*parts)

    def _any_item(self, condition: AnyItem) -> Sql:
        table = TABLES[self._place(condition.sequence)]
        items = each(self._dialect, table.c.attributes, condition.sequence, items=True)
        fits: list[Sql] = []
        for inner in condition.conditions:
            assert isinstance(inner, (OneOf, Wildcard)), "items hold texts"
            fits.append(_text(item_text(self._dialect, items.c.value, inner.attribute), inner))
        return select(literal(1)).select_from(items).where(*fits).exists()


def alive(table: Any) -> Sql:
    """Of patients, studies and series: something is left in them; of instances: they are not deleted."""
    if "state" in table.c:
        return table.c.state != State.DELETED.value
    return table.c.instances > 0


def _text(value: Sql, condition: OneOf | Wildcard) -> Sql:
    if isinstance(condition, Wildcard):
        return or_(*(value.like(like(pattern), escape=ESCAPE) for pattern in condition.patterns))
    if len(condition.values) > LARGEST_LIST:
        raise IdentifierInvalid(f"{len(condition.values)} values of {condition.attribute} in one query, "
                                f"{LARGEST_LIST} are possible")
    return value == condition.values[0] if len(condition.values) == 1 else value.in_(condition.values)


def _folded(value: Sql, pattern: str) -> Sql:
    if "*" in pattern or "?" in pattern:
        return value.like(like(pattern, fold=True), escape=ESCAPE)
    return value == name_groups(pattern)[0]


def _between(value: Sql, first: str | None, last: str | None) -> Sql:
    """What is no date or time (an empty text) is in no range."""
    return and_(value > "" if first is None else value >= first, true() if last is None else value <= last)
