"""The journal."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from dicomnn.archive import journal
from dicomnn.archive.journal import Journal, Reading
from dicomnn.archive.local import LocalStore
from dicomnn.archive.store import Log
from dicomnn.errors import StoreFull


def line(number: int) -> dict[str, object]:
    return {"event": "kept", "uid": "1.2.3", "time": 1.0, "revision": number}


def test_lines_of_many_threads_are_all_there_and_whole(tmp_path: Path) -> None:
    with LocalStore(tmp_path) as store:
        pen = Journal(store)

        def write(start: int) -> None:
            for number in range(start, start + 10):
                pen.append([line(number)])

        threads = [threading.Thread(target=write, args=(number * 10,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reading = Reading()
        assert sorted(found["revision"] for found in journal.read(store, reading)) == list(range(40))
        assert reading.unreadable == []
        assert len(store.logs()) == 1


def test_a_torn_or_damaged_line_is_noted_and_costs_no_other(tmp_path: Path) -> None:
    with LocalStore(tmp_path) as store:
        log = store.open_log("a.jsonl")
        log.append((json.dumps(line(1)) + "\n[]\nnot json\n" + json.dumps(line(2)) + "\n").encode())
        log.append(json.dumps(line(3)).encode()[:-5])
        log.close()
        store.open_log("b.jsonl").append((json.dumps(line(4)) + "\n").encode())
        reading = Reading()
        assert [found["revision"] for found in journal.read(store, reading)] == [1, 2, 4]
        assert reading.unreadable == ["a.jsonl:2", "a.jsonl:3", "a.jsonl:5"]


def test_after_a_failed_append_nothing_is_written_behind_the_torn_end(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalStore(tmp_path) as store:
        pen = Journal(store)
        pen.append([line(1)])

        def torn(self: Log, data: bytes) -> None:
            original(self, data[:-7])
            raise StoreFull("no space")

        assert pen._log is not None
        original = type(pen._log).append
        monkeypatch.setattr(type(pen._log), "append", torn)
        with pytest.raises(StoreFull):
            pen.append([line(2)])
        monkeypatch.undo()
        pen.append([line(3)])
        pen.close()
        assert sorted(found["revision"] for found in journal.read(store)) == [1, 3]
        assert len(store.logs()) == 2


def test_nothing_to_say_makes_no_log(tmp_path: Path) -> None:
    with LocalStore(tmp_path) as store:
        Journal(store).append([])
        assert store.logs() == []
