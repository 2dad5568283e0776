"""What was made lately, kept within a number of bytes, and made once however many ask at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

LARGEST_SHARE = 4       # nothing larger than this part of the cache is kept: it would push all else out


class _Flight:
    """One value in the making."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.value: bytes | None = None
        self.error: BaseException | None = None


class ByteCache:
    """Values by key, least lately used out first. Thread-safe.

    limit: bytes of all values together; 0: nothing is kept, but what several ask for is still made once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, bytes] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        return self._size

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is there or in the making; tells nothing about its use."""
        with self._lock:
            return key in self._values or key in self._flights

    def get(self, key: Hashable) -> bytes | None:
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def once(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The value kept under ``key``, else what ``make`` gives; who comes meanwhile waits for that one.

        What ``make`` raises is raised to all of them, and nothing is kept.
        """
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
                return value
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
        if not mine:
            flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            assert flight.value is not None
            return flight.value
        try:
            flight.value = make()
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[key]
                if flight.value is not None:
                    self._keep(key, flight.value)
            flight.landed.set()
        return flight.value

    def _keep(self, key: Hashable, value: bytes) -> None:
        if len(value) * LARGEST_SHARE > self.limit:
            return
        self._values[key] = value
        self._size += len(value)
        while self._size > self.limit:
            _, oldest = self._values.popitem(last=False)
            self._size -= len(oldest)
