"""What a query may ask for and no object says: modalities and classes of a study, numbers, what is coded.

Read for a page of answers at a time, from the sums that each arrival's own transaction keeps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, literal, select

from dicomnn.archive.sql import schema
from dicomnn.archive.sql.levels import ATTRIBUTES, Kind
from dicomnn.archive.sql.match import alive
from dicomnn.archive.states import State

Answers = Sequence[dict[str, Any]]
CODED = "coded"
"""Whether any instance of the answer is stored as a coded object."""
_CODED_STATES = tuple(state.value for state in State if state.is_coded)

COMPUTED = {name for names in ATTRIBUTES.values() for name, kind in names.items() if kind is Kind.COMPUTED}


def computed(connection: Connection, level: str, answers: Answers, wanted: Iterable[str]) -> None:
    """Add the wanted ones to answers of one level, which have the keys of their row."""
    names = set(wanted)
    if not answers:
        return
    if CODED in names:
        _coded(connection, level, answers)
    for reader, given in _READERS:
        if names & given:
            reader(connection, answers)


def _of(answers: Answers, key: str) -> list[str]:
    return sorted({answer[key] for answer in answers})


def _of_studies(connection: Connection, answers: Answers) -> None:
    studies, series = _of(answers, "study_instance_uid"), schema.series
    modalities: dict[str, set[str]] = defaultdict(set)
    numbers: dict[str, int] = defaultdict(int)
    for study, modality in connection.execute(
            select(series.c.study_instance_uid, series.c.modality)
            .where(series.c.study_instance_uid.in_(studies), alive(series),
                   series.c.series_instance_uid != "")):
        numbers[study] += 1
        if modality:
            modalities[study].add(modality)
    table = schema.study
    instances = {study: number for study, number in connection.execute(
        select(table.c.study_instance_uid, table.c.instances)
        .where(table.c.study_instance_uid.in_(studies)))}
    for answer in answers:
        study = answer["study_instance_uid"]
        answer["modalities_in_study"] = sorted(modalities[study])
        answer["number_of_study_related_series"] = numbers[study]
        answer["number_of_study_related_instances"] = instances.get(study, 0)


def _classes(connection: Connection, answers: Answers) -> None:
    table = schema.instance
    classes: dict[str, set[str]] = defaultdict(set)
    for study, sop_class in connection.execute(
            select(table.c.study_instance_uid, table.c.sop_class_uid).distinct()
            .where(table.c.study_instance_uid.in_(_of(answers, "study_instance_uid")), alive(table))):
        classes[study].add(sop_class)
    for answer in answers:
        answer["sop_classes_in_study"] = sorted(classes[answer["study_instance_uid"]])


def _of_patients(connection: Connection, answers: Answers) -> None:
    keys, patient, series = _of(answers, "patient_key"), schema.patient, schema.series
    studies = {key: (number, instances) for key, number, instances in connection.execute(
        select(patient.c.patient_key, func.count(), func.sum(patient.c.instances))
        .where(patient.c.patient_key.in_(keys), alive(patient)).group_by(patient.c.patient_key))}
    numbers = {key: number for key, number in connection.execute(
        select(patient.c.patient_key, func.count()).select_from(patient, series)
        .where(patient.c.patient_key.in_(keys), alive(patient), alive(series),
               patient.c.study_instance_uid == series.c.study_instance_uid)
        .group_by(patient.c.patient_key))}
    for answer in answers:
        number, instances = studies.get(answer["patient_key"], (0, 0))
        answer["number_of_patient_related_studies"] = number
        answer["number_of_patient_related_series"] = numbers.get(answer["patient_key"], 0)
        answer["number_of_patient_related_instances"] = int(instances)


def _of_series(connection: Connection, answers: Answers) -> None:
    table = schema.series
    instances = {(study, series): number for study, series, number in connection.execute(
        select(table.c.study_instance_uid, table.c.series_instance_uid, table.c.instances)
        .where(table.c.series_instance_uid.in_(_of(answers, "series_instance_uid"))))}
    for answer in answers:
        answer["number_of_series_related_instances"] = instances.get(
            (answer["study_instance_uid"], answer["series_instance_uid"]), 0)


def _coded(connection: Connection, level: str, answers: Answers) -> None:
    """By the first coded instance of each: looking stops there."""
    key = {"patient": "patient_key", "study": "study_instance_uid", "series": "series_instance_uid",
           "instance": "sop_instance_uid"}[level]
    instance, table = schema.instance, {"patient": schema.patient, "study": schema.study,
                                        "series": schema.series, "instance": schema.instance}[level]
    own = table.alias()
    same = [instance.c.study_instance_uid == own.c.study_instance_uid]
    if level in ("series", "instance"):
        same.append(instance.c[key] == own.c[key])
    there = select(literal(1)).where(*same, instance.c.state.in_(_CODED_STATES)).exists()
    coded = set(connection.execute(
        select(own.c[key]).distinct().where(own.c[key].in_(_of(answers, key)), there)).scalars())
    for answer in answers:
        answer[CODED] = answer[key] in coded


_READERS: tuple[tuple[Callable[[Connection, Answers], None], set[str]], ...] = (
    (_of_studies, {"modalities_in_study", "number_of_study_related_series",
                   "number_of_study_related_instances"}),
    (_classes, {"sop_classes_in_study"}),
    (_of_patients, {"number_of_patient_related_studies", "number_of_patient_related_series",
                    "number_of_patient_related_instances"}),
    (_of_series, {"number_of_series_related_instances"}),
)
