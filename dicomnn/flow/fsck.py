"""Index against store, both ways; journal, models, attachments; and on request every byte of every object.

Looking changes nothing and may be done while a node works: what a swap moves meanwhile is asked for again,
and what is younger than an hour may be on its way in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dicomnn.archive import journal
from dicomnn.archive.check import compare
from dicomnn.archive.index import Attachment, Conflict, Instance, Received
from dicomnn.archive.local import LocalStore
from dicomnn.archive.states import State
from dicomnn.coded.restore import check
from dicomnn.dicom.attributes import VERSION
from dicomnn.errors import DicomnnError, InstanceNotFound, ObjectMissing
from dicomnn.flow.attachments import Attachments
from dicomnn.flow.ingest import Policy
from dicomnn.flow.opening import Archive
from dicomnn.flow.rebuild import describe_object

KINDS = {
    "missing": "the index names an object that the store does not have",
    "size": "an object has another size than the index says",
    "damaged": "an object's bytes are not those that were stored",
    "orphan": "an object that nothing names",
    "journal": "a line of the journal cannot be read",
    "model": "coded objects need a model that is not there",
    "sums": "a counter differs from what it counts",
    "attachment": "an attachment refers to what is not there",
    "attachment-orphan": "an attachment that the archive which stored it does not know",
    "attachment-missing": "that archive names an attachment that is not here",
}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Problem:
    """kind: of KINDS. done: what was done about it, empty when nothing was."""

    kind: str
    subject: str
    detail: str = ""
    done: str = ""


@dataclass
class Report:
    """space: bytes by what they are for. notes: what looks odd and is no problem."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    space: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    attachments: int = 0
    objects_read: int = 0

    @property
    def left(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.done]


