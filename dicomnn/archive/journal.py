"""The journal: append-only JSON lines beside the objects, enough to rebuild the index with them.

Each process writes a log of its own (``<time>-<random>.jsonl``), so nothing is shared and a torn
last line never has anything behind it. Lines are durable before the index commits what they say:
a line may tell of something that then did not happen in the index (the process died in between),
and replaying it is harmless because the objects it names are there; the reverse cannot be.

A line has ``event``, ``time`` (seconds since 1970, UTC), ``uid`` (as received), ``revision`` (counts
the changes of that instance) and what the event needs; see ``docs/archive.md``. No patient data.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomnn.archive.store import Log, Store

_ROTATE_AT = 64 << 20


class Journal:
    """This process's pen. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._log: Log | None = None
        self._written = 0

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Durable on return, all lines with one sync. `StoreFull`, `StoreFailed`."""
        if not lines:
            return
        data = "".join(json.dumps(line, separators=(",", ":"), default=str) + "\n" for line in lines).encode()
        with self._lock:
            if self._log is None or self._written > _ROTATE_AT:
                self._close()
                stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
                self._log = self._store.open_log(f"{stamp}-{secrets.token_hex(6)}.jsonl")
                self._written = 0
            try:
                self._log.append(data)
            except BaseException:
                self._close()              # its end may be torn: go on in a new log
                raise
            self._written += len(data)

    def _close(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def close(self) -> None:
        with self._lock:
            self._close()


@dataclass
class Reading:
    """What reading found beside the lines: places that could not be read ('log:line')."""

    unreadable: list[str] = field(default_factory=list)


def read(store: Store, reading: Reading | None = None) -> Iterator[dict[str, Any]]:
    """Every line of every log, log by log. A torn or damaged line is noted and passed over."""
    for name in store.logs():
        for number, line in enumerate(store.read_log(name), 1):
            if not line:
                continue
            try:
                value = json.loads(line)
                if not isinstance(value, dict) or "event" not in value:
                    raise ValueError("not a journal line")
            except ValueError:
                if reading is not None:
                    reading.unreadable.append(f"{name}:{number}")
                continue
            yield value
