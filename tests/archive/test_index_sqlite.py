"""The index on SQLite: the suite, the schema, and what the engine was set up to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from dicomnn.archive import Index, Lift, open_index
from dicomnn.archive.sql.engine import make_engine
from dicomnn.archive.sql.find import _statement
from dicomnn.archive.sql.index import SqlIndex
from dicomnn.archive.sql.migrate import migrate
from dicomnn.archive.sql.schema import metadata
from dicomnn.conditions import Condition, DateRange, Name, OneOf
from dicomnn.errors import IndexFailed
from tests.archive.conftest import Clock, arrived
from tests.archive.index_suite import IndexSuite


class TestSqliteIndex(IndexSuite):
    @pytest.fixture
    def make_index(self, tmp_path: Path, empty_index: Path, clock: Clock) -> Iterator[Callable[..., Index]]:
        shutil.copy(empty_index, tmp_path / "index.sqlite")
        opened: list[Index] = []

        def make(**options: object) -> Index:
            url = f"sqlite:///{tmp_path}/index.sqlite"
            opened.append(open_index(url, clock=clock, **options))  # type: ignore[arg-type]
            return opened[-1]

        yield make
        for index in opened:
            index.close()


def test_migrations_from_nothing_make_exactly_the_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/made/on/open.sqlite"
    with open_index(url) as index:
        index.receive(arrived("1.2.3"))
    with open_index(url) as index:
        assert index.get("1.2.3").received_uid == "1.2.3"
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_an_index_of_the_first_schema_learns_what_its_objects_were_coded_with(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.sqlite"
    engine = create_engine(url)
    migrate(engine, "0001")
    rows = {"1.1": ("coded", '{"exact": "data-set", "effort": "fast"}', "m1"),
            "1.2": ("coded", '{"exact": "pixels", "effort": "fast"}', None),
            "1.3": ("coded", '{"exact": "bounded", "effort": "fast"}', "m1"),
            "1.4": ("kept", '{"kind": "kept"}', None),
            "1.5": ("coded", '{"exact": "data-set", "effort": "fast"}', "m1")}
    texts = ("sop_class_uid", "study_instance_uid", "series_instance_uid", "transfer_syntax_uid", "detail",
             "object_sha256", "digest", "profile", "source", "calling_ae", "called_ae", "peer_address")
    with engine.begin() as connection:
        for uid, (state, facts, model) in rows.items():
            values = {"sop_instance_uid": uid, "received_uid": uid, "object_name": uid, "state": state,
                      "facts": facts, "model_id": model, "attributes": "{}", "revision": 1, "attempts": 1,
                      "object_size": 5, "before": 9, "received_at": 1.0, "changed_at": 1.0,
                      **dict.fromkeys(texts, "")}
            names = ", ".join(f'"{name}"' for name in values)
            connection.execute(text(f"INSERT INTO instance ({names}) VALUES "
                                    f"({', '.join(':' + name for name in values)})"), values)
    engine.dispose()
    with open_index(url) as index:
        assert {i.sop_instance_uid: (i.tried_effort, i.tried_model) for i in index.instances()} == {
            "1.1": ("fast", "m1"), "1.2": ("fast", ""), "1.3": (None, None), "1.4": (None, None),
            "1.5": ("fast", "m1")}
        assert index.status().tried == {"fast": {"": 1, "m1": 2}}
        assert index.ask_again(Lift("max", lower=("fast",))) == (3, 15)


def test_what_an_index_of_the_first_version_holds_is_found_after_migration(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/index.sqlite"
    engine = make_engine(url)
    migrate(engine, "0001")
    about = {"patient_id": "P1", "patient_name": "M\u00fcller^A", "study_date": "20240101", "modality": "CT",
             "series_description": "axial"}
    columns = ("sop_class_uid transfer_syntax_uid detail object_sha256 profile source calling_ae called_ae "
               "peer_address").split()
    with engine.connect() as connection:
        for number in range(3):
            row = {**dict.fromkeys(columns, "x"), "sop_instance_uid": f"1.{number}",
                   "received_uid": f"1.{number}", "study_instance_uid": "S", "series_instance_uid": "E",
                   "state": "deleted" if number == 2 else "kept", "revision": 1, "attempts": 0,
                   "object_name": f"{number:032x}", "object_size": 1, "digest": "d", "before": 1,
                   "attributes": json.dumps(about), "facts": "{}", "received_at": 0.0, "changed_at": 0.0}
            connection.exec_driver_sql(
                f"INSERT INTO instance ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()))
        connection.exec_driver_sql("INSERT INTO study VALUES ('S', 'P1', 'x', '20240101', NULL, NULL, NULL, "
                                   "2, 0, 0, 2, 2, 0.0, 7, 0, NULL, NULL)")
        connection.exec_driver_sql("INSERT INTO series VALUES ('S', 'E', 'CT', NULL, 'axial', 2)")
        connection.commit()
    engine.dispose()
    with open_index(url) as index:
        counts = ("number_of_study_related_instances", "number_of_patient_related_instances")
        (row,) = index.find("study", [Name("patient_name", ("m\u00dcller*",)),
                                      DateRange("study_date", "20240101", None)], wanted=counts)
        assert [row[name] for name in counts] == [2, 2]
        assert [r["series_description"] for r in index.find("series", [OneOf("patient_id", ("P1",))])] == [
            "axial"]
        study = index.study("S")
        assert study is not None and (study.revision, study.report_due) == (7, False), "no report changes"
        assert [i.sop_instance_uid for i in index.outdated(2)] == ["1.0", "1.1", "1.2"]
        index.delete("1.0", reason="r", by="b")
        index.delete("1.1", reason="r", by="b")
        assert list(index.find("patient", [])) == []


def test_an_index_of_a_later_version_is_refused(tmp_path: Path, empty_index: Path) -> None:
    path = shutil.copy(empty_index, tmp_path / "index.sqlite")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(IndexFailed, match="9999") as caught:
        open_index(f"sqlite:///{path}")
    assert "newer dicomnn" in caught.value.cure


def test_commits_are_durable_when_they_return(tmp_path: Path) -> None:
    with open_index(f"sqlite:///{tmp_path}/index.sqlite") as index:
        assert isinstance(index, SqlIndex)
        with index._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL"


def test_what_an_object_lacks_takes_no_room_and_takes_away_what_was_there(tmp_path: Path) -> None:
    with open_index(f"sqlite:///{tmp_path}/index.sqlite") as index:
        assert isinstance(index, SqlIndex)
        index.receive(arrived("1.2.3", attributes={"patient_id": "P", "station_name": None},
                              facts={"reason": "odd", "image": {"rows": 4, "rescale_slope": None}}))
        with index._engine.connect() as connection:
            told = connection.exec_driver_sql("SELECT attributes, facts FROM instance").one()
            assert connection.exec_driver_sql("PRAGMA page_size").scalar() == 8192
        assert tuple(told) == ('{"patient_id":"P"}', '{"reason":"odd","image":{"rows":4}}')
        (work,) = index.lease("worker", 60.0)
        index.coded(work, "f" * 32, object_sha256="c" * 64, object_size=3, facts={"reason": None, "ratio": 2})
        assert index.get("1.2.3").facts == {"image": {"rows": 4}, "ratio": 2}


@pytest.mark.parametrize("url", ["nonsense", "nosuchdatabase://x/y", "sqlite:////proc/forbidden/index.sqlite"])
def test_an_index_that_cannot_be_opened_is_a_typed_error(url: str) -> None:
    with pytest.raises(IndexFailed):
        open_index(url)


def test_a_database_that_fails_is_a_typed_error(tmp_path: Path) -> None:
    with open_index(f"sqlite:///{tmp_path}/index.sqlite") as index:
        assert isinstance(index, SqlIndex)
        with index._engine.connect() as connection:
            connection.exec_driver_sql("DROP TABLE study")
            connection.commit()
        with pytest.raises(IndexFailed, match="no such table"):
            index.receive(arrived("1.2.3"))
        assert list(index.instances()) == [], "the whole transaction was undone"


def test_hot_questions_are_answered_from_indexes(tmp_path: Path) -> None:
    """Nothing that a worker, a receiver or a retrieval asks may read a whole table."""
    with open_index(f"sqlite:///{tmp_path}/index.sqlite") as index:
        assert isinstance(index, SqlIndex)
        questions = {
            "arrival": "SELECT * FROM instance WHERE sop_instance_uid = 'x' OR received_uid = 'x'",
            "lease": "SELECT * FROM instance WHERE due_at <= 5 ORDER BY due_at, id LIMIT 1",
            "page": "SELECT * FROM instance WHERE study_instance_uid = 'x' AND id > 7 ORDER BY id LIMIT 5",
            "lease again": "SELECT * FROM instance WHERE recode_by = 'asked' AND recode_at <= 5 "
                           "ORDER BY recode_at, id LIMIT 1",
            "to code again": "SELECT * FROM instance WHERE tried_effort = 'fast' AND tried_model = 'x' "
                             "AND id > 7 AND state = 'coded' AND (recode_at IS NULL OR recode_by = 'night') "
                             "ORDER BY id LIMIT 5",
            "release": "SELECT * FROM release WHERE due_at <= 5 ORDER BY due_at, object_name LIMIT 5",
            "referrer": "SELECT id FROM instance WHERE object_name = 'x'",
            "stable": "SELECT * FROM study WHERE report_due IS 1 AND last_touched <= 5 "
                      "ORDER BY last_touched LIMIT 5",
            "outdated": "SELECT * FROM instance WHERE described < 2 ORDER BY described, id LIMIT 5",
        }
        with index._engine.connect() as connection:
            for name, question in questions.items():
                plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + question).all()
                told = " | ".join(row[3] for row in plan)
                assert "SCAN" not in told and "TEMP B-TREE" not in told, f"{name}: {told}"


@pytest.mark.parametrize(("level", "conditions"), [
    ("study", [Name("patient_name", ("smith*",))]), ("study", [OneOf("patient_id", ("x",))]),
    ("study", [DateRange("study_date", "20240101", "20240102"), OneOf("modalities_in_study", ("CT",))]),
    ("study", [OneOf("accession_number", ("x",))]), ("study", [OneOf("study_instance_uid", ("x",))]),
    ("series", [OneOf("study_instance_uid", ("x",))]), ("instance", [OneOf("patient_id", ("x",))]),
    ("instance", [OneOf("study_instance_uid", ("x",)), OneOf("series_instance_uid", ("y",))]),
    ("patient", [Name("patient_name", ("smith*",))]),
], ids=repr)
def test_usual_queries_are_answered_from_indexes(empty_index: Path, level: str,
                                                 conditions: list[Condition]) -> None:
    engine = make_engine(f"sqlite:///{empty_index}")
    asked = _statement("sqlite", level, conditions, ("patient_name",)).limit(5)
    written = str(asked.compile(engine, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    with engine.connect() as connection:
        told = " | ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + written))
    engine.dispose()
    assert "SCAN" not in told, told
