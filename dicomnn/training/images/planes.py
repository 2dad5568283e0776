"""Planes read when they are wanted, and a bounded number of them kept."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np

from dicomnn.shelf import Shelf
from dicomnn.training.images import reading
from dicomnn.training.images.records import ImageFile, Neighbour, NotUsable, PlaneRecord

BUDGET = 512 << 20
FARTHEST = 0xFFFF
"""Between values of a plane and its neighbour in the codec, which has both in 16 bits."""


class PlaneCache:
    """The latest planes, at most ``budget`` bytes of them. May be used from several threads."""

    def __init__(self, shelf: Shelf, budget: int = BUDGET) -> None:
        self._shelf = shelf
        self._budget = budget
        self._planes: OrderedDict[str, tuple[np.ndarray, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def get(self, record: PlaneRecord) -> np.ndarray:
        """The plane (rows, columns) uint16, minimum subtracted, read-only.

        Raises NotUsable when the file cannot be read any more: an archive in use replaces its objects.
        """
        return self._get(record.key, record.file, record.frame)[0]

    def before(self, record: PlaneRecord) -> tuple[np.ndarray, int] | None:
        """The plane before a record's: uint16, read-only, and what to add to have it in the record's units,
        its plane's minimum subtracted. None where there is none that the codec could refer to, and where it
        cannot be read. Raises NotUsable as `get`.
        """
        if record.before is None:
            return None
        plane, lowest = self._get(record.key, record.file, record.frame)
        try:
            found, other = self._get(record.before.key, record.before, record.before.frame)
        except NotUsable:
            return None
        offset = other - lowest
        if found.shape != plane.shape or offset < -FARTHEST or int(found.max()) + offset > FARTHEST:
            return None
        return found, offset

    def _get(self, key: str, file: ImageFile | Neighbour, frame: int) -> tuple[np.ndarray, int]:
        with self._lock:
            known = self._planes.get(key)
            if known is not None:
                self._planes.move_to_end(key)
                return known
        plane, lowest = reading.plane(file, frame, self._shelf)
        plane.setflags(write=False)
        with self._lock:
            if key not in self._planes:
                self._planes[key] = plane, lowest
                self._bytes += plane.nbytes
            while self._bytes > self._budget and len(self._planes) > 1:
                self._bytes -= self._planes.popitem(last=False)[1][0].nbytes
        return plane, lowest
