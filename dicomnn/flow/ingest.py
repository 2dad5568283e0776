"""Walk 1, first half: a data set comes in, becomes durable, and is acknowledged by the index.

Order: file synced, renamed, folder synced (all in `Incoming.commit`), journal and index committed (in
`Index.receive`), and only then does `finish` return. A caller that answers its peer after `finish` has
kept the promise "received is durable before it is acknowledged".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dicomnn.archive.index import Received
from dicomnn.archive.store import Incoming
from dicomnn.coded.mapping import Mapping
from dicomnn.dicom.attributes import VERSION, read_attributes
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomError, IdentifierInvalid, StoreFull
from dicomnn.flow.opening import Archive
from dicomnn.flow.part10 import file_prefix

MALFORMED = "malformed"


class IdentityMismatch(IdentifierInvalid):
    """The data set is of another instance or class than its command says. data_set_uid: '' if it has none."""

    def __init__(self, message: str, *, subject: str | None = None, data_set_uid: str = "") -> None:
        super().__init__(message, subject=subject)
        self.data_set_uid = data_set_uid


@dataclass(frozen=True)
class ProfileRule:
    """Asks for ``profile`` and ``effort`` ('': the usual one) where every field that is not empty equals the
    instance's."""

    profile: str
    ae_title: str = ""
    modality: str = ""
    sop_class_uid: str = ""
    body_part: str = ""
    effort: str = ""

    def told(self, number: int) -> str:
        """As the record of an instance names it: 'rule 2 (modality CT, body_part CHEST)'."""
        names = ("ae_title", "modality", "sop_class_uid", "body_part")
        wanted = ", ".join(f"{name} {getattr(self, name)}" for name in names if getattr(self, name))
        return f"rule {number} ({wanted or 'any instance'})"

    def matches(self, ae_title: str, attributes: dict[str, Any]) -> bool:
        return all(not wanted or wanted == str(there or "") for wanted, there in (
            (self.ae_title, ae_title),
            (self.modality, attributes.get("modality")),
            (self.sop_class_uid, attributes.get("sop_class_uid")),
            (self.body_part, attributes.get("body_part_examined")),
        ))


@dataclass(frozen=True)
class Policy:
    """What is done with what arrives. conflict_status: 'refuse' or 'warn' (both objects are kept either way).
    keep_mismatched: store an object whose data set names another instance than the command. forward: rules of
    forwarding are to look at what arrives (``flow/forward.py``)."""

    profile: str = "lossless"
    rules: Sequence[ProfileRule] = ()
    conflict_status: str = "refuse"
    keep_mismatched: bool = True
    minimum_free_bytes: int = 0
    forward: bool = False


