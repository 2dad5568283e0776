"""What a migration asks of where things come from, and what it gives to where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dicomnn.errors import PeerError
from dicomnn.flow.ingest import Command


class SourceAway(PeerError):
    """The source cannot be reached at all: no instance is to blame."""

    code = "source-away"
    cure = (
        "Check that the source runs and knows us; the job goes on where it stopped when it is called again."
    )


class Stopped(Exception):
    """Somebody asked the run to end."""


@dataclass(frozen=True)
class Study:
    """A study as the source tells of it. instances: what the source counts, None when it does not say."""

    study_uid: str
    date: str = ""
    modalities: str = ""
    instances: int | None = None
    patient_id: str = field(default="", repr=False)


@dataclass(frozen=True)
class Listed:
    """One instance, or file, that the source says it has. item: its name in the ledger, the same each time.

    reason: it is known already that it cannot be taken ('malformed', ...; state 'set-aside'), or is nothing
    to take ('not-dicom', 'dicomdir'; state 'left').
    """

    item: str
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    series_uid: str = ""
    study_uid: str = ""
    modality: str = ""
    syntax: str = ""
    size: int | None = None
    state: str = "todo"
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Listing:
    """The instances of a study. expected: the sum of what its series count; notes: what was odd."""

    instances: list[Listed]
    expected: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What to fetch: items of one series; without items and with a study alone all that it has."""

    study_uid: str
    series_uid: str
    items: tuple[str, ...]
    sop_classes: tuple[str, ...]
    singly: bool = False
    """One request for the one item, because a request for the series did not bring it."""


class Sink(Protocol):
    """Where one data set goes."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


class Landing(Protocol):
    """Takes data sets. Thread-safe. It writes down itself what became of each."""

    def open(self, command: Command, prefix: bytes = b"", item: str = "") -> Sink:
        """prefix: the preamble and File Meta that it came with. item: its name, else the command's UID."""
        ...

    def finish(self, sink: Sink) -> None:
        """Durable on return. Raises DicomnnError: it was not taken."""
        ...

    def refuse(self, item: str, reason: str, detail: str, *, lasting: bool) -> None:
        """It could not even be read. lasting: trying again will not help."""
        ...


Note = Callable[[str], None]


class Source(Protocol):
    """Where studies come from; one thread uses it."""

    name: str
    by_study: bool
    """True: `studies` says which there are and `listing` what is in each; False: `items` gives everything."""

    def studies(self, note: Note) -> Iterator[Study]: ...

    def listing(self, study_uid: str) -> Listing: ...

    def items(self) -> Iterator[Listed]: ...

    def incomplete(self) -> list[str]:
        """After `studies`: the questions to which the source did not give all its answers."""
        ...

    def recount(self, study_uid: str) -> int | None:
        """What the source counts in a study now."""
        ...

    def fetch(self, wanted: Wanted, landing: Landing) -> str:
        """Bring the items to the landing; what the source said, in its own words and statuses. Raises
        SourceAway (not reached), PeerError (lost on the way), Stopped."""
        ...

    def local(self, item: str) -> Path | None:
        """The file itself where items are files of this machine."""
        ...

    def close(self) -> None: ...


def batches(items: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
