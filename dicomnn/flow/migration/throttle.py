"""When a migration may work, and how fast: hours of the day and a rate, as the source's owners allow."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dicomnn.errors import UsageError
from dicomnn.flow.migration.source import Stopped

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(kB|MB|GB)?\s*(?:/\s*(s|min|h))?")
_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
_SPANS = {"s": 1.0, "min": 60.0, "h": 3600.0}
LOOK_SECONDS = 20.0


@dataclass(frozen=True)
class Window:
    """From ``first`` to before ``last``, minutes of the day, local time; over midnight when first > last."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """``HH:MM-HH:MM``. Raises UsageError."""
        found = _WINDOW.fullmatch(text.strip())
        values = [int(part) for part in found.groups()] if found else []
        if not found or values[0] > 24 or values[2] > 24 or values[1] > 59 or values[3] > 59:
            raise UsageError(
                f"'{text}' is no window", cure="Write it as HH:MM-HH:MM, for example 20:00-06:00."
            )
        first, last = (60 * values[0] + values[1]) % 1440, (60 * values[2] + values[3]) % 1440
        if first == last:
            raise UsageError(f"the window '{text}' is empty", cure="Leave --window out to work all day.")
        return cls(first, last)

    def open_at(self, minute: int) -> bool:
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.first, self.last))


@dataclass(frozen=True)
class Rate:
    """At most so many instances, or bytes, a second."""

    per_second: float
    of_bytes: bool = False

    @classmethod
    def parse(cls, text: str) -> Rate:
        """``50`` or ``50/s`` or ``600/min`` instances, ``20MB/s`` of data. Raises UsageError."""
        found = _RATE.fullmatch(text.strip())
        if found is None or not float(found[1]):
            raise UsageError(f"'{text}' is no rate", cure="Write it as 50/s, 600/min or 20MB/s.")
        return cls(
            float(found[1]) * _UNITS.get(found[2] or "", 1.0) / _SPANS[found[3] or "s"], found[2] is not None
        )


def minute_now() -> int:
    now = datetime.now()
    return 60 * now.hour + now.minute


class Throttle:
    """Waits in the thread that calls it. Thread-safe. stop: an event that ends every wait with `Stopped`."""

    def __init__(
        self,
        windows: Sequence[Window] = (),
        rate: Rate | None = None,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], int] = minute_now,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._windows, self._rate, self._clock = tuple(windows), rate, clock
        self._look = look_seconds
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.stop = stop or threading.Event()
        self.waits_for = ""
        """What it waits for just now, for people; '' when it does not wait."""

    def window(self) -> None:
        """Returns when work is allowed. Raises Stopped."""
        while self._windows and not any(one.open_at(self._clock()) for one in self._windows):
            self.waits_for = "the window " + ", ".join(map(str, self._windows))
            if self.stop.wait(self._look):
                break
        self.waits_for = ""
        if self.stop.is_set():
            raise Stopped

    def spent(self, size: int) -> None:
        """One instance of ``size`` bytes was taken: returns when the next one may come."""
        if self._rate is None:
            return
        cost = (size if self._rate.of_bytes else 1) / self._rate.per_second
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + cost
            pause = self._free_at - now - cost
        # The first one after a rest is free at once; what came before is paid by waiting now.
        self.stop.wait(max(0.0, pause + cost))
