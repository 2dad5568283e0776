"""A small archive, made with pynetdicom, with the bad habits of real ones: it cuts its answers, miscounts,
drops the association at some object, does not send what it listed."""

from __future__ import annotations

import fnmatch
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom import AE, build_context, evt

from tests.scp.peer import EXPLICIT, IMPLICIT, Item

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class Habits:
    """limit: answers to a study query; said: with A700 for the rest. counted: what it adds to its counts.
    drops: at these objects the association ends. withheld: these are counted and listed, but never sent;
    hidden: never listed."""

    limit: int = 10**6
    said: bool = False
    counted: int = 0
    drops: set[str] = field(default_factory=set)
    withheld: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)


class CuttingArchive:
    """Use it as a context manager; ``movers``: AE title -> port of those that a C-MOVE may name."""

    def __init__(self, items: list[Item], habits: Habits, movers: dict[str, int] | None = None) -> None:
        self.habits, self.movers = habits, movers or {}
        self.there = [opened(item) for item in items]
        self._ae = AE("CUTTING")
        for model in (FIND, MOVE, GET):
            self._ae.add_supported_context(model)
        for item_class in {item.sop_class for item in items}:
            self._ae.add_supported_context(item_class, [EXPLICIT, IMPLICIT], scu_role=True, scp_role=True)
            self._ae.add_requested_context(item_class, [EXPLICIT])

    def __enter__(self) -> CuttingArchive:
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move)]
        self._server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = int(self._server.server_address[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def _matching(self, keys: Dataset) -> list[Dataset]:
        first, dash, last = str(keys.get("StudyDate") or "").partition("-")

        def fits(one: Dataset) -> bool:
            when = str(one.get("StudyDate") or "")
            return (
                all(not keys.get(name) or one.get(name) == keys.get(name) for name in UNIQUE.values())
                and (not first + last or bool(when and first <= when <= (last if dash else first)))
                and fnmatch.fnmatchcase(str(one.get("PatientID") or ""), str(keys.get("PatientID") or "*"))
            )

        return [one for one in self.there if fits(one)]

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        keys = event.identifier
        level = keys.QueryRetrieveLevel
        self.habits.calls.append(f"find {level}")
        found: dict[str, list[Dataset]] = {}
        for one in self._matching(keys):
            found.setdefault(str(one.get(UNIQUE[level])), []).append(one)
        for number, (uid, ones) in enumerate(found.items()):
            if level == "STUDY" and number >= self.habits.limit:
                if self.habits.said:
                    yield 0xA700, None
                return
            if level == "IMAGE" and uid in self.habits.hidden:
                continue
            answer = Dataset()
            for element in keys:
                setattr(answer, element.keyword, ones[0].get(element.keyword))
            answer.QueryRetrieveLevel = level
            for name in ("NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances"):
                if name in keys:
                    setattr(answer, name, len(ones) + self.habits.counted)
            if "ModalitiesInStudy" in keys:
                answer.ModalitiesInStudy = "CT"
            yield 0xFF00, answer

    def _sent(self, event: Any) -> list[Dataset]:
        return [
            one
            for one in self._matching(event.identifier)
            if str(one.SOPInstanceUID) not in self.habits.withheld
        ]

    def _get(self, event: Any) -> Iterator[Any]:
        self.habits.calls.append(f"get {event.identifier.QueryRetrieveLevel}")
        sent = self._sent(event)
        yield len(sent)
        for one in sent:
            if str(one.SOPInstanceUID) in self.habits.drops:
                event.assoc.abort()
                return
            yield 0xFF00, one

    def _move(self, event: Any) -> Iterator[Any]:
        self.habits.calls.append(f"move {event.identifier.QueryRetrieveLevel}")
        port = self.movers.get(str(event.move_destination).strip())
        if port is None:
            yield None, None
            return
        yield (
            "127.0.0.1",
            port,
            {
                "contexts": [
                    build_context(uid, [EXPLICIT])
                    for uid in sorted({str(one.SOPClassUID) for one in self.there})
                ]
            },
        )
        sent = self._sent(event)
        yield len(sent)
        for one in sent:
            yield 0xFF00, one


def opened(item: Item) -> Dataset:
    """The data set of an object in an uncompressed syntax, as pydicom reads it."""
    dataset = dcmread(io.BytesIO(item.data), force=True)
    dataset.remove_private_tags()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(item.syntax)
    return dataset
