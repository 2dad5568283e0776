"""Every request that reached a study, or tried to, becomes a line of the audit table.

One look at a study is many requests (a frame each): the same caller doing the same to the same study is
written once in a while. What changes something, and what was refused, is always written.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

import structlog
from flask import Request, Response, g

from dicomnn.errors import DicomnnError
from dicomnn.flow.accounts import Accounts

log = structlog.get_logger(__name__)

ONCE_IN_SECONDS = 300.0
_MOST = 10_000
_SILENT = frozenset(
    {
        "pages.asset",
        "pages.healthy",
        "pages.progress",
        "pages.node_figures",
        "pages.states",
        "pages.start",
        "pages.upload",
        "pages.account",
        "pages.node",
    }
)
_WORDS = {
    "pages.view": "open study",
    "pages.measures": "look at images",
    "pages.kept": "look at images",
    "pages.codes": "look at images",
    "pages.image": "look at images",
    "pages.audit": "read audit table",
    "pages.users": "list users",
}
_STUDY_ARGUMENTS = ("study", "study_uid", "studies")


class Audit:
    """Thread-safe."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def note(self, request: Request, response: Response) -> None:
        """Write what this request was. ``g.deed``: (action, subject, detail), where a handler knows better.
        Raises nothing: an answer that is on its way is not taken back; the log tells of a failure."""
        if request.endpoint in _SILENT and response.status_code < 400:
            return
        caller = g.get("caller")
        name = request.endpoint or "unknown"
        if name == "pages.sign_in" and request.method == "GET" and response.status_code < 400:
            return
        action, subject, detail = g.get("deed") or (
            _WORDS.get(name, f"{request.method} {name}"),
            str(
                next(
                    (
                        request.view_args[key]
                        for key in _STUDY_ARGUMENTS
                        if request.view_args and key in request.view_args
                    ),
                    "",
                )
            ),
            "",
        )
        who, address = (caller.who if caller else "nobody"), request.remote_addr or ""
        outcome = "done" if response.status_code < 400 else f"refused {response.status_code}"
        reading = request.method in ("GET", "HEAD") and response.status_code < 400
        if reading and self._lately((who, address, action, subject)):
            return
        try:
            self._accounts.note(who, action, subject=subject, address=address, outcome=outcome, detail=detail)
        except DicomnnError as error:
            log.error("audit-not-written", reason=str(error), who=who, action=action)

    def _lately(self, key: tuple[str, ...]) -> bool:
        now = time.monotonic()
        with self._lock:
            last = self._written.get(key)
            if last is not None and now - last < ONCE_IN_SECONDS:
                return True
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > _MOST:
                self._written.popitem(last=False)
        return False
