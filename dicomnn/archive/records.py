"""What the index takes and gives, as plain data: objects that arrive, instances, work, studies, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomnn.archive.states import State


@dataclass(frozen=True)
class Received:
    """One object that is durable in the store and wants to become part of the archive.

    digest: of the data set (what duplicates are judged by and restoring is checked against);
    object_sha256, object_size: of the stored file, preamble and File Meta included.
    attributes: snake_case DICOM keywords to str, int, None or, for a sequence, the list of its items;
    all are kept as JSON, and those of ``sql/levels.py`` can be searched.
    described: the version of whoever read them, at least 1 (see `Index.outdated`).
    kept_reason: judged at once, no worker will see it. association: from `association_opened`.
    """

    sop_instance_uid: str
    digest: str
    object_name: str
    object_sha256: str
    object_size: int
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    described: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    profile: str = "lossless"
    kept_reason: str | None = None
    kept_detail: str = ""
    source: str = ""                       # 'c-store', 'import', ...
    calling_ae: str = ""
    called_ae: str = ""
    peer_address: str = ""
    association: str | None = None
    received_at: float | None = None       # None: now
    forward: bool = False                  # rules of forwarding are to look at it (``forwarding.py``)


ATTACHED = "attached"
"""`Received.source` of what is here only because another archive keeps it with us: it goes when the last
attachment that names it goes."""


@dataclass(frozen=True)
class Attachment:
    """Bytes that another archive keeps with us under a name of its own (``uuid``; ``kind`` is that archive's
    number for what it is).

    form: 'file' (``prefix``, then the data set with ``digest`` that came as ``received_uid``), 'head' (the
    first ``size`` bytes of that), or 'object' (an object of its own, as it is or in ``encoding``).
    size, sha256: of the bytes as they came and go.
    """

    uuid: str
    kind: int
    form: str
    size: int
    sha256: str
    received_uid: str | None = None
    digest: str | None = None
    prefix: bytes | None = None
    object_name: str | None = None
    object_size: int | None = None
    encoding: str = ""
    received_at: float | None = None       # None: now


@dataclass(frozen=True)
class Attached:
    """kind: 'new'; 'same' (that name has these bytes already); 'taken' (it has others), 'gone' (a 'head' of
    what is not here): nothing was changed.
    receipt: of the instance, where one was handed in and taken. drop: as in `Receipt`."""

    kind: str
    attachment: Attachment | None = None
    receipt: Receipt | None = None
    drop: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What became of it.

    kind: 'new'; 'same' (already here, not stored twice); 'conflict' (the UID is taken by other
    content: kept in the store as a conflict record, not the instance); 'replaced' (other content,
    and the policy lets the newer win: the older became the conflict record).
    drop: the new object's name when nothing refers to it; it is in the release queue already, so
    deleting it at once is allowed and forgetting it is harmless.
    """

    kind: str
    instance_id: int
    sop_instance_uid: str
    conflict_id: int | None = None
    drop: str | None = None


@dataclass(frozen=True)
class Instance:
    """One instance as the index has it.

    received_uid is the UID it came with; sop_instance_uid the one it has now (another one only
    after a lossy profile). before, after: bytes of the received object and of the present one.
    tried_effort, tried_model: with what it was coded, or tried to be coded, last (None: it is not
    coded, or must never be coded again). recode_effort, recode_by: what it waits or is leased for, and
    who wants it ('asked', 'night'). recode_profile: with another profile than it has.
    """

    id: int
    sop_instance_uid: str
    received_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    state: State
    revision: int
    reason: str | None
    detail: str
    error_code: str | None
    attempts: int
    object_name: str
    object_sha256: str
    object_size: int
    digest: str
    before: int
    profile: str
    model_id: str | None
    attributes: Mapping[str, Any]
    facts: Mapping[str, Any]
    source: str
    calling_ae: str
    called_ae: str
    peer_address: str
    received_at: float
    changed_at: float
    lease_owner: str | None
    lease_until: float | None
    tried_effort: str | None
    tried_model: str | None
    recode_effort: str | None
    recode_by: str | None
    recode_profile: str | None = None

    @property
    def after(self) -> int:
        return self.object_size


