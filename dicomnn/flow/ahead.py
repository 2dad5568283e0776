"""Fetching ahead: who asks for one coded frame of a series will ask for the others.

Threads decode them in the order in which they will be asked for, while nobody waits for a decoding, and
only as many as fit into half of the cache. A failure ends the plan: whoever asks will be told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dicomnn.conditions import OneOf
from dicomnn.flow.opening import Archive

if TYPE_CHECKING:
    from dicomnn.archive.index import Instance

PLANS = 4           # series that are fetched ahead at a time; an older plan is given up for a newer one
INSTANCES = 2000    # of a series that are looked at

Fetch = Callable[["Instance", int], int]


class _Plan:
    """The frames of one series that are still to be fetched."""

    def __init__(self, key: str, frames: Iterator[tuple[Instance, int]], budget: int) -> None:
        self.key, self.frames, self.left = key, frames, budget
        self.lock = threading.Lock()

    def next(self) -> tuple[Instance, int] | None:
        with self.lock:
            return next(self.frames, None) if self.left > 0 else None


class Ahead:
    """Thread-safe. Its threads begin with the first plan."""

    def __init__(self, archive: Archive, fetch: Fetch, wait: Callable[[Callable[[], bool]], None],
                 there: Callable[[Instance, int], bool], budget: int, threads: int) -> None:
        self._archive, self._fetch, self._wait, self._there = archive, fetch, wait, there
        self._budget, self._count = budget, threads
        self._lock = threading.Condition()
        self._plans: deque[_Plan] = deque()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def missed(self, instance: Instance, number: int) -> None:
        """Somebody asks for this frame, and it is not at hand."""
        key = f"{instance.study_instance_uid}/{instance.series_instance_uid}"
        with self._lock:
            if self._budget <= 0 or self._closed or any(plan.key == key for plan in self._plans):
                return
            self._plans.appendleft(_Plan(key, self._frames(instance, number), self._budget))
            while len(self._plans) > PLANS:
                self._plans.pop()
            while len(self._threads) < self._count:
                thread = threading.Thread(target=self._run, name="ahead", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._lock.notify_all()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._plans.clear()
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _is_closed(self) -> bool:
        return self._closed

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._plans and not self._closed:
                    self._lock.wait()
                if self._closed:
                    return
                plan = self._plans[0]
            try:
                found = plan.next()
                if found is not None:
                    self._wait(self._is_closed)
                    if not self._closed and not self._there(*found):
                        plan.left -= self._fetch(*found)
                    continue
            except Exception:  # noqa: BLE001 - nobody asked for it yet; who does is told what is wrong
                pass
            with self._lock:
                if plan in self._plans:
                    self._plans.remove(plan)

    def _frames(self, instance: Instance, number: int) -> Iterator[tuple[Instance, int]]:
        """The frames behind this one, then those of the instances behind it by their numbers, then the
        others."""
        total = int(instance.attributes.get("number_of_frames") or 1)
        for frame in range(number + 1, total + 1):
            yield instance, frame
        if not instance.series_instance_uid:
            return
        conditions = [OneOf("study_instance_uid", (instance.study_instance_uid,)),
                      OneOf("series_instance_uid", (instance.series_instance_uid,))]
        rows = []
        for row in self._archive.index.find("instance", conditions, wanted=["instance_number"]):
            rows.append((row.get("instance_number") or 0, str(row["sop_instance_uid"])))
            if len(rows) >= INSTANCES:
                break
        rows.sort()
        own = (instance.attributes.get("instance_number") or 0, instance.sop_instance_uid)
        for _, uid in [row for row in rows if row > own] + [row for row in rows if row < own]:
            other = self._archive.index.get(uid)
            if other.state.is_coded:
                for frame in range(1, int(other.attributes.get("number_of_frames") or 1) + 1):
                    yield other, frame
