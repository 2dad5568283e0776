"""Archives in a temporary folder, and a way in that needs no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dicomnn.flow.code import Coder, Done
from dicomnn.flow.ingest import Command, Ingest, Outcome, Policy
from dicomnn.flow.opening import Archive, Place, open_archive
from dicomnn.flow.retrieve import Match, Retrieval
from tests.scp.peer import Item


@dataclass
class Walks:
    """An open archive and the walks over it."""

    archive: Archive
    policy: Policy

    def put(self, item: Item, **more: str) -> Outcome:
        ingest = Ingest(self.archive, self.policy)
        arrival = ingest.open(Command(item.sop_class, item.instance, item.syntax, calling_ae="PEER", **more))
        for start in range(0, len(item.data), 1000):
            arrival.write(item.data[start:start + 1000])
        try:
            return ingest.finish(arrival)
        finally:
            arrival.abort()

    def take(self, item: Item, *accepted: str) -> Item:
        """What a peer gets for ``item`` when it takes these syntaxes (none: as received)."""
        with Retrieval(self.archive).prepare(Match(item.instance, item.sop_class), accepted or None) as given:
            return Item(given.sop_class_uid, given.sop_instance_uid, given.transfer_syntax_uid,
                        given.source.read(given.size))

    def code_all(self, effort: str = "fast") -> list[Done]:
        coder, done = Coder(self.archive, effort=effort), []
        while works := self.archive.index.lease("test", 60.0):
            done += [coder.code(work) for work in works]
        return done

    def code_one(self) -> None:
        for work in self.archive.index.lease("test", 60.0):
            Coder(self.archive, effort="fast").code(work)

    def objects(self) -> int:
        return sum(1 for _ in self.archive.store.entries())


@pytest.fixture
def open_walks(tmp_path: Path) -> Iterator[Callable[..., Walks]]:
    """open_walks(policy=..., **place) opens the archive of this test."""
    opened: list[Archive] = []

    def make(policy: Policy | None = None, **place: object) -> Walks:
        archive = open_archive(Place(**{"folder": str(tmp_path / "archive"), **place}))  # type: ignore[arg-type]
        opened.append(archive)
        return Walks(archive, policy or Policy())

    yield make
    for archive in opened:
        archive.close()


@pytest.fixture
def walks(open_walks: Callable[..., Walks]) -> Walks:
    return open_walks()