@dataclass(frozen=True)
class Located:
    """As much of an instance as sending it needs to be planned; small, because there may be a million."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    coded: bool


@dataclass(frozen=True)
class Work:
    """A leased instance. ``token`` is what every later call is compared with."""

    instance: Instance
    owner: str
    token: str
    attempt: int                           # 1 for the first
    expires_at: float

    @property
    def object_name(self) -> str:
        return self.instance.object_name

    @property
    def digest(self) -> str:
        return self.instance.digest

    @property
    def sop_instance_uid(self) -> str:
        return self.instance.sop_instance_uid


@dataclass(frozen=True)
class Tried:
    """With which effort and which model at hand ('': none) an object was coded, or was found not to
    become smaller. The index orders neither: it only tells them apart."""

    effort: str
    model: str = ""


@dataclass(frozen=True)
class Lift:
    """Which coded instances are to be coded again, and with what effort.

    lower: efforts that are less than ``effort``; older: models that are older than the newest. An
    instance that was tried with one of either is meant. The rest narrows it down: study, modality,
    received_before (seconds since 1970); failed: also those whose last attempt at this failed.
    """

    effort: str
    lower: Sequence[str] = ()
    older: Sequence[str] = ()
    study: str | None = None
    modality: str | None = None
    received_before: float | None = None
    failed: bool = False

    def means(self, tried: Tried) -> bool:
        return tried.effort in self.lower or tried.model in self.older


@dataclass(frozen=True)
class Conflict:
    """Content that came under a UID which another instance has; its bytes stay in the store.

    superseded: this one was the instance before and was replaced by policy. coded: object_name is
    a coded object whose restored data set has ``digest``.
    """

    id: int
    instance_id: int
    sop_instance_uid: str
    study_instance_uid: str
    digest: str
    object_name: str
    object_sha256: str
    object_size: int
    superseded: bool
    coded: bool
    times_seen: int
    calling_ae: str
    peer_address: str
    received_at: float
    attributes: Mapping[str, Any]
    source: str = ""
    transfer_syntax_uid: str = ""
    profile: str = ""


@dataclass(frozen=True)
class Disputed:
    """What objects disagree about. kind 'patients': a study (``uid``) whose objects name several, by Patient
    ID, or by a backslash and the name where there is none; 'studies': a series that is in several."""

    kind: str
    uid: str
    named: tuple[str, ...]


@dataclass(frozen=True)
class Release:
    """A name that nothing refers to any more."""

    object_name: str
    size: int
    due_at: float
    reason: str


@dataclass(frozen=True)
class Study:
    """A study's row; counts are kept with each instance's own transaction.

    pending: instances received or coding. revision: grows with every change that a report shows.
    """

    study_instance_uid: str
    patient_id: str | None
    patient_name: str | None
    study_date: str | None
    study_time: str | None
    accession_number: str | None
    study_description: str | None
    instances: int
    pending: int
    conflicts: int
    bytes_before: int
    bytes_after: int
    last_touched: float
    revision: int
    report_due: bool
    report_at: float | None


@dataclass(frozen=True)
class Held:
    """What the archive held at the end of an hour (``hour``: since 1970). bytes_before, bytes_after: of the
    coded instances; instances: coded and kept."""

    hour: int
    bytes_before: int
    bytes_after: int
    bytes_store: int
    instances: int


@dataclass(frozen=True)
class Status:
    """Figures for `dicomnn status`; from counters, so its cost does not grow with the archive.

    bytes_received: of every object ever accepted. bytes_before and bytes_after: of the coded
    instances, as received and as coded. bytes_store: of all objects the index knows, those waiting
    for release and conflicts included. failures: error code to number of instances given up.
    rate: instances per second over the last ``rate_seconds``: received, coded and kept apart.
    oldest_backlog: when the longest waiting instance arrived.
    coded counts those that are coded again just now too. recode_waiting, recoding: who wants it ('asked',
    'night') to instances that wait to be coded again, and that just now are. recoded, recode_kept: how
    often a smaller object took the place of a coded one, and how often none was found; recode_bytes_*:
    the objects of recoded, before and after. recode_failures: error code to instances whose recoding was
    given up. attachments: names under which another archive keeps something with us. tried: effort to model
    to instances that were coded, or tried to be, with it last.
    """

    backlog: int
    coding: int
    coded: int
    kept: Mapping[str, int]
    deleted: int
    failures: Mapping[str, int]
    retrying: int
    conflicts: int
    duplicates: int
    bytes_received: int
    bytes_before: int
    bytes_after: int
    bytes_store: int
    bytes_index: int
    releases_waiting: int
    rate_seconds: float
    rate: Mapping[str, float]
    oldest_backlog: float | None
    models: Sequence[str] = ()
    recode_waiting: Mapping[str, int] = field(default_factory=dict)
    recoding: Mapping[str, int] = field(default_factory=dict)
    recoded: int = 0
    recode_kept: int = 0
    recode_bytes_before: int = 0
    recode_bytes_after: int = 0
    recode_failures: Mapping[str, int] = field(default_factory=dict)
    attachments: int = 0
    tried: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """No work is left: nothing waits for a worker, nothing is with one. What only the nightly rule
        wants to code again does not count."""
        return not (self.backlog or self.coding or self.recode_asked)

    @property
    def recode_asked(self) -> int:
        """Instances that a person wants coded again and that are not yet."""
        return self.recode_waiting.get("asked", 0) + self.recoding.get("asked", 0)

    @property
    def recode_saved(self) -> int:
        return self.recode_bytes_before - self.recode_bytes_after

    @property
    def kept_total(self) -> int:
        return sum(self.kept.values())


@dataclass(frozen=True)
class Rebuilt:
    """One row made from objects and journal (``check.py``). conflicts: (received, superseded, coded)."""

    received: Received
    state: State
    revision: int = 1
    sop_instance_uid: str | None = None    # present UID, when a lossy profile gave a new one
    reason: str | None = None
    detail: str = ""
    error_code: str | None = None
    model_id: str | None = None
    tried: Tried | None = None
    before: int | None = None
    changed_at: float | None = None
    conflicts: Sequence[tuple[Received, bool, bool]] = ()
    release: Sequence[tuple[str, int]] = ()
