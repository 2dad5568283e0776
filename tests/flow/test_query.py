"""Queries over an archive as the ingest fills it, and attributes that are read again."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from sqlalchemy import update

from dicomnn.archive.sql import schema
from dicomnn.archive.sql.index import SqlIndex
from dicomnn.dicom.attributes import VERSION
from dicomnn.dicom.matching import Query, parse
from dicomnn.errors import TooManyMatches
from dicomnn.flow.query import Search
from dicomnn.flow.redescribe import redescribe
from tests.flow.conftest import Walks
from tests.scp.objects import encoded, made
from tests.scp.peer import Item


def query(level: str, **keys: object) -> Query:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return parse(read_dataset(io.BytesIO(encoded(asked)), False, True), patient_root=True)


def study(number: int, **more: object) -> Item:
    return made(f"1.2.{number}.1.1", study=f"1.2.{number}", series=f"1.2.{number}.1", size=64, Modality="CT",
                PatientID=f"P{number}", PatientName=f"Name^{number}", StudyDate=f"202401{number:02d}",
                InstanceNumber=1, **more)


def test_what_came_in_is_found_at_once_and_still_when_it_is_coded(walks: Walks) -> None:
    walks.put(study(1))
    asked = query("STUDY", StudyDate="20240101", PatientName="name*", ModalitiesInStudy="CT")
    (answer,) = Search(walks.archive, tell_coded=True).answers(asked)
    assert (answer.row["study_instance_uid"], answer.coded) == ("1.2.1", False)
    assert [done.outcome for done in walks.code_all()] == ["coded"]
    (answer,) = Search(walks.archive, tell_coded=True).answers(asked)
    assert (answer.row["modalities_in_study"], answer.coded) == (["CT"], True)
    for level in ("PATIENT", "SERIES", "IMAGE"):
        assert [a.coded for a in Search(walks.archive, tell_coded=True).answers(query(level))] == [True]
    assert [a.coded for a in Search(walks.archive).answers(asked)] == [False], "nobody asked"


def test_more_matches_than_allowed_are_refused_before_the_first_answer(walks: Walks) -> None:
    for number in range(1, 5):
        walks.put(study(number))
    assert len(list(Search(walks.archive, 4).answers(query("STUDY")))) == 4
    with pytest.raises(TooManyMatches, match="3"):
        next(Search(walks.archive, 3).answers(query("STUDY")))
    assert len(list(Search(walks.archive, 3).answers(query("STUDY", PatientID="P1")))) == 1


@pytest.mark.parametrize("coded", [False, True])
def test_attributes_that_an_older_version_did_not_read_are_read_again_from_the_objects(
        open_walks: Callable[..., Walks], coded: bool) -> None:
    walks = open_walks()
    walks.put(study(1, OperatorsName="Op^One", PatientComments="seen"))
    if coded:
        assert [done.outcome for done in walks.code_all()] == ["coded"]
    index = walks.archive.index
    assert isinstance(index, SqlIndex)
    with index._engine.connect() as connection:      # as an older version would have left it
        instance, attributes = schema.instance, {"patient_id": "P1", "modality": "CT"}
        connection.execute(update(instance).values(described=VERSION - 1, attributes=attributes))
        connection.execute(update(schema.series).values(attributes=attributes, search={}))
        connection.execute(update(schema.patient).values(attributes=attributes, search={}))
        connection.commit()
    walks = open_walks()                             # a new process
    asked = query("SERIES", OperatorsName="op*")
    assert list(Search(walks.archive).answers(asked)) == []
    assert redescribe(walks.archive) == 1
    assert redescribe(walks.archive) == 0
    (answer,) = Search(walks.archive).answers(asked)
    assert answer.row["series_instance_uid"] == "1.2.1.1"
    (patient,) = Search(walks.archive).answers(query("PATIENT", PatientComments="s*"))
    assert patient.row["patient_comments"] == "seen"
    assert walks.take(study(1, OperatorsName="Op^One", PatientComments="seen")).data


def test_what_cannot_be_read_again_keeps_what_was_known(walks: Walks) -> None:
    bad = Item("1.2.840.10008.5.1.4.1.1.2", "1.2.9", "1.2.840.10008.1.2.1", b"\x08\x00\x16\x00UI\xff\xff bad")
    walks.put(bad)
    index = walks.archive.index
    assert isinstance(index, SqlIndex)
    with index._engine.connect() as connection:
        connection.execute(update(schema.instance).values(described=1))
        connection.commit()
    assert redescribe(walks.archive) == 1
    assert index.outdated(VERSION) == []
