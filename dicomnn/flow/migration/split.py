"""Finding every study of an archive that does not give all answers to a large question.

Archives cut C-FIND answers at some number, with or without saying so (statuses A700, B001; silently at 500).
The first question is for everything, and is believed only when asking again in two halves brings nothing new.
Otherwise days are halved until each answer is well below the limit, a day that is still too much is asked by
the first characters of the PatientID, and the same is done for everything once more, because a study without
a date is found by no range of dates.
"""

from __future__ import annotations

import string
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from dicomnn.flow.migration.source import Study

EARLIEST = date(1970, 1, 1)
BEFORE = date(1800, 1, 1)
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-_./^#+: "
LONGEST_PREFIX = 24
ROUND = 50


@dataclass(frozen=True)
class Region:
    """A part of an archive: StudyDate within ``dates``, PatientID that begins with ``prefix`` or is it."""

    dates: tuple[date, date] | None = None
    prefix: str | None = None
    exact: bool = False

    def keys(self) -> dict[str, str]:
        """The matching keys of a C-FIND (PS3.4 C.2.2.2)."""
        found = {"StudyDate": "", "PatientID": ""}
        if self.dates is not None:
            found["StudyDate"] = "-".join(f"{day:%Y%m%d}" for day in self.dates)
            if self.dates[0] == self.dates[1]:
                found["StudyDate"] = f"{self.dates[0]:%Y%m%d}"
        if self.prefix is not None:
            found["PatientID"] = self.prefix + ("" if self.exact else "*")
        return found

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.keys().items() if value) or "everything"

    def parts(self, shown: Sequence[Study]) -> list[Region]:
        """Smaller ones that cover it; none when it cannot be divided."""
        if self.dates is not None and self.prefix is None and self.dates[0] < self.dates[1]:
            first, last = self.dates
            middle = _middle(shown, first, last)
            return [
                replace(self, dates=(first, middle)),
                replace(self, dates=(middle + timedelta(days=1), last)),
            ]
        if self.exact or len(self.prefix or "") >= LONGEST_PREFIX:
            return []
        start = self.prefix or ""
        here = [replace(self, prefix=start, exact=True)] if start else []
        seen = {
            study.patient_id[len(start)]
            for study in shown
            if study.patient_id.startswith(start) and len(study.patient_id) > len(start)
        }
        # Spaces in front mean nothing (PS3.5 6.2), so that question would be the one for everything.
        letters = dict.fromkeys(
            letter for letter in (*ALPHABET, *sorted(seen)) if letter not in ("*?\\" if start else "*?\\ ")
        )
        return here + [replace(self, prefix=start + letter) for letter in letters]


@dataclass(frozen=True)
class Shown:
    """What the source answered. whole: it said success; a count may still be cut."""

    studies: list[Study]
    whole: bool
    said: str = ""


class Inventory:
    """One pass over an archive. ask: puts one question. note: told (question, answers, state) of each, state
    'whole', 'split' or 'cut'. believed: questions that an interrupted pass before has finished with."""

    def __init__(
        self,
        ask: Callable[[dict[str, str]], Shown],
        note: Callable[[str, int, str], None],
        *,
        believed: Collection[str] = (),
        today: date | None = None,
    ) -> None:
        self._ask, self._note, self._believed = ask, note, believed
        self._today = today or date.today() + timedelta(days=1)
        self.limit: int | None = None
        """The number at which the source was seen to cut."""

    def studies(self) -> Iterator[Study]:
        """Every study that can be found, each at least once."""
        everything = Region()
        shown = self._ask(everything.keys())
        yield from shown.studies
        if not self._doubtful(shown):
            seen = {study.study_uid for study in shown.studies}
            news: list[Study] = []
            for half in self._halves(shown.studies):
                again = self._ask(half.keys())
                news += [study for study in again.studies if study.study_uid not in seen]
                if self._doubtful(again):
                    self.limit = len(shown.studies)
            if not news and self.limit is None:
                self._note(str(everything), len(seen), "whole")
                return
            self.limit = len(shown.studies)
            yield from news
        self._note(str(everything), len(shown.studies), "split")
        dated: set[tuple[str, str]] = set()
        for years in (
            Region(dates=(EARLIEST, self._today)),
            Region(dates=(BEFORE, EARLIEST - timedelta(days=1))),
        ):
            for study in self._divide(years, lambda _region: -1):
                dated.add((study.patient_id, study.study_uid))
                yield study
        patients = sorted(patient for patient, _ in dated)
        for part in everything.parts(shown.studies):
            yield from self._divide(part, lambda region: _beginning(patients, region))

    def _divide(self, region: Region, known: Callable[[Region], int]) -> Iterator[Study]:
        """known: how many studies of the region have been found by their dates. No more than those, and all
        of them, means that it has none without a date."""
        if str(region) in self._believed:
            return
        shown = self._ask(region.keys())
        yield from shown.studies
        count = len({study.study_uid for study in shown.studies})
        if not self._doubtful(shown) or (shown.whole and count == known(region)):
            self._note(str(region), len(shown.studies), "whole")
            return
        parts = region.parts(shown.studies)
        self._note(str(region), len(shown.studies), "split" if parts else "cut")
        for part in parts:
            yield from self._divide(part, known)

    def _doubtful(self, shown: Shown) -> bool:
        count = len(shown.studies)
        if not shown.whole or (self.limit is not None and count >= self.limit):
            return True
        return count >= ROUND and (count % ROUND == 0 or count & (count - 1) == 0)

    def _halves(self, shown: Sequence[Study]) -> list[Region]:
        """Everything again in smaller questions: mostly two, by the day of the study in the middle."""
        if len(shown) < 2:
            return []
        days = sorted(day for study in shown if (day := _day(study.date)) is not None)
        latest = max([self._today, *days])
        halves = [Region(dates=(BEFORE, latest))]
        if days and days[0] < days[-1]:
            middle = _middle(shown, days[0], days[-1])
            halves = [Region(dates=(BEFORE, middle)), Region(dates=(middle + timedelta(days=1), latest))]
        elif days:  # all on one day: what is around it, and that day by the PatientID
            that_day = Region(dates=(days[0], days[0]))
            halves = [
                Region(dates=(BEFORE, days[0] - timedelta(days=1))),
                Region(dates=(days[0] + timedelta(days=1), latest + timedelta(days=1))),
                *that_day.parts(shown),
            ]
        if len(days) < len(shown):  # some have no date, and are found by no range of dates
            halves += Region().parts(shown)
        return halves


def _beginning(patients: list[str], region: Region) -> int:
    prefix = region.prefix or ""
    if region.exact:
        return bisect_right(patients, prefix) - bisect_left(patients, prefix)
    return bisect_left(patients, prefix + "\U0010ffff") - bisect_left(patients, prefix)


def _middle(shown: Sequence[Study], first: date, last: date) -> date:
    """The day after which the second half begins: that of the middle study, so that each half has some."""
    days = sorted(day for day in (_day(study.date) for study in shown) if day and first <= day <= last)
    if days and days[0] < days[-1]:
        middle = days[(len(days) - 1) // 2]
        return middle if middle < days[-1] else days[days.index(middle) - 1]
    return first + (last - first) // 2


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
