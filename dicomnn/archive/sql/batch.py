"""One transaction of the index: rows moved by the table of states, sums kept beside them.

Pieces of work run one after the other in a `Batch`; what they change in counters, studies and
series is gathered and written once at the end, in a fixed order, so that 200 arrivals of one study
cost one update of its row and two processes cannot wait for each other in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    Select,
    Table,
    Update,
    bindparam,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from dicomnn.archive.index import RECODE_FAILED
from dicomnn.archive.sql import schema
from dicomnn.archive.sql.engine import without_absent
from dicomnn.archive.sql.levels import own_attributes, patient_columns, series_columns, study_columns
from dicomnn.archive.states import Event, Instruction, State, transition

_STUDY_SUMS = ("instances", "pending", "conflicts", "bytes_before", "bytes_after", "unrouted")
UNROUTED, ROUTED = 1, 0             # the column ``forward`` of what arrived under rules of forwarding
_IDENTITY = ("patient_id", "patient_name")         # in the study's own row too, for reports
_KEEP_MINUTES = 24 * 60
Columns = Callable[[dict[str, Any]], dict[str, Any]]

# Built once: making a statement costs more than running it.
_BY_UID = select(schema.instance).where(
    or_(schema.instance.c.sop_instance_uid == bindparam("uid"),
        schema.instance.c.received_uid == bindparam("uid"))).with_for_update()
_STUDY = select(schema.study).where(
    schema.study.c.study_instance_uid == bindparam("uid")).with_for_update()
_ADD_STUDY = update(schema.study).where(
    schema.study.c.study_instance_uid == bindparam("uid"),
).values(**{name: schema.study.c[name] + bindparam(f"add_{name}") for name in _STUDY_SUMS},
         last_touched=func.coalesce(bindparam("touched", type_=Float), schema.study.c.last_touched),
         revision=schema.study.c.revision + bindparam("changed", type_=Integer),
         report_due=or_(schema.study.c.report_due, bindparam("changed", type_=Integer) > 0),
         report_claimed_until=case((bindparam("changed", type_=Integer) > 0, null()),
                                   else_=schema.study.c.report_claimed_until))
_ADD_PART = {table: update(table).where(
    table.c.study_instance_uid == bindparam("study"), own == bindparam("key"),
).values(instances=table.c.instances + bindparam("by")) for table, own in (
    (schema.series, schema.series.c.series_instance_uid), (schema.patient, schema.patient.c.patient_key))}
_SERIES = select(schema.series).where(
    schema.series.c.study_instance_uid == bindparam("study"),
    schema.series.c.series_instance_uid == bindparam("key")).with_for_update()
_PATIENT = select(schema.patient).where(
    schema.patient.c.study_instance_uid == bindparam("study"),
    schema.patient.c.patient_key == bindparam("key")).with_for_update()
_ADD_COUNTER = update(schema.counter).where(
    schema.counter.c.name == bindparam("key"), schema.counter.c.shard == bindparam("own"),
).values(value=schema.counter.c.value + bindparam("by"))
_ADD_ACTIVITY = update(schema.activity).where(
    schema.activity.c.minute == bindparam("now"), schema.activity.c.kind == bindparam("key"),
    schema.activity.c.shard == bindparam("own"),
).values(value=schema.activity.c.value + bindparam("by"))


def clean_text(value: object) -> str:
    """Text that every database takes: no NUL (PostgreSQL), no lone surrogates (SQLite)."""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def clean_json(value: Any) -> Any:
    """The same for a JSON value; what JSON does not know becomes text."""
    if isinstance(value, Mapping):
        return {clean_text(key): clean_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_json(item) for item in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)    # also NaN, which JSON lacks
    return clean_text(value)


@dataclass
class _StudyChange:
    sums: Counter[str] = field(default_factory=Counter)
    touched: float | None = None
    changed: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)


@dataclass
class _PartChange:
    """Of a patient or a series of a study."""

    instances: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)


class Known:
    """Which attributes the rows of studies, series and patients have, so far as this process saw. Rows and
    their attributes only ever grow, so what is known stays true; what is not costs a look. Thread-safe."""

    _MOST = 20_000

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], frozenset[str]] = {}

    def has(self, row: tuple[str, ...], names: Iterable[str]) -> bool:
        """Whether the row is there and has a value for each name."""
        known = self._names.get(row)
        return known is not None and known.issuperset(names)

    def learn(self, learned: Mapping[tuple[str, ...], frozenset[str]]) -> None:
        """What a committed transaction left behind."""
        if len(self._names) > self._MOST:
            self._names = {}
        self._names.update(learned)


class Batch:
    """See the module. ``grace``: seconds an object stays after its release. ``learned`` is for `Known`, once
    this is committed."""

    def __init__(self, connection: Connection, *, shard: int, now: float, grace: float,
                 known: Known) -> None:
        self._known = known
        self.learned: dict[tuple[str, ...], frozenset[str]] = {}
        self.connection = connection
        self.now = now
        self.grace = grace
        self.lines: list[dict[str, Any]] = []
        self._shard = shard
        self._counters: Counter[str] = Counter()
        self._activity: Counter[str] = Counter()
        self._studies: dict[str, _StudyChange] = {}
        self._series: dict[tuple[str, str], _PartChange] = {}
        self._patients: dict[tuple[str, str], _PartChange] = {}
        self._seen: dict[str, set[str]] = {}

    # ---------------------------------------------------------------- reading
    def row(self, *conditions: Any) -> dict[str, Any] | None:
        """One instance's row, locked where the database locks rows."""
        found = self.connection.execute(
            select(schema.instance).where(*conditions).with_for_update()).mappings().first()
        return dict(found) if found is not None else None

    def row_of(self, uid: str) -> dict[str, Any] | None:
        """The same by present or received UID."""
        found = self.connection.execute(_BY_UID, {"uid": uid}).mappings().first()
        return dict(found) if found is not None else None

    # ---------------------------------------------------------------- moving
    def move(self, row: Mapping[str, Any], event: Event, *, why: str = "", **values: Any) -> bool:
        """Let ``event`` happen to the row as it was read; ``values`` are further columns, ``why`` goes
        into the release queue.

        False, and nothing is changed: somebody else moved it since. Raises `InvalidTransition`.
        """
        story = (f"{row['received_uid']}, revision {row['revision']}, "
                 f"lease of {row['lease_owner'] or 'nobody'}, {row['attempts']} attempts")
        state, instructions = transition(State(row["state"]), event, story=story)
        new: dict[str, Any] = {"state": state.value, "revision": row["revision"] + 1, "changed_at": self.now}
        if Instruction.END_LEASE in instructions:
            new.update(lease_owner=None, lease_token=None, due_at=None,
                       recode_at=None, recode_effort=None, recode_by=None, recode_profile=None)
        if Instruction.DUE_NOW in instructions:
            new.update(due_at=self.now, attempts=0, reason=None, detail="", error_code=None)
        if Instruction.DUE_AGAIN in instructions:
            new.update(recode_at=self.now, attempts=0, reason=None, detail="", error_code=None)
        new.update(values)
        if Instruction.POINT_TO_NEW_OBJECT in instructions:
            assert new["object_name"] != row["object_name"], "names are never used twice"
        result = self.connection.execute(
            update(schema.instance)
            .where(schema.instance.c.id == row["id"], schema.instance.c.revision == row["revision"])
            .values(**new))
        if result.rowcount != 1:
            return False
        after = {**row, **new}
        self.weigh(row, -1)
        self.weigh(after, +1)
        if Instruction.RELEASE_OLD_OBJECT in instructions:
            self.release(row["object_name"], row["object_size"], why or str(event), grace=True)
        if Instruction.REPORT_DUE in instructions:
            self.study_changed(row["study_instance_uid"])
            self.study_changed(after["study_instance_uid"])
        return True

    def weigh(self, row: Mapping[str, Any], sign: int) -> None:
        """Add (or take away) what an instance counts in every sum kept beside the rows."""
        for name, value in instance_weight(row).items():
            self._counters[name] += sign * value
        here = row["state"] != State.DELETED.value
        sums = self._study(row["study_instance_uid"]).sums
        sums["instances"] += sign * here
        sums["pending"] += sign * (row["state"] in (State.RECEIVED.value, State.CODING.value))
        sums["bytes_before"] += sign * here * row["before"]
        sums["bytes_after"] += sign * here * row["object_size"]
        sums["unrouted"] += sign * (here and row.get("forward") == UNROUTED)
        series = self._part(self._series, row["study_instance_uid"], row["series_instance_uid"])
        series.instances += sign * here
        if row["described"]:
            self.weigh_patient(row, sign)

    def weigh_patient(self, row: Mapping[str, Any], sign: int) -> None:
        """Count an instance with its patient."""
        here = row["state"] != State.DELETED.value
        self._part(self._patients, row["study_instance_uid"], row["patient_key"]).instances += sign * here

    # ---------------------------------------------------------------- gathering
    def count(self, name: str, by: int = 1) -> None:
        self._counters[name] += by

    def happened(self, kind: str, by: int = 1) -> None:
        """Count for the rate over the last minutes."""
        self._activity[kind] += by

    def line(self, event: str, uid: str, revision: int, **values: Any) -> None:
        """A line for the journal; empty values are left out."""
        told = {key: value for key, value in without_absent(values).items() if value not in ("", {}, [])}
        self.lines.append({"event": event, "time": self.now, "uid": uid, "revision": revision, **told})

    def release(self, name: str, size: int, reason: str, *, grace: bool) -> None:
        """Put a name on the release queue, unless it is there."""
        table = schema.release
        if self.connection.execute(select(table.c.object_name).where(table.c.object_name == name)).first():
            return
        self.connection.execute(insert(table).values(
            object_name=name, size=size, reason=reason, due_at=self.now + (self.grace if grace else 0.0)))
        self._counters["store"] += size
        self._counters["releases"] += 1

    @staticmethod
    def _part(parts: dict[tuple[str, str], _PartChange], study: str, key: str) -> _PartChange:
        return parts.setdefault((study, key), _PartChange())

    def _study(self, uid: str) -> _StudyChange:
        return self._studies.setdefault(uid, _StudyChange())

    def study_changed(self, uid: str) -> None:
        self._study(uid).changed = True

    def study_sum(self, uid: str, name: str, by: int) -> None:
        self._study(uid).sums[name] += by

    def touched(self, study: str, association: str | None) -> None:
        """Something of this study arrived."""
        self._study(study).touched = self.now
        if association is not None:
            self._seen.setdefault(association, set()).add(study)

    def described(self, row: Mapping[str, Any]) -> None:
        """What an instance says about its study, series and patient fills what is still unknown of them."""
        attributes, study = row["attributes"], row["study_instance_uid"]
        for name in _IDENTITY:
            if attributes.get(name) is not None:
                self._study(study).identity.setdefault(name, str(attributes[name]))
        for level, there in (
                ("study", self._study(study).attributes),
                ("series", self._part(self._series, study, row["series_instance_uid"]).attributes),
                ("patient", self._part(self._patients, study, row["patient_key"]).attributes)):
            for name, value in own_attributes(level, attributes).items():
                there.setdefault(name, value)

    # ---------------------------------------------------------------- the end
    def flush(self) -> None:
        """Write everything gathered."""
        for uid, change in sorted(self._studies.items()):
            self._flush_study(uid, change)
        for (study, series), about in sorted(self._series.items()):
            self._flush_part(schema.series, _SERIES, series_columns, study, series, about)
        for (study, patient), about in sorted(self._patients.items()):
            self._flush_part(schema.patient, _PATIENT, patient_columns, study, patient, about)
        for token, studies in sorted(self._seen.items()):
            self._flush_association(token, studies)
        for name, value in sorted(self._counters.items()):
            if value:
                self._add(_ADD_COUNTER, {"key": name, "own": self._shard, "by": value},
                          schema.counter, {"name": name, "shard": self._shard, "value": value})
        minute = int(self.now // 60)
        for kind, value in sorted(self._activity.items()):
            self._add(_ADD_ACTIVITY, {"now": minute, "key": kind, "own": self._shard, "by": value},
                      schema.activity, {"minute": minute, "kind": kind, "shard": self._shard, "value": value})
        if self._activity and minute % 60 == 0:
            table = schema.activity
            self.connection.execute(table.delete().where(table.c.minute < minute - _KEEP_MINUTES,
                                                         table.c.shard == self._shard))

    def _add(self, adding: Update, values: dict[str, Any], table: Table, first: dict[str, Any]) -> None:
        """Add to a row that is nearly always there; make it when it is not."""
        if self.connection.execute(adding, values).rowcount == 0:
            self.connection.execute(insert(table), first)

    def _flush_study(self, uid: str, change: _StudyChange) -> None:
        table, row = schema.study, ("study", uid)
        told = {**change.attributes, **change.identity}
        if not self._known.has(row, told):
            present = self.connection.execute(_STUDY, {"uid": uid}).mappings().first()
            if present is None:
                self._new_study(uid, change)
                return
            there = present["attributes"] or {}
            merged = {**change.attributes, **there}
            new = study_columns(merged) if merged != there else {}
            new.update({name: value for name, value in change.identity.items() if present[name] is None})
            if new:
                self.connection.execute(update(table).where(table.c.study_instance_uid == uid).values(**new))
            known = {name for name in _IDENTITY if present[name] is not None}
            self.learned[row] = frozenset(merged) | known | set(change.identity)
        if change.changed or change.touched is not None or any(change.sums.values()):
            self.connection.execute(_ADD_STUDY, {
                "uid": uid, "touched": change.touched, "changed": int(change.changed),
                **{f"add_{name}": change.sums[name] for name in _STUDY_SUMS}})

    def _new_study(self, uid: str, change: _StudyChange) -> None:
        if not change.changed and change.touched is None and not any(change.sums.values()):
            return
        sums = {name: change.sums[name] for name in _STUDY_SUMS}
        self.connection.execute(insert(schema.study), {
            "study_instance_uid": uid, **study_columns(change.attributes), **change.identity, **sums,
            "revision": 1, "report_due": True,
            "last_touched": change.touched if change.touched is not None else self.now})
        self.learned["study", uid] = frozenset(change.attributes) | set(change.identity)

    def _flush_part(self, table: Table, reading: Select[Any], columns: Columns, study: str, key: str,
                    change: _PartChange) -> None:
        """The row of a series or patient: made when it is not there, else what is new is added to it."""
        row = (table.name, study, key)
        of_study, own = table.primary_key.columns.values()
        if not self._known.has(row, change.attributes):
            present = self.connection.execute(reading, {"study": study, "key": key}).mappings().first()
            if present is None:
                if change.instances:
                    self.connection.execute(insert(table), {
                        **columns(change.attributes), "study_instance_uid": study, own.name: key,
                        "instances": change.instances})
                    self.learned[row] = frozenset(change.attributes)
                return
            there = present["attributes"] or {}
            merged = {**change.attributes, **there}
            if merged != there:
                self.connection.execute(
                    update(table).where(of_study == study, own == key).values(**columns(merged)))
            self.learned[row] = frozenset(merged)
        if change.instances:
            self.connection.execute(_ADD_PART[table], {"study": study, "key": key, "by": change.instances})

    def _flush_association(self, token: str, studies: set[str]) -> None:
        table, links = schema.association, schema.association_study
        open_still = self.connection.execute(
            update(table).where(table.c.token == token).values(seen_at=self.now)).rowcount
        if not open_still:
            return
        known = set(self.connection.execute(
            select(links.c.study_instance_uid).where(links.c.association == token)).scalars())
        for study in sorted(studies - known):
            self.connection.execute(insert(links).values(association=token, study_instance_uid=study))


def instance_weight(row: Mapping[str, Any]) -> dict[str, int]:
    """What one row counts in the counters; the sum over all rows is what they must show."""
    state = row["state"]
    weight = {f"state:{state}": 1}
    if state != State.DELETED.value:
        weight["store"] = row["object_size"]
    if State(state).is_coded:
        weight["before"], weight["after"] = row["before"], row["object_size"]
        if row["tried_effort"] is not None:
            weight[f"tried:{row['tried_effort']}:{row['tried_model']}"] = 1
        if row["recode_by"] is not None:
            weight[f"{'recoding' if state == State.RECODING.value else 'recode'}:{row['recode_by']}"] = 1
        if row["reason"] == RECODE_FAILED:
            weight[f"recode-failure:{row['error_code']}"] = 1
    if state == State.KEPT.value:
        weight[f"kept:{row['reason']}"] = 1
        if row["error_code"]:
            weight[f"failure:{row['error_code']}"] = 1
    if state == State.RECEIVED.value and row["attempts"]:
        weight["retrying"] = 1
    return weight