class Check:
    """One run. ``known``: the attachments that the archive which stores them with us knows."""

    def __init__(self, archive: Archive, *, deep: bool = False, repair: bool = False,
                 known: set[str] | None = None, min_age: float = 3600.0, now: float,
                 told: Progress = lambda _: None) -> None:
        self.archive, self.deep, self.repair = archive, deep, repair
        self.known, self.min_age, self.now, self.told = known, min_age, now, told
        self.report = Report()
        self._models: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()

    def run(self) -> Report:
        """Everything, in an order in which what is repaired first helps what comes later."""
        self.told("attachments")
        for attachment in self.archive.index.attachments():
            self._attachment(attachment)
        self._attachments_elsewhere()
        self.told("index and store")
        for finding in compare(self.archive.store, self.archive.index, min_age=self.min_age, now=self.now):
            if finding.kind == "orphan":
                self._orphan(finding.object_name, finding.size or 0)
            else:
                detail = (f"{finding.referred_by}: {finding.expected_size} bytes expected, "
                          f"{finding.size or 'none'} there")
                self._problem(finding.kind, finding.object_name, detail)
        self.told("instances")
        for instance in self.archive.index.instances():
            self._instance(instance)
        for conflict in self.archive.index.conflicts():
            self._conflict(conflict)
        self._journal()
        self._models_there()
        self._sums()
        self._space_beside()
        return self.report

    def _problem(self, kind: str, subject: str, detail: str = "", done: str = "") -> None:
        self.report.problems.append(Problem(kind, subject, detail, done))

    # ------------------------------------------------------------------ objects that nothing names
    def _orphan(self, name: str, size: int) -> None:
        detail = f"{size} bytes"
        self.report.space["orphans"] += size
        if not self.repair:
            self._problem("orphan", name, detail)
            return
        store = self.archive.store
        with store.pin(name) as path:
            about = describe_object(path)
        if about is not None and self._is_there(about.received_uid or about.sop_instance_uid, about.digest):
            store.delete(name)
            self._problem("orphan", name, detail, "deleted: its content is in the archive under another name")
        elif about is not None and not about.coded:
            receipt = self.archive.receive(Received(
                sop_instance_uid=about.sop_instance_uid, digest=about.digest, object_name=name,
                object_sha256=_sha256(self.archive, name), object_size=size,
                sop_class_uid=about.sop_class_uid,
                study_instance_uid=about.study_instance_uid, series_instance_uid=about.series_instance_uid,
                transfer_syntax_uid=about.transfer_syntax_uid, attributes=about.attributes, described=VERSION,
                source="fsck"))
            self._problem("orphan", name, detail, f"taken in as {about.sop_instance_uid} ({receipt.kind})")
        elif about is not None:
            self._problem("orphan", name, f"{detail}; a coded object of {about.sop_instance_uid} that the "
                                          "index does not know: --rebuild-index takes it in")
        elif isinstance(store, LocalStore):
            self._problem("orphan", name, detail, f"moved to {store.set_aside(name)}")
        else:
            self._problem("orphan", name, f"{detail}; nobody can say what it is")

    def _is_there(self, uid: str, digest: str) -> bool:
        """Whether the index has this content, and the store the object it names."""
        index = self.archive.index
        try:
            instance = index.get(uid)
            names = [instance.object_name] if (
                instance.digest == digest and instance.state is not State.DELETED) else []
            names += [c.object_name for c in index.conflicts(sop_instance=uid) if c.digest == digest]
            for name in names:
                self.archive.store.size(name)
            return bool(names)
        except (InstanceNotFound, ObjectMissing):
            return False

    # ------------------------------------------------------------------ what the index knows
    def _instance(self, instance: Instance) -> None:
        kind = "coded" if instance.state.is_coded else "kept" if instance.state is State.KEPT else "waiting"
        self.report.instances += 1
        self.report.space[kind] += instance.object_size
        self._counted[kind] += 1
        if instance.state.is_coded:
            self._counted["before"] += instance.before
            self._counted["after"] += instance.object_size
        if instance.model_id:
            self._models[instance.model_id] += 1
        if self.deep:
            self._read(instance.sop_instance_uid, instance.object_name, instance.object_sha256,
                       instance.digest if instance.state.is_coded else None)

    def _conflict(self, conflict: Conflict) -> None:
        self.report.space["conflicts"] += conflict.object_size
        if self.deep:
            self._read(conflict.sop_instance_uid, conflict.object_name, conflict.object_sha256,
                       conflict.digest if conflict.coded else None)

    def _read(self, subject: str, name: str, sha256: str, digest: str | None) -> None:
        """Every byte; a coded object (``digest``: of what came in) is decoded too."""
        self.told(subject)
        self.report.objects_read += 1
        try:
            if _sha256(self.archive, name) != sha256:
                self._problem("damaged", subject, f"object {name}: other bytes than were stored")
            elif digest is not None:
                with self.archive.store.pin(name) as path:
                    manifest = check(path, self.archive.model, strict=True).manifest
                if digest not in (manifest.original_dataset_digest, manifest.dataset_digest):
                    self._problem("damaged", subject, f"object {name} is of another data set")
        except ObjectMissing:
            if self.archive.index.referrer(name) is not None:      # else it was swapped just now
                self._problem("missing", name, f"of {subject}")
        except DicomnnError as error:
            self._problem("damaged", subject, f"object {name}: {error}")

    # ------------------------------------------------------------------ attachments
    def _attachment(self, attachment: Attachment) -> None:
        uuid = attachment.uuid
        self.report.attachments += 1
        self.report.space["attachments"] += attachment.object_size or 0
        if self.known is not None and uuid not in self.known and (
                (attachment.received_at or 0.0) <= self.now - self.min_age):
            done = "forgotten" if self.repair and self.archive.index.detach(uuid) else ""
            self._problem("attachment-orphan", uuid, f"{attachment.size} bytes", done)
            if done:
                return
        if self.known is not None:
            self.known.discard(uuid)
        if attachment.received_uid is not None and not self._refers(attachment):
            self._problem("attachment", uuid, f"data set {attachment.digest} of {attachment.received_uid}")
        elif self.deep:
            self._give(attachment)

    def _refers(self, attachment: Attachment) -> bool:
        uid, index = attachment.received_uid or "", self.archive.index
        for _ in range(2):                 # a conflict record may take the place of another content meanwhile
            try:
                instance = index.get(uid)
            except InstanceNotFound:
                return False
            if (instance.digest == attachment.digest and instance.state is not State.DELETED) or any(
                    conflict.digest == attachment.digest for conflict in index.conflicts(sop_instance=uid)):
                return True
        return index.attachment(attachment.uuid) is None

    def _give(self, attachment: Attachment) -> None:
        """Exactly as the other archive would read it."""
        self.told(attachment.uuid)
        self.report.objects_read += 1
        hasher = hashlib.sha256()
        try:
            with Attachments(self.archive, Policy()).give(attachment.uuid) as given:
                for chunk in given.chunks():
                    hasher.update(chunk)
        except InstanceNotFound:
            return                         # it was removed just now
        except DicomnnError as error:
            self._problem("damaged", f"attachment {attachment.uuid}", str(error))
            return
        if hasher.hexdigest() != attachment.sha256:
            self._problem("damaged", f"attachment {attachment.uuid}", "other bytes than were stored")

    def _attachments_elsewhere(self) -> None:
        for uuid in sorted(self.known or ()):
            self._problem("attachment-missing", uuid)

    # ------------------------------------------------------------------ journal, models, sums, space
    def _journal(self) -> None:
        store, reading = self.archive.store, journal.Reading()
        for _ in journal.read(store, reading):
            pass
        for place in reading.unreadable:
            name, _, number = place.rpartition(":")
            lines = sum(1 for _ in store.read_log(name))
            if int(number) == lines:       # its process died while it wrote: nothing was acknowledged
                self.report.notes.append(f"the last line of journal {name} is torn")
            else:
                self._problem("journal", place)

    def _models_there(self) -> None:
        for model_id, count in sorted(self._models.items()):
            try:
                self.archive.model(model_id)
            except DicomnnError as error:
                self._problem("model", model_id, f"of {count} objects: {error}")

    def _sums(self) -> None:
        """Only told when nothing is at work: a sum and its count are read one after the other."""
        status = self.archive.status()
        said = {"coded": status.coded, "kept": status.kept_total, "waiting": status.backlog + status.coding,
                "before": status.bytes_before, "after": status.bytes_after}
        if not status.idle or any(self.archive.index.due_releases(1)):
            return
        for name, value in said.items():
            if value != self._counted[name]:
                self._problem("sums", name, f"{value} said, {self._counted[name]} counted")

    def _space_beside(self) -> None:
        space, store = self.report.space, self.archive.store
        for _, size, by in self.archive.index.object_names():
            if by == "release":
                space["to be deleted"] += size
        for name in store.models():
            space["models"] += len(store.get_model(name) or b"")
        space["index"] = self.archive.status().bytes_index
        if isinstance(store, LocalStore):
            for name in ("journal", "incoming", "reports", "set-aside"):
                space[name] = sum(path.stat().st_size for path in _files(store, name))


def _files(store: LocalStore, name: str) -> Iterator[Any]:
    return (path for path in (store.root / name).rglob("*") if path.is_file())


def _sha256(archive: Archive, name: str) -> str:
    hasher = hashlib.sha256()
    with archive.store.open(name) as source:
        while chunk := source.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()
