"""The index: what the archive knows about each instance, and the only place where states change.

This file is the interface, ``records.py`` has its plain data, ``sql/`` implements it with SQLAlchemy
Core. Every method is thread-safe; several processes may share one index. A method that changes something
returns after its commit is durable. Times are seconds since 1970, UTC. Digests are hexadecimal
SHA-256. Raises `IndexFailed` when the database fails: nothing was acknowledged, but a commit whose
answer was lost may have happened, so never delete an object because of `IndexFailed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dicomnn.archive.forwarding import Forwarding
from dicomnn.archive.records import (
    Attached,
    Attachment,
    Conflict,
    Disputed,
    Held,
    Instance,
    Lift,
    Located,
    Rebuilt,
    Receipt,
    Received,
    Release,
    Status,
    Study,
    Tried,
    Work,
)
from dicomnn.archive.states import State
from dicomnn.conditions import Condition

if TYPE_CHECKING:
    from dicomnn.archive.accounts import Accounts
    from dicomnn.archive.journal import Journal
    from dicomnn.archive.store import Hook

ASKED, NIGHT = "asked", "night"
"""Who wants an instance to be coded again: a person, or the nightly rule."""
RECODE_FAILED = "recode-failed"
"""Reason of a coded instance, and event of the journal, when it could not be coded again."""
UNPACKED = "decompressed"
"""Reason of an instance that a person wanted as it was received."""
CONFLICT_POLICIES = ("never", "if-changed", "always")
INDEX_POINTS = ("index.begun", "index.executed", "journal.written", "index.committing", "index.committed")


class Index(ABC):
    """See the module's first lines."""

    url: str
    forwarding: Forwarding

    @property
    @abstractmethod
    def accounts(self) -> Accounts:
        """Users, their sessions, and what they did."""

    # ---------------------------------------------------------------- arrival
    @abstractmethod
    def receive(self, received: Received) -> Receipt:
        """Take an object over, in one transaction with all counters; its commit is shared with
        other threads' (see ``commit_queue.py``). Call it after `Incoming.commit`."""

    @abstractmethod
    def association_opened(self, *, calling_ae: str = "", peer_address: str = "", owner: str = "") -> str:
        """A token for `Received.association`: studies it touches are not stable while it is open.
        owner: the node, for `forget_associations`."""

    @abstractmethod
    def association_closed(self, association: str) -> None:
        """Its studies' quiet time begins now."""

    @abstractmethod
    def forget_associations(self, owner: str) -> int:
        """Close what a node that died has left open; a node calls it when it starts. How many."""

    # ---------------------------------------------------------------- what another archive keeps with us
    @abstractmethod
    def attach(self, attachment: Attachment, received: Received | None = None) -> Attached:
        """Take bytes over under another archive's name, in one transaction with the instance that they
        are (``received``, for form 'file'). Call it after `Incoming.commit`; safe to be called again."""

    @abstractmethod
    def detach(self, uuid: str) -> bool:
        """Forget a name. What nothing else refers to, and what did not arrive by another way too, is deleted
        or goes to the release queue. False: there is no such name."""

    @abstractmethod
    def attachment(self, uuid: str) -> Attachment | None: ...

    @abstractmethod
    def attachments_of(self, received_uid: str) -> list[Attachment]:
        """A few of the form 'file', newest first."""

    @abstractmethod
    def attachments(self, *, page: int = 500) -> Iterator[Attachment]:
        """All, in order of their names, in keyset pages."""

    # ---------------------------------------------------------------- work
    @abstractmethod
    def lease(self, owner: str, seconds: float, limit: int = 1) -> list[Work]:
        """Up to ``limit`` instances for ``owner`` until ``seconds`` from now, longest waiting first;
        leases that ran out are taken over, or given up after the last attempt."""

    @abstractmethod
    def renew(self, work: Work, seconds: float) -> bool:
        """False: the lease was lost; stop working on it."""

    @abstractmethod
    def coded(self, work: Work, object_name: str, *, object_sha256: str, object_size: int,
              model_id: str | None = None, tried: Tried | None = None,
              facts: Mapping[str, Any] | None = None, sop_instance_uid: str | None = None) -> bool:
        """Swap to the verified coded object. The name of the one before is released after the grace time.
        tried: with what it was coded; None: it must never be coded again (what is lossy).
        sop_instance_uid: a lossy profile's new UID. False: the lease was lost, nothing changed, and
        the new object's name is in the release queue."""

    @abstractmethod
    def kept(self, work: Work, reason: str, detail: str = "", *, tried: Tried | None = None,
             facts: Mapping[str, Any] | None = None) -> bool:
        """It stays as it is: KEPT as received, or, if it was leased to be coded again, CODED as before,
        and not meant again by a `Lift` that goes no further than ``tried``. False: the lease was lost,
        nothing changed."""

    @abstractmethod
    def failed(self, work: Work, error_code: str, message: str) -> State:
        """The attempt failed: due again after a growing pause, or given up after the last attempt, with
        reason 'failed' (KEPT) or 'recode-failed' (CODED as before). The state it is in now (any, if the
        lease was lost)."""

    @abstractmethod
    def retry(self, *, sop_instance_uid: str | None = None, reason: str | None = None) -> int:
        """Give one kept instance, or all kept for ``reason``, back to the workers; how many."""

    # ---------------------------------------------------------------- coding again
    @abstractmethod
    def recodable(self, lift: Lift, *, page: int = 500) -> Iterator[Instance]:
        """The coded instances that `ask_again` would take now."""

    @abstractmethod
    def ask_again(self, lift: Lift, limit: int | None = None, *,
                  told: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """A person wants the instances that ``lift`` means coded again: they become due for whoever asks
        `lease_again`. (How many, bytes of their present objects.) Safe to be called twice. There may be
        millions: ``told`` hears the sums so far, after each commit."""

    @abstractmethod
    def ask_as(self, sop_instance_uid: str, *, profile: str, effort: str, by: str) -> bool:
        """A person wants one instance with another profile; 'keep' is as it came. What is coded without
        loss waits as for `ask_again`, what is kept waits as what has just come. False: neither."""

    @abstractmethod
    def unpacked(self, work: Work, object_name: str, *, object_sha256: str, object_size: int,
                 profile: str) -> bool:
        """Swap what was leased to be coded again to its restored original, KEPT. False: the lease was lost,
        nothing changed, and the new object's name is in the release queue."""

    @abstractmethod
    def ask_tonight(self, lift: Lift, limit: int, *, night: str, per_night: int = 0) -> int:
        """The nightly rule wants up to ``limit`` more, in the night of that name at most ``per_night`` in
        all (0: any number), over all processes. How many."""

    @abstractmethod
    def call_off(self) -> int:
        """Forget all such wishes; what is being coded again just now is finished. How many."""

    @abstractmethod
    def lease_again(self, owner: str, seconds: float, limit: int = 1, *, night: bool = False) -> list[Work]:
        """`lease` for what is to be coded again; what only the nightly rule wants only if ``night``.
        ``Work.instance.recode_effort`` says with what effort."""

    # ---------------------------------------------------------------- the end
    @abstractmethod
    def delete(self, sop_instance_uid: str, *, reason: str, by: str) -> bool:
        """Tombstone it; the object goes after the grace time. False: there is no such instance.
        Raises `InUse` when attachments refer to it."""

    @abstractmethod
    def due_releases(self, limit: int = 100) -> list[Release]:
        """Names whose grace time is over and which nothing refers to; delete them from the store,
        then call `released`. Two callers at once do no harm."""

    @abstractmethod
    def released(self, object_names: Iterable[str]) -> None: ...

    # ---------------------------------------------------------------- questions
    @abstractmethod
    def get(self, sop_instance_uid: str) -> Instance:
        """By its present UID, or by the one it came with. `InstanceNotFound`; tombstones are found."""

    @abstractmethod
    def instances(self, *, study: str | None = None, series: str | None = None,
                  sop_instance: str | None = None, state: State | None = None,
                  reason: str | None = None, include_deleted: bool = False,
                  page: int = 500) -> Iterator[Instance]:
        """In order of arrival, read in keyset pages; no transaction stays open between them."""

    @abstractmethod
    def conflicts(self, *, study: str | None = None, sop_instance: str | None = None,
                  page: int = 500) -> Iterator[Conflict]: ...

    @abstractmethod
    def disputed(self) -> Iterator[Disputed]:
        """Studies of several patients, and series in several studies; looks through all of them."""

    @abstractmethod
    def study(self, study_instance_uid: str) -> Study | None: ...

    @abstractmethod
    def studies(self, *, page: int = 500) -> Iterator[Study]:
        """In order of UID, in keyset pages."""

    @abstractmethod
    def recent_studies(self, limit: int, *, before: tuple[float, str] | None = None) -> list[Study]:
        """Studies that have instances, last touched first; ``before``: (last_touched, UID) of the one after
        which to go on."""

    @abstractmethod
    def lossy_studies(self, uids: Sequence[str]) -> set[str]:
        """Those of these studies that hold something lossy."""

    @abstractmethod
    def activity(self, since: float) -> dict[str, list[tuple[float, int]]]:
        """What happened in each minute since then (of at most a day ago): kind ('received', 'coded', ...)
        to (start of the minute, how often)."""

    @abstractmethod
    def remember(self) -> None:
        """Write down what the archive holds now as what it held at the end of this hour."""

    @abstractmethod
    def history(self) -> list[Held]:
        """Hour by hour, oldest first; hours without a running node are left out."""

    @abstractmethod
    def status(self, rate_seconds: float = 300.0) -> Status: ...

    @abstractmethod
    def find(self, level: str, conditions: Sequence[Condition], *, wanted: Iterable[str] = (),
             page: int = 500) -> Iterator[dict[str, Any]]:
        """What meets all conditions at ``level`` ('patient', 'study', 'series', 'instance'): a row for each,
        attributes by name, in order of their UIDs (patients: of their IDs; instances: of arrival).

        A row has what its level and, where ``wanted`` or a condition names one of them, those above
        know. ``wanted``: also numbers and lists that are counted (number_of_..., modalities_in_study,
        sop_classes_in_study; as lists and integers), and 'coded'. What lies below the level is a ValueError.
        Raises `IdentifierInvalid` when a list of values is too long for one statement."""

    @abstractmethod
    def locate(self, conditions: Sequence[Condition], *, page: int = 5000) -> Iterator[Located]:
        """The instances that meet all conditions, in order of arrival: `find` for many of them."""

    @abstractmethod
    def more_than(self, level: str, conditions: Sequence[Condition], limit: int) -> bool:
        """Whether `find` would give more than ``limit`` rows; it does not look further than that."""

    # ---------------------------------------------------------------- attributes that are read again
    @abstractmethod
    def outdated(self, version: int, limit: int = 100) -> list[Instance]:
        """Instances whose attributes were read by an older reader than ``version``, tombstones too."""

    @abstractmethod
    def describe(self, instance: Instance, attributes: Mapping[str, Any] | None, version: int) -> bool:
        """What an instance's object says, read anew; None: as it is known. What it tells of its study,
        series and patient fills what is unknown of them. False: it has other content now, or was read."""

    # ---------------------------------------------------------------- stable studies and reports
    @abstractmethod
    def stable_studies(self, quiet_seconds: float, limit: int = 100) -> list[Study]:
        """Studies whose report is due, which nobody has claimed, with no open association that
        touched them and the last arrival at least ``quiet_seconds`` ago. ``Study.pending`` says how
        many of its instances still wait for a worker."""

    @abstractmethod
    def claim_report(self, study_instance_uid: str, revision: int, seconds: float) -> bool:
        """True: the report of this revision is yours for ``seconds``."""

    @abstractmethod
    def report_written(self, study_instance_uid: str, revision: int) -> bool:
        """The report of ``revision`` is there. False: the study changed meanwhile; still due."""

    # ---------------------------------------------------------------- checking
    @abstractmethod
    def object_names(self) -> Iterator[tuple[str, int, str]]:
        """(name, size, what refers to it) in order of names: 'instance', 'conflict', 'attachment' or
        'release'."""

    @abstractmethod
    def referrer(self, object_name: str) -> str | None:
        """What refers to an object now (see `object_names`), or None."""

    @abstractmethod
    def rebuild(self, records: Iterable[Rebuilt], attached: Iterable[Attachment] = ()) -> int:
        """Fill an empty index; how many instances. `IndexFailed` if it is not empty."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_index(url: str, *, journal: Journal | None = None, policy: str = "never",
               grace_seconds: float = 0.0, attempts: int = 3, back_off: float = 30.0,
               clock: Callable[[], float] | None = None, hook: Hook | None = None) -> Index:
    """The index at a SQLAlchemy URL, brought to the newest schema.

    policy: what happens to other content under a known UID (see `CONFLICT_POLICIES`).
    grace_seconds: how long a released object stays. attempts: how often coding is tried.
    back_off: seconds before the second attempt; doubled for each further one, at most an hour.
    """
    from dicomnn.archive.sql.index import SqlIndex

    return SqlIndex(url, journal=journal, policy=policy, grace_seconds=grace_seconds, attempts=attempts,
                    back_off=back_off, clock=clock, hook=hook)
