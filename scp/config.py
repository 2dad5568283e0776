"""The node's configuration: one TOML file, every key with its default here, unknown keys refused.

Environment variables override single keys for containers: ``DICOMNN_NODE_PORT=11112`` sets ``port`` of
``[node]``. Command-line options come last and win.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scp.config_check import check


@dataclass(frozen=True)
class ArchiveSection:
    """[archive] where things are kept."""

    path: str = "dicomnn-archive"
    """Folder of a local archive: objects, index and reports lie in it."""
    store: str = ""
    """URL of the object store; empty: the folder `path`."""
    index: str = ""
    """SQLAlchemy URL of the index; empty: SQLite in the folder `path`."""
    release_grace_seconds: float = 0.0
    """How long an original stays in the store after its coded object was verified and committed."""


@dataclass(frozen=True)
class NodeSection:
    """[node] the DIMSE listener."""

    bind: str = "127.0.0.1"
    """Address to listen on; the default takes connections from this machine only."""
    port: int = 11112
    """TCP port; 0 takes a free one and prints it."""
    ae_title: str = "DICOMNN"
    """The node's own AE title."""
    require_called_ae_title: bool = False
    """Refuse associations that call another AE title than ours."""
    accept_any_peer: bool = False
    """Listen on more than loopback without a list of peers."""
    max_pdu: int = 131072
    """Largest PDU the node takes, bytes."""
    max_associations: int = 32
    """Associations at a time."""
    max_associations_per_peer: int = 16
    """Associations at a time from one address."""
    acse_timeout: float = 30.0
    """Seconds for the handshake."""
    dimse_timeout: float = 60.0
    """Seconds for an answer to a sub-operation."""
    network_timeout: float = 60.0
    """Seconds of silence, or for one PDU, before the association is aborted."""


@dataclass(frozen=True)
class StorageSection:
    """[storage] what happens to objects that do not fit."""

    on_conflict: str = "never"
    """Same UID, other content: 'never' replace the first, replace it 'if-changed', or 'always'."""
    conflict_status: str = "refuse"
    """What the sender of a conflicting object is told, which is kept: 'refuse' (0111) or 'warn' (B000)."""
    on_identity_mismatch: str = "keep"
    """The command names another instance than the data set: 'refuse' (A900), or 'keep' it under the
    command's UID with a warning (B007)."""
    minimum_free_bytes: int = 268435456
    """With less space than this left in the store, C-STORE is answered A700 (try again later)."""


@dataclass(frozen=True)
class QuerySection:
    """[query] what C-FIND answers."""

    max_answers: int = 50000
    """A query with more matches is refused (A700), never cut silently; 0: no limit."""
    coded_availability: str = "ONLINE"
    """Instance Availability of what is stored coded: ONLINE, or NEARLINE where restoring is slow."""


@dataclass(frozen=True)
class WebSection:
    """[web] the HTTP server: the application at /, DICOMweb at /dicom-web."""

    bind: str = "127.0.0.1"
    """Address to listen on; the default takes connections from this machine only, any other needs a user."""
    port: int = 8080
    """TCP port; 0 takes a free one and prints it. -1: no HTTP server."""
    threads: int = 8
    """Requests that are answered at a time."""
    max_upload: int = 4294967296
    """Largest body of one request, bytes."""
    cache_bytes: int = 536870912
    """Memory for restored frames that were asked for lately or may be asked for next; 0: none."""
    trusted_proxy: str = ""
    """Address of a reverse proxy (HTTPS) whose X-Forwarded-For and -Proto are believed; empty: nobody's."""
    origins: str = ""
    """Origins of web pages elsewhere whose scripts may read DICOMweb answers, with spaces between; *: any."""


@dataclass(frozen=True)
class CodingSection:
    """[coding] the workers."""

    workers: int = 0
    """Worker processes; 0: one per CPU core. -1: none (everything stays as received)."""
    profile: str = "lossless"
    """keep, lossless, bounded:N or lossy:FIGURE=VALUE, for what no rule names."""
    effort: str = "default"
    """fast, default or max, for what no rule names."""
    lease_seconds: float = 60.0
    """How long a worker may be silent before its work is given to another one."""


@dataclass(frozen=True)
class Rule:
    """[[rules]] profile and effort for some instances; the first rule that matches wins. Empty: any."""

    profile: str = "lossless"
    """The profile asked for."""
    effort: str = ""
    """fast, default or max; empty: that of [coding]."""
    ae_title: str = ""
    """Calling AE title."""
    modality: str = ""
    """Modality (0008,0060)."""
    sop_class_uid: str = ""
    """SOP Class UID."""
    body_part: str = ""
    """Body Part Examined (0018,0015)."""


@dataclass(frozen=True)
class LossySection:
    """[lossy] what holds for every lossy profile."""

    caps: str = "strictest"
    """Highest ratios by modality: 'strictest' of the guidelines, or 'drg-2008' (CT of the body 8, MR 7)."""
    compare: bool = True
    """Find out for the report what JPEG 2000 would have needed: some eight codings of one frame an object."""


@dataclass(frozen=True)
class RecodeSection:
    """[recode] coding again what is stored, when there is nothing else to do."""

    effort: str = ""
    """Lift what was coded with less effort than this (default or max); empty: off."""
    model: str = "newest"
    """newest: lift also what was coded with an older model; any: the effort alone decides."""
    between: str = "22:00-05:00"
    """Hours of the day, local time, in which it may be done."""
    after_days: float = 1.0
    """Only what arrived at least so many days ago."""
    limit_per_night: int = 0
    """At most so many instances a night; 0: as many as the time allows."""