@dataclass(frozen=True)
class Command:
    """What the sender said about the data set before it came, and who the sender is.

    study_instance_uid: of the study that it must belong to, '' for any.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str = ""
    called_ae: str = ""
    peer_address: str = ""
    association: str | None = None
    source: str = "c-store"
    study_instance_uid: str = ""


@dataclass(frozen=True)
class Outcome:
    """kind: 'new', 'same', 'conflict' or 'replaced', as the index judged. note: a reason code or ''."""

    kind: str
    sop_instance_uid: str
    study_instance_uid: str
    note: str = ""
    mismatch: bool = False


@dataclass
class Arrival:
    """One data set on its way in. Either `Ingest.finish` or `abort` ends it."""

    command: Command
    incoming: Incoming
    dataset_start: int
    _hasher: Any = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, data: bytes) -> None:
        """The next bytes of the data set. Raises StoreFull or StoreFailed."""
        self.incoming.write(data)
        self._hasher.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        """SHA-256 of the data set so far, without the File Meta in front of it."""
        return str(self._hasher.hexdigest())

    def abort(self) -> None:
        self.incoming.abort()


class Ingest:
    """The way in, for any protocol. Thread-safe: each arrival is independent.

    owner: the node, for the archive's list of who is sending just now.
    """

    def __init__(self, archive: Archive, policy: Policy, owner: str = "") -> None:
        self.archive = archive
        self.policy = policy
        self.owner = owner

    @contextmanager
    def visit(self, *, calling_ae: str = "", peer_address: str = "") -> Iterator[str]:
        """What stands for an association where there is none: a token for `Command.association`. Studies that
        are sent to within the block are not stable before it is left."""
        token = self.archive.index.association_opened(calling_ae=calling_ae, peer_address=peer_address,
                                                      owner=self.owner)
        try:
            yield token
        finally:
            self.archive.index.association_closed(token)

    def open(self, command: Command, prefix: bytes = b"") -> Arrival:
        """Begin an arrival. prefix: the preamble and File Meta that the data set came with; without one it
        gets those of ``part10.file_prefix``.

        Raises
        ------
        StoreFull
            Less than the configured space is left: say "try again later" before anything is sent.
        StoreFailed
            The store cannot take files.
        """
        free = self.archive.store.free_bytes()
        if free is not None and free < self.policy.minimum_free_bytes:
            raise StoreFull(f"only {free} bytes are free in the store", subject=command.sop_instance_uid)
        incoming = self.archive.store.create()
        try:
            prefix = prefix or file_prefix(command.sop_class_uid, command.sop_instance_uid,
                                           command.transfer_syntax_uid)
            incoming.write(prefix)
        except BaseException:
            incoming.abort()
            raise
        return Arrival(command, incoming, len(prefix))

    def finish(self, arrival: Arrival) -> Outcome:
        """Judge, make durable, index. On return the instance survives a power cut.

        Raises
        ------
        IdentifierInvalid
            The data set is empty, or names another instance or class than the command (PS3.4 B.2.3).
        StoreFull, StoreFailed, IndexFailed
            It is not durable; nothing may be acknowledged. The caller aborts the arrival (harmless
            after a commit: what the index may have taken is never deleted here).
        """
        command = arrival.command
        if arrival.size == 0:
            raise IdentifierInvalid("the data set is empty", subject=command.sop_instance_uid)
        attributes, kept_reason, kept_detail = self._read(arrival)
        mismatch = self._check_identity(command, attributes)
        profile = next((rule.profile for rule in self.policy.rules
                        if rule.matches(command.calling_ae, attributes)), self.policy.profile)
        digest = arrival.digest
        name = arrival.incoming.commit()
        receipt = self.archive.receive(Received(
            sop_instance_uid=command.sop_instance_uid,
            digest=digest,
            object_name=name,
            object_sha256=arrival.incoming.sha256,
            object_size=arrival.incoming.size,
            sop_class_uid=command.sop_class_uid,
            study_instance_uid=_text(attributes.get("study_instance_uid")),
            series_instance_uid=_text(attributes.get("series_instance_uid")),
            transfer_syntax_uid=command.transfer_syntax_uid,
            attributes=attributes,
            described=VERSION,
            facts={"dataset_bytes": arrival.size},
            profile=profile,
            kept_reason=kept_reason,
            kept_detail=kept_detail,
            source=command.source,
            calling_ae=command.calling_ae,
            called_ae=command.called_ae,
            peer_address=command.peer_address,
            association=command.association,
            forward=self.policy.forward,
        ))
        return Outcome(receipt.kind, command.sop_instance_uid, _text(attributes.get("study_instance_uid")),
                       kept_reason or "", mismatch)

    def _read(self, arrival: Arrival) -> tuple[dict[str, Any], str | None, str]:
        """The attributes to index; for a data set that cannot be parsed none, and why it is kept."""
        path = arrival.incoming.path
        if path is None:
            return {}, None, ""
        try:
            with Mapping(path) as mapping:
                layout = scan(mapping.buffer)
                found = read_attributes(mapping.buffer, layout).known()
        except DicomError as error:
            return {}, MALFORMED, error.message
        return found, None, ""

    def _check_identity(self, command: Command, attributes: dict[str, Any]) -> bool:
        """True: another identity, and the policy keeps such objects under the command's UID."""
        pairs = (("SOP Instance UID", command.sop_instance_uid, attributes.get("sop_instance_uid")),
                 ("SOP Class UID", command.sop_class_uid, attributes.get("sop_class_uid")))
        study = str(attributes.get("study_instance_uid") or "")
        if command.study_instance_uid and study != command.study_instance_uid:
            raise IdentifierInvalid("it is not of the study that it was sent to",
                                    subject=command.sop_instance_uid)
        for name, said, there in pairs:
            if there and str(there) != said:
                if self.policy.keep_mismatched:
                    return True
                raise IdentityMismatch(f"the data set's {name} is not that of the command",
                                       subject=command.sop_instance_uid,
                                       data_set_uid=_text(attributes.get("sop_instance_uid")))
        return False


def _text(value: object) -> str:
    return "" if value is None else str(value)

