"""A worker process: leases instances, codes them one after the other, writes reports when idle.

What came in goes first. Only who finds nothing of that kind codes again what somebody wants to be coded
again, and only who finds nothing of that kind either looks for more, if it is the time of the nightly rule.

Run by the node as ``python -m scp.worker NUMBER``; the first line of standard input is its settings,
and the end of standard input is its end: also when the node was killed. It may be killed at any
moment: what it had leased is leased again.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from typing import Any

import structlog

from dicomnn.archive import Work
from scp.pool import WorkerSettings

log = structlog.get_logger(__name__)

SHORTEST_IDLE = 0.05
LONGEST_IDLE = 1.0
REPORT_SECONDS = 1.0            # between looks for stable studies while idle
REPORT_SECONDS_BUSY = 30.0      # and while there is work
TROUBLE_PAUSE = 2.0             # after a failure of store or index; grows to
LONGEST_TROUBLE = 60.0
ORPHANED_SECONDS = 30.0         # the node is gone: finish what is under way, but not for longer


class Worker:
    """The loop. ``stop`` is set from outside to end it after the present piece of work."""

    def __init__(self, settings: WorkerSettings, number: int) -> None:
        from dicomnn.flow.code import Coder
        from dicomnn.flow.lift import Night
        from dicomnn.flow.opening import open_archive

        self.settings = settings
        self.stop = threading.Event()
        self.archive = open_archive(settings.place)
        self.coder = Coder(self.archive, effort=settings.effort, rules=settings.rules,
                           lossy=settings.lossy)
        self.night = Night(self.archive, settings.night) if settings.night is not None else None
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{number}:{secrets.token_hex(4)}"
        self._idle = SHORTEST_IDLE
        self._trouble = TROUBLE_PAUSE
        self._looked = 0.0

    def run(self) -> None:
        """Until `stop`."""
        while not self.stop.is_set():
            try:
                busy = self._one_piece()
                self._reports(busy)
                self._trouble = TROUBLE_PAUSE
            except Exception as error:  # noqa: BLE001 - store or index in trouble: wait and go on
                log.error("worker-trouble", again_in=self._trouble, exc_info=error)
                self.stop.wait(self._trouble * random.uniform(0.7, 1.3))
                self._trouble = min(self._trouble * 2, LONGEST_TROUBLE)
                continue
            if busy:
                self._idle = SHORTEST_IDLE
            else:
                self.stop.wait(self._idle * random.uniform(0.7, 1.3))
                self._idle = min(self._idle * 1.6, LONGEST_IDLE)
        self.archive.close()

    def _one_piece(self) -> bool:
        from dicomnn.flow.code import renewed

        leased = self._lease()
        if not leased:
            return False
        for work in leased:
            with renewed(self.archive, work, self.settings.lease_seconds):
                done = self.coder.code(work)
            level = log.warning if done.outcome in ("failed", "lost") else log.info
            level("worked", uid=done.sop_instance_uid, outcome=done.outcome, reason=done.reason or None,
                  before=done.before, after=done.after, seconds=round(done.seconds, 3))
        return True

    def _lease(self) -> list[Work]:
        index, seconds = self.archive.index, self.settings.lease_seconds
        if self.settings.arrivals and (arrived := index.lease(self.owner, seconds, 1)):
            return arrived
        night = self.night is not None and self.night.open()
        again = index.lease_again(self.owner, seconds, 1, night=night)
        if not again and self.night is not None and night and self.night.ask():
            again = index.lease_again(self.owner, seconds, 1, night=True)
        return again

    def _reports(self, busy: bool) -> None:
        if not self.settings.reports:
            return
        now = time.monotonic()
        if now - self._looked < (REPORT_SECONDS_BUSY if busy else REPORT_SECONDS):
            return
        self._looked = now
        from dicomnn.flow.study import write_due_report

        written = write_due_report(self.archive, self.settings.quiet_seconds)
        if written:
            log.info("report-written", study=written)
            self._looked = 0.0      # perhaps there are more


def _watch_node(worker: Worker, pipe: Any) -> None:
    """End with the node: its side of the pipe is closed by `stop`, or by its death."""
    while pipe.readline():
        pass
    worker.stop.set()
    time.sleep(ORPHANED_SECONDS)
    os._exit(3)


def main(arguments: list[str]) -> int:
    """Entry point of the process; the exit status is 0 when it was asked to end."""
    settings = WorkerSettings.from_line(sys.stdin.buffer.readline())
    number = int(arguments[0]) if arguments else 1
    # The terminal's Ctrl-C goes to the whole group: the node decides when workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from scp import logs

    logs.configure(settings.log_level, settings.log_json, worker=number)
    worker = Worker(settings, number)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop.set())
    threading.Thread(target=_watch_node, args=(worker, sys.stdin.buffer), name="node", daemon=True).start()
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