@dataclass(frozen=True)
class StudySection:
    """[study] stability and reports."""

    quiet_seconds: float = 30.0
    """A study is stable when no association that touched it is open and this time passed."""
    reports: bool = True
    """Write a quality report for each stable study, again when it grows."""


@dataclass(frozen=True)
class PluginSection:
    """[plugin] Orthanc's plugin: the archive as its storage area (docs/orthanc.md)."""

    listen: str = ""
    """Where the plugin finds the node: 127.0.0.1:11181 (this machine only) or a socket's path; empty: off."""
    secret_file: str = ""
    """File with the secret that both sides know, 16 characters or more; nobody else may read it."""
    max_bytes: int = 4294967296
    """Largest attachment that is taken."""


@dataclass(frozen=True)
class LogSection:
    """[log] what is written to standard error."""

    level: str = "info"
    """debug, info, warning or error."""
    json: bool = False
    """One JSON object per line instead of text."""


@dataclass(frozen=True)
class MetricsSection:
    """[metrics] a small HTTP listener of its own: /metrics for Prometheus, /healthz, /readyz. No patient
    data."""

    enabled: bool = False
    """Listen."""
    bind: str = "127.0.0.1"
    """Address to listen on; it answers everybody who reaches it."""
    port: int = 11180
    """TCP port; 0 takes a free one (`dicomnn status` shows it)."""


@dataclass(frozen=True)
class PeerRule:
    """[[peers]] an allowed caller. Without any, everybody who reaches the listener is served."""

    ae_title: str = "*"
    """Calling AE title; * is any."""
    address: str = ""
    """IP address or network (10.1.2.0/24); empty: any."""
    compress: str = ""
    """What C-GET sends it images in, if it takes that: 'jpeg-ls', 'jpeg-2000', 'htj2k'; empty: native."""


@dataclass(frozen=True)
class DestinationRule:
    """[[destinations]] a peer to which C-MOVE may send. It must know us too."""

    ae_title: str = ""
    """Its AE title: what the Move Destination of a request names."""
    host: str = ""
    """Its name or IP address."""
    port: int = 104
    """Its TCP port."""
    compress: str = ""
    """What it is sent images in, if it takes that: 'jpeg-ls', 'jpeg-2000', 'htj2k'; empty: native."""


@dataclass(frozen=True)
class ForwardRule:
    """[[forward]] which studies are sent on, and where to. A study is sent as a whole when one of its
    instances fits; every rule that fits counts. Empty: any."""

    to: tuple[str, ...] = ()
    """AE titles of [[destinations]]."""
    modality: str = ""
    """Modality (0008,0060)."""
    ae_title: str = ""
    """Calling AE title of whoever sent it to us."""
    description: str = ""
    """Study Description (0008,1030), in upper or lower case; * stands for anything, ? for one character."""


@dataclass(frozen=True)
class ForwardingSection:
    """[forwarding] how studies are sent on."""

    quiet_seconds: float = 30.0
    """A study is sent on when no association that touched it is open and nothing new came for this long."""
    first_pause_seconds: float = 10.0
    """After a failure; doubled with each further one, give or take a quarter."""
    longest_pause_seconds: float = 600.0
    """The longest such pause."""
    attempts: int = 10
    """What a destination refused so often, while it takes others, waits for a person; it is not dropped."""
    deadline_hours: float = 24.0
    """What was not delivered after this time is overdue: an error in the log, `dicomnn status` and the
    metrics. It is tried on."""
    at_once: int = 32
    """Instances over one association."""


@dataclass(frozen=True)
class Config:
    archive: ArchiveSection = field(default_factory=ArchiveSection)
    node: NodeSection = field(default_factory=NodeSection)
    storage: StorageSection = field(default_factory=StorageSection)
    query: QuerySection = field(default_factory=QuerySection)
    web: WebSection = field(default_factory=WebSection)
    coding: CodingSection = field(default_factory=CodingSection)
    lossy: LossySection = field(default_factory=LossySection)
    recode: RecodeSection = field(default_factory=RecodeSection)
    study: StudySection = field(default_factory=StudySection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    plugin: PluginSection = field(default_factory=PluginSection)
    log: LogSection = field(default_factory=LogSection)
    rules: tuple[Rule, ...] = ()
    peers: tuple[PeerRule, ...] = ()
    destinations: tuple[DestinationRule, ...] = ()
    forward: tuple[ForwardRule, ...] = ()
    forwarding: ForwardingSection = field(default_factory=ForwardingSection)

    @property
    def folder(self) -> Path:
        return Path(self.archive.path).absolute()

    @property
    def worker_count(self) -> int:
        if self.coding.workers < 0:
            return 0
        return self.coding.workers or max(1, os.cpu_count() or 1)

    def with_(self, section: str, **values: Any) -> Config:
        """A copy with some values of one section replaced, checked again."""
        changed = dataclasses.replace(getattr(self, section), **values)
        return check(dataclasses.replace(self, **{section: changed}))


LISTS: dict[str, type] = {"rules": Rule, "peers": PeerRule, "destinations": DestinationRule,
                           "forward": ForwardRule}
