"""The forwarder process: applies the rules to stable studies, and carries deliveries, a thread a destination.

A process of its own, so that restoring takes nothing away from the listener, and threads that wait for
nobody but their own destination. Run by the node as ``python -m scp.forwarder``; like a worker it reads its
settings from standard input and ends with it. It may be killed at any moment: the ledger says what was sent.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import structlog

from dicomnn.flow.forward import Rule, route_due
from dicomnn.flow.opening import Place, open_archive
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination
from scp.dimse.forward import Carrier, Manner

log = structlog.get_logger(__name__)

SHORTEST_IDLE = 0.1
LONGEST_IDLE = 2.0
TROUBLE_PAUSE = 2.0
LONGEST_TROUBLE = 60.0
RECLAIM_SECONDS = 5.0           # between looks for leases of processes that are dead
OVERDUE_SECONDS = 300.0         # between errors in the log about the same destination
STOP_SECONDS = 7.0              # for what is on its way when the node stops
ORPHANED_SECONDS = 10.0         # the node is gone: finish what is under way, but not for longer


@dataclass(frozen=True)
class ForwarderSettings:
    """What the process is told; travels as one line of JSON."""

    place: Place
    destinations: tuple[Destination, ...]
    rules: tuple[Rule, ...]
    manner: Manner
    quiet_seconds: float
    deadline_seconds: float
    log_level: str = "info"
    log_json: bool = False

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> ForwarderSettings:
        values = json.loads(line)
        manner = values["manner"]
        return cls(**{
            **values, "place": Place(**values["place"]),
            "destinations": tuple(Destination(**{**d, "compress": tuple(d["compress"])})
                                  for d in values["destinations"]),
            "rules": tuple(Rule(**{**rule, "to": tuple(rule["to"])}) for rule in values["rules"]),
            "manner": Manner(**{**manner, "limits": Limits(**manner["limits"])})})


class Forwarder:
    """The threads. ``stop`` is set from outside to end them after what they are at."""

    def __init__(self, settings: ForwarderSettings) -> None:
        from dicomnn.flow.retrieve import Retrieval

        self.settings = settings
        self.stop = threading.Event()
        self.archive = open_archive(settings.place)
        self._retrieval = Retrieval(self.archive)
        self._host = socket.gethostname()
        self.owner = f"{self._host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._reclaimed = 0.0
        self._told: dict[str, float] = {}

    def run(self) -> None:
        """Until `stop`."""
        carriers = [self._carrier(destination) for destination in self.settings.destinations]
        threads = [threading.Thread(target=self._loop, args=(carrier.once,), daemon=True,
                                    name=destination.ae_title)
                   for carrier, destination in zip(carriers, self.settings.destinations, strict=True)]
        self._reclaim()
        for thread in threads:
            thread.start()
        self._loop(self._watch)
        end = time.monotonic() + STOP_SECONDS
        for carrier, thread in zip(carriers, threads, strict=True):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():       # it waits for a destination that does not answer
                carrier.give_up()

    def _carrier(self, destination: Destination) -> Carrier:
        return Carrier(self._retrieval, destination, self.settings.manner, self.owner, self.stop)

    def _loop(self, once: Callable[[], bool]) -> None:
        idle, trouble = SHORTEST_IDLE, TROUBLE_PAUSE
        while not self.stop.is_set():
            try:
                busy = once()
            except Exception as error:  # noqa: BLE001 - store or index in trouble: wait and go on
                log.error("forwarder-trouble", thread=threading.current_thread().name, again_in=trouble,
                          exc_info=error)
                self.stop.wait(trouble * random.uniform(0.7, 1.3))
                trouble = min(trouble * 2, LONGEST_TROUBLE)
                continue
            trouble = TROUBLE_PAUSE
            idle = SHORTEST_IDLE if busy else min(idle * 1.6, LONGEST_IDLE)
            if not busy:
                self.stop.wait(idle * random.uniform(0.7, 1.3))

    # ------------------------------------------------------------------ the thread without a destination
    def _watch(self) -> bool:
        settings = self.settings
        routed = route_due(self.archive, settings.rules, settings.quiet_seconds,
                           settings.deadline_seconds) if settings.rules else []
        for study in routed:
            log.info("forward-queued", study=study.study_instance_uid, to=list(study.destinations),
                     instances=study.queued)
        if time.monotonic() - self._reclaimed > RECLAIM_SECONDS:
            self._reclaim()
            self._overdue()
        return bool(routed)

    def _reclaim(self) -> None:
        """A forwarder of this machine that was killed left leases behind: they end now."""
        self._reclaimed = time.monotonic()
        for owner in self.archive.index.forwarding.owners():
            host, pid, *_ = [*owner.split(":"), "", ""]
            if owner != self.owner and host == self._host and pid.isdigit() and not _alive(int(pid)):
                count = self.archive.index.forwarding.abandoned(owner)
                log.warning("forward-taken-over", owner=owner, instances=count)

    def _overdue(self) -> None:
        now = time.time()
        for queue in self.archive.index.forwarding.queues():
            told = self._told.get(queue.destination)
            if (queue.deadline is not None and queue.deadline < now
                    and (told is None or now - told > OVERDUE_SECONDS)):
                self._told[queue.destination] = now
                log.error("forward-overdue", destination=queue.destination, open=queue.open, held=queue.held,
                          oldest_seconds=round(now - (queue.oldest or now)), code=queue.error_code,
                          reason=queue.detail)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _watch_node(forwarder: Forwarder, pipe: Any) -> None:
    while pipe.readline():
        pass
    forwarder.stop.set()
    time.sleep(ORPHANED_SECONDS)
    os._exit(3)


def main() -> NoReturn:
    """Entry point of the process; the exit status is 0 when it was asked to end."""
    settings = ForwarderSettings.from_line(sys.stdin.buffer.readline())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from scp import logs

    logs.configure(settings.log_level, settings.log_json, process="forwarder")
    forwarder = Forwarder(settings)
    signal.signal(signal.SIGTERM, lambda *_: forwarder.stop.set())
    threading.Thread(target=_watch_node, args=(forwarder, sys.stdin.buffer), name="node", daemon=True).start()
    forwarder.run()
    sys.stderr.flush()
    os._exit(0)             # not waiting for threads that wait for a destination


if __name__ == "__main__":
    main()
