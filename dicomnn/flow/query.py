"""What the archive holds, found by a query's conditions: the walk behind C-FIND and its kin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dicomnn.dicom.matching import Query
from dicomnn.dicom.query_keys import Level
from dicomnn.errors import TooManyMatches
from dicomnn.flow.opening import Archive

PAGE = 500
LEVELS = {Level.PATIENT: "patient", Level.STUDY: "study", Level.SERIES: "series", Level.IMAGE: "instance"}
CODED = "coded"


@dataclass(frozen=True)
class Answer:
    """Attributes by name. `coded`: some of its instances must be restored before they can be sent (only where
    that is told)."""

    row: dict[str, Any]
    coded: bool


class Search:
    """Queries over one archive. Thread-safe.

    limit: most answers to one query, 0: any number. tell_coded: find out for each answer whether something of
    it is coded, which takes a look at its instances.
    """

    def __init__(self, archive: Archive, limit: int = 0, *, tell_coded: bool = False) -> None:
        self._archive, self.limit, self._tell_coded = archive, limit, tell_coded

    def answers(self, query: Query) -> Iterator[Answer]:
        """In order of UIDs; what is asked for beyond the first page is read as answers are taken.

        Raises
        ------
        TooManyMatches
            More match than the limit; before the first answer is given, so nothing is cut silently.
        IdentifierInvalid
            A list of values is too long.
        IndexFailed
            The index cannot be read.
        """
        level, index = LEVELS[query.level], self._archive.index
        wanted = self._wanted(query)
        page = min(PAGE, self.limit) if self.limit else PAGE
        found = index.find(level, query.conditions, wanted=wanted, page=page)
        first = [row for _, row in zip(range(page), found, strict=False)]
        if self.limit and len(first) == page and index.more_than(level, query.conditions, self.limit):
            raise TooManyMatches(f"more than {self.limit} matches; narrow the query")
        for row in first:
            yield Answer(row, bool(row.get(CODED)))
        for row in found:
            yield Answer(row, bool(row.get(CODED)))

    def page(self, query: Query, offset: int, most: int) -> tuple[list[Answer], bool]:
        """At most ``most`` answers behind the first ``offset``, and whether there are more. Raises
        IdentifierInvalid, IndexFailed."""
        found = self._archive.index.find(LEVELS[query.level], query.conditions, wanted=self._wanted(query),
                                         page=min(PAGE, offset + most + 1))
        rows = list(islice(found, offset, offset + most + 1))
        return [Answer(row, bool(row.get(CODED))) for row in rows[:most]], len(rows) > most

    def _wanted(self, query: Query) -> list[str]:
        return [*query.wanted, CODED] if self._tell_coded else query.wanted
