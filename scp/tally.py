"""What a node counts while it runs: associations, and its answers by service and status."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

OPENED, REFUSED = "opened", "refused"
_PENDING = (0xFF00, 0xFF01)


class Tally:
    """Sums since the node started. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._associations: Counter[str] = Counter()
        self._answers: Counter[tuple[str, str]] = Counter()

    def association(self, kind: str) -> None:
        """One was OPENED or REFUSED."""
        with self._lock:
            self._associations[kind] += 1

    def answer(self, primitive: Any) -> None:
        """A DIMSE primitive was sent; answers that are not pending count."""
        status = getattr(primitive, "Status", None)
        if status is None or status in _PENDING:
            return
        service = type(primitive).__name__.replace("_", "-")
        with self._lock:
            self._answers[service, f"{int(status):04X}"] += 1

    def now(self) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        """(associations by kind, answers by service and status)."""
        with self._lock:
            return dict(self._associations), dict(self._answers)
