"""Every study of a source is found, however it cuts its answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from dicomnn.flow.migration.source import Study
from dicomnn.flow.migration.split import Inventory, Shown

TODAY = date(2024, 7, 1)


def studies(count: int, *, day: int | None = None, undated: int = 0) -> list[Study]:
    """Over 20 years with a crowd at the end, or all on one day; every third patient has two studies."""
    found = []
    for number in range(count):
        when = date(2004, 1, 1) + timedelta(
            days=day if day is not None else min(number * 37, 7300 + number % 5)
        )
        text = "" if number < undated else f"{when:%Y%m%d}"
        found.append(Study(f"1.2.{number}", text, "CT", 3, f"{'PQ7'[number % 3]}{number // 2:04}"))
    return found


class Cutting:
    """An archive that matches dates and PatientIDs, and shows no more than ``limit`` answers."""

    def __init__(self, there: list[Study], limit: int, said: bool) -> None:
        self.there, self.limit, self.said, self.asked = there, limit, said, 0

    def __call__(self, keys: dict[str, str]) -> Shown:
        self.asked += 1
        found = [
            study
            for study in self.there
            if self._date(study, keys["StudyDate"]) and self._patient(study, keys["PatientID"])
        ]
        cut = len(found) > self.limit
        return Shown(found[: self.limit], not (cut and self.said), "A700" if cut and self.said else "0000")

    def _date(self, study: Study, key: str) -> bool:
        first, dash, last = key.partition("-")
        return not key or (bool(study.date) and first <= study.date <= (last if dash else first))

    def _patient(self, study: Study, key: str) -> bool:
        return not key or (
            study.patient_id.startswith(key[:-1]) if key.endswith("*") else study.patient_id == key
        )


class Refusing(Cutting):
    """One that gives nothing at all when it would be too much."""

    def __call__(self, keys: dict[str, str]) -> Shown:
        shown = super().__call__(keys)
        return shown if shown.whole else Shown([], False, shown.said)


def inventory(source: Cutting) -> tuple[set[str], list[str]]:
    cut: list[str] = []

    def note(question: str, _answers: int, state: str) -> None:
        if state == "cut":
            cut.append(question)

    found = {study.study_uid for study in Inventory(source, note, today=TODAY).studies()}
    return found, cut


@pytest.mark.parametrize("kind, said", [(Cutting, False), (Cutting, True), (Refusing, True)])
@pytest.mark.parametrize(
    "there, limit",
    [
        (studies(400), 37),
        (studies(400), 100),
        (studies(120, day=900), 25),
        (studies(300, undated=60), 20),
        (studies(30), 29),
    ],
)
def test_every_study_is_found_where_answers_are_cut(
    kind: Callable[..., Cutting], said: bool, there: list[Study], limit: int
) -> None:
    found, cut = inventory(kind(there, limit, said))
    assert found == {study.study_uid for study in there} and not cut


def test_an_archive_that_shows_everything_is_asked_three_times() -> None:
    source = Cutting(studies(333), 10**6, False)
    found, cut = inventory(source)
    assert len(found) == 333 and not cut and source.asked == 3


def test_a_round_number_of_answers_is_not_believed() -> None:
    source = Cutting(studies(500), 10**6, False)
    found, _ = inventory(source)
    assert len(found) == 500 and source.asked > 3


def test_an_empty_archive_is_believed() -> None:
    assert inventory(Cutting([], 10, False)) == (set(), [])


def test_one_patient_with_more_studies_on_a_day_than_the_source_shows_is_told() -> None:
    there = [Study(f"1.2.{number}", "20200202", "CT", 1, "SAME") for number in range(30)]
    found, cut = inventory(Cutting(there, 20, True))
    assert len(found) == 20 and "StudyDate=20200202 PatientID=SAME" in cut


def test_an_interrupted_inventory_does_not_ask_again_what_was_answered_in_full() -> None:
    there, done = studies(400), set()
    first = Cutting(there, 37, True)
    list(
        Inventory(
            first,
            lambda question, _answers, state: done.add(question) if state == "whole" else None,
            today=TODAY,
        ).studies()
    )
    second = Cutting(there, 37, True)
    list(Inventory(second, lambda *_: None, believed=done, today=TODAY).studies())
    assert second.asked < first.asked / 3
