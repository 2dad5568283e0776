"""Planes read when they are wanted, and a bounded number of them kept."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np

from dicomnn.shelf import Shelf
from dicomnn.training.images import reading
from dicomnn.training.images.records import PlaneRecord

BUDGET = 512 << 20


class PlaneCache:
    """The latest planes, at most ``budget`` bytes of them. May be used from several threads."""

    def __init__(self, shelf: Shelf, budget: int = BUDGET) -> None:
        self._shelf = shelf
        self._budget = budget
        self._planes: OrderedDict[str, np.ndarray] = OrderedDict()
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
        with self._lock:
            plane = self._planes.get(record.key)
            if plane is not None:
                self._planes.move_to_end(record.key)
                return plane
        plane = reading.plane_of(*reading.frame(record.file, record.frame, self._shelf))
        plane.setflags(write=False)
        with self._lock:
            if record.key not in self._planes:
                self._planes[record.key] = plane
                self._bytes += plane.nbytes
            while self._bytes > self._budget and len(self._planes) > 1:
                self._bytes -= self._planes.popitem(last=False)[1].nbytes
        return plane
