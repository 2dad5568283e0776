"""The queue and the ledger of forwarding: which arrivals go where, and what became of each.

A delivery is one instance's content on its way to one destination; there is at most one for each pair, for
ever, so nothing is queued twice. It is made in the transaction in which the rules were applied, and its row
is never deleted. This file is the interface, ``sql/forward.py`` implements it (`Index.forwarding`). Every
method is thread-safe, and what it changes is durable when it returns. Times are seconds since 1970, UTC."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Leg(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """To be tried at ``due_at``, or when the destination's pause is over."""
    SENDING = "sending"
    """Leased to a forwarder; one that died gives it up."""
    SENT = "sent"
    """The destination answered that it has it (with a warning, perhaps: see ``status``)."""
    HELD = "held"
    """A person holds it back."""
    FAILED = "failed"
    """Refused too often; waits for a person."""
    DROPPED = "dropped"
    """Not to be sent: a person said so, or the instance was deleted or replaced before."""

    @property
    def open(self) -> bool:
        return self not in (Leg.SENT, Leg.DROPPED)


LEASE_RAN_OUT = "lease-ran-out"
UNSURE = (LEASE_RAN_OUT, "no-answer", "association-lost")
"""Error codes after which the destination may have the instance, although it never said so."""


@dataclass(frozen=True)
class Arrived:
    """A stable study with instances that the rules have not seen. senders: (modality, calling AE title) of
    its instances that arrived under rules; touched: what `route` compares, so that nothing new slips in
    between."""

    study_instance_uid: str
    description: str
    senders: tuple[tuple[str, str], ...]
    touched: float


@dataclass(frozen=True)
class Delivery:
    """A row of the ledger. received_uid: the SOP Instance UID as it came; digest: of the data set received.

    tries: attempts so far; strikes: those that count against the instance rather than the destination.
    status, comment: of the peer's last answer, verbatim; error_code, detail: what went wrong last. rule:
    which rule, or person, asked for it."""

    id: int
    destination: str
    instance_id: int
    received_uid: str
    study_instance_uid: str
    digest: str
    state: Leg
    rule: str
    tries: int
    strikes: int
    status: str | None
    comment: str | None
    error_code: str | None
    detail: str | None
    created_at: float
    deadline_at: float
    due_at: float | None
    tried_at: float | None
    changed_at: float
    lease_owner: str | None
    lease_token: str | None


@dataclass(frozen=True)
class Failure:
    """Why a try failed. blames: 'instance' (counts as a strike), 'destination' (does not), or 'either' (does
    if the destination took something else since the last try). wait: seconds until the next try."""

    error_code: str
    detail: str
    wait: float
    blames: str = "instance"
    status: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class Which:
    """Deliveries that a person means; None means any."""

    destination: str | None = None
    study_instance_uid: str | None = None
    states: Sequence[Leg] = tuple(leg for leg in Leg if leg.open)


@dataclass(frozen=True)
class Queue:
    """One destination's deliveries by state, from counters, and how it stands.

    oldest, deadline: of the longest waiting open delivery. held: a person holds the whole destination.
    failures: tries in a row that failed because of the destination; pause_until: when the next one is due.
    failed_tries: by error code, since ever.
    """

    destination: str
    counts: Mapping[Leg, int]
    oldest: float | None
    deadline: float | None
    held: bool
    failures: int
    pause_until: float | None
    error_code: str | None
    detail: str | None
    failed_at: float | None
    accepted_at: float | None
    failed_tries: Mapping[str, int]

    @property
    def open(self) -> int:
        return sum(count for leg, count in self.counts.items() if leg.open)


class Forwarding(ABC):
    """See the module's first lines."""

    # ---------------------------------------------------------------- by the rules
    @abstractmethod
    def arrived(self, quiet_seconds: float, limit: int = 50) -> list[Arrived]:
        """Studies with arrivals that no rule has seen, with no open association that touched them and the
        last arrival at least ``quiet_seconds`` ago."""

    @abstractmethod
    def route(self, arrived: Arrived, destinations: Mapping[str, str], deadline_seconds: float) -> int | None:
        """The rules have seen this study: everything in it that arrived under rules and that a destination
        has no delivery of becomes one (destination: name of the rule), except what came from that
        destination. How many; None: something arrived meanwhile, nothing was changed."""

    # ---------------------------------------------------------------- by a forwarder
    @abstractmethod
    def lease(self, destination: str, owner: str, seconds: float, limit: int, strikes: int) -> list[Delivery]:
        """Up to ``limit`` due deliveries, longest due first; none while the destination is held or pauses.
        One that a forwarder left behind comes alone, with a strike more; with ``strikes`` of them it has
        failed."""

    @abstractmethod
    def renew(self, deliveries: Sequence[Delivery], seconds: float) -> None:
        """Still at it."""

    @abstractmethod
    def sent(self, delivery: Delivery, status: str, comment: str) -> bool:
        """The destination has it. False: the lease was lost."""

    @abstractmethod
    def failed(self, delivery: Delivery, failure: Failure, strikes: int) -> Leg:
        """The try failed: WAITING again, or FAILED with the last of so many strikes. What it is now."""

    @abstractmethod
    def drop(self, delivery: Delivery, reason: str) -> None:
        """There is nothing to send any more."""

    @abstractmethod
    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """They were leased, and not tried."""

    @abstractmethod
    def pause(self, destination: str, failure: Failure) -> None:
        """The destination is in trouble: nothing is leased for it until ``failure.wait`` has passed."""

    @abstractmethod
    def failures(self, destination: str) -> int:
        """How often in a row that was so."""

    @abstractmethod
    def owners(self) -> list[str]:
        """Who has leases now."""

    @abstractmethod
    def abandoned(self, owner: str) -> int:
        """Its process is known to be dead: its leases end now. How many."""

    # ---------------------------------------------------------------- by a person
    @abstractmethod
    def hold(self, which: Which) -> int:
        """Nothing of these is sent until `release`; a destination alone is held with all that comes. How many
        deliveries."""

    @abstractmethod
    def release(self, which: Which) -> int:
        """The end of `hold`."""

    @abstractmethod
    def retry(self, which: Which) -> int:
        """Waiting and failed ones are due now, with no strikes; their destinations' pauses end. How many."""

    @abstractmethod
    def discard(self, which: Which, by: str) -> int:
        """Open ones will not be sent (those being sent just now may be). How many."""

    @abstractmethod
    def send(self, study_instance_uid: str, destination: str, *, by: str, deadline_seconds: float,
             again: bool = False) -> int:
        """All instances of a study become deliveries, whatever the rules say; dropped and failed ones wait
        anew, with ``again`` those that were sent too. How many."""

    # ---------------------------------------------------------------- questions
    @abstractmethod
    def deliveries(self, which: Which, *, page: int = 500) -> Iterator[Delivery]:
        """In the order in which they were made."""

    @abstractmethod
    def queues(self) -> list[Queue]:
        """Every destination that ever had a delivery or was held, by name; from counters."""

    @abstractmethod
    def any_open(self) -> bool:
        """Whether something waits or is being sent."""
