"""Compare index and store both ways, and make a lost index again from objects and journal.

The archive cannot read DICOM, so whoever rebuilds gives a callable that describes an object's file.
Comparing streams both sides in order of names; rebuilding holds one small record per instance.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dicomnn.archive import journal
from dicomnn.archive.index import Attachment, Index, Rebuilt, Received, Tried
from dicomnn.archive.replay import History, Version, fall_back, is_coded, replay
from dicomnn.archive.states import State
from dicomnn.archive.store import Entry, Store
from dicomnn.errors import ObjectMissing


@dataclass(frozen=True)
class Finding:
    """kind: 'missing' (the index names it, the store lacks it), 'size' (the store's is of another
    size), 'orphan' (nothing names it). size: the store's, None when missing."""

    kind: str
    object_name: str
    referred_by: str | None
    size: int | None
    expected_size: int | None


def compare(store: Store, index: Index, *, min_age: float = 3600.0,
            now: float | None = None) -> Iterator[Finding]:
    """Every difference, while the archive is in use. Orphans younger than ``min_age`` seconds may be
    on their way into the index and are left out; what a swap moved meanwhile is asked for again."""
    now = time.time() if now is None else now
    objects, names = iter(store.entries()), iter(index.object_names())
    entry, named = next(objects, None), next(names, None)
    while entry is not None or named is not None:
        if named is None or (entry is not None and entry.name < named[0]):
            assert entry is not None
            if entry.modified <= now - min_age and index.referrer(entry.name) is None:
                yield Finding("orphan", entry.name, None, entry.size, None)
            entry = next(objects, None)
            continue
        name, expected, by = named
        found = entry if entry is not None and entry.name == name else None
        if by != "release":                # what waits for release may be gone or going
            if found is None:
                yield from _missing(store, index, name, expected, by)
            elif found.size != expected:
                yield Finding("size", name, by, found.size, expected)
        named = next(names, None)
        if found is not None and (named is None or named[0] != name):
            entry = next(objects, None)


def _missing(store: Store, index: Index, name: str, expected: int, by: str) -> Iterator[Finding]:
    try:
        size = store.size(name)            # put after the listing passed its place
    except ObjectMissing:
        if index.referrer(name) in ("instance", "conflict", "attachment"):
            yield Finding("missing", name, by, None, expected)
    else:
        if size != expected:
            yield Finding("size", name, by, size, expected)


@dataclass(frozen=True)
class Described:
    """What an object's own bytes say. digest: of the (restored) data set. coded: it holds a payload
    instead of pixels. before: bytes of the received object, if a coded one says so. received_uid: the
    UID it came with, when a lossy profile gave it another. tried: with what a coded one was coded; None
    where it must not be coded again."""

    sop_instance_uid: str
    digest: str
    coded: bool = False
    sop_class_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    attributes: Mapping[str, str | int | float | None] = field(default_factory=dict)
    model_id: str | None = None
    tried: Tried | None = None
    before: int | None = None
    received_uid: str | None = None


Describe = Callable[[Path], "Described | None"]
"""None: not an object that we know how to read."""


@dataclass
class RebuildReport:
    """rows: instances made, tombstones included. adopted: of these, known from the object alone.
    without_object: UIDs that the journal knows and the store has nothing of, and attachments. left: objects
    that nobody could describe; they stay where they are."""

    rows: int = 0
    attachments: int = 0
    adopted: int = 0
    conflicts: int = 0
    without_object: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unreadable_lines: list[str] = field(default_factory=list)


class _Rebuild:
    def __init__(self, store: Store, describe: Describe) -> None:
        self.store, self.describe, self.report = store, describe, RebuildReport()
        self.present: dict[str, Entry] = {entry.name: entry for entry in store.entries()}
        self.histories: dict[str, History] = {}
        self.attached: dict[str, dict[str, Any]] = {}
        detached: dict[str, float] = {}
        reading = journal.Reading()
        lines: dict[str, list[dict[str, Any]]] = {}
        self.named: set[str] = set()       # names that the journal explains
        for line in journal.read(store, reading):
            if line["event"] == "attached":
                self.attached[line["uuid"]] = line
            elif line["event"] == "detached":
                detached[line["uuid"]] = line.get("time", 0.0)
            else:
                lines.setdefault(str(line.get("uid")), []).append(line)
            if "object" in line:
                self.named.add(line["object"])
        self.removed: list[str] = []       # objects that were an attachment's own
        for uuid, gone_at in detached.items():
            if uuid in self.attached and self.attached[uuid]["time"] <= gone_at:
                line = self.attached.pop(uuid)
                if line.get("object") in self.present:
                    self.removed.append(line["object"])
        self.digests: set[tuple[str, str]] = set()         # (received UID, digest) of what is there again
        for uid, own in lines.items():
            self.histories[uid] = replay(own)
        self.report.unreadable_lines = reading.unreadable

    def _described(self, name: str) -> Described | None:
        with self.store.pin(name) as path:
            return self.describe(path)

    def received(self, uid: str, version: Version,
                 facts: Mapping[str, Any]) -> tuple[Received, dict[str, Any]] | None:
        """The newest object of this content that is there, and the line that tells of it."""
        for line in reversed(version.names):
            name = line["object"]
            if name not in self.present:
                continue
            own = facts if line is version.names[-1] else line.get("facts", {})
            base = _from_journal(uid, version, line, own)
            about = self._described(name)
            if about is not None:
                base = replace(base, sop_class_uid=about.sop_class_uid, attributes=about.attributes,
                               study_instance_uid=about.study_instance_uid,
                               series_instance_uid=about.series_instance_uid)
            return base, line
        return None

    def adopt(self) -> None:
        """Objects that the journal does not explain: their own bytes must do."""
        for name in sorted(self.present.keys() - self.named):
            about = self._described(name)
            if about is None:
                self.report.left.append(name)
                continue
            uid = about.received_uid or about.sop_instance_uid
            line = {"event": "coded" if about.coded else "received",
                    "object": name, "size": self.present[name].size, "sha256": self._sha256(name),
                    "digest": about.digest, "source": "rebuilt",
                    "transfer_syntax_uid": about.transfer_syntax_uid,
                    "received_at": self.present[name].modified}
            version = Version({**line, "size": about.before or line["size"]}, [line])
            history = self.histories.setdefault(uid, History())
            if history.current is None:
                history.current, history.revision, history.model_id = version, 1, about.model_id
                history.tried = about.tried
                history.state = State.CODED if about.coded else State.RECEIVED
                history.uid_now = about.sop_instance_uid if about.sop_instance_uid != uid else None
                self.report.adopted += 1
            elif history.current.arrival["digest"] != about.digest:
                history.conflicts.append((version, False))
            elif not any(item["object"] in self.present for item in history.current.names):
                history.current.names.append(line)     # a copy of what is otherwise gone
                history.model_id, history.tried = about.model_id, about.tried
                history.state = State.CODED if about.coded else State.RECEIVED
            else:
                self.report.left.append(name)

    def _sha256(self, name: str) -> str:
        hasher = hashlib.sha256()
        with self.store.open(name) as source:
            while chunk := source.read(1 << 20):
                hasher.update(chunk)
        return hasher.hexdigest()

    def records(self) -> Iterator[Rebuilt]:
        for uid, history in sorted(self.histories.items()):
            if history.current is None:
                continue
            deleted = history.state is State.DELETED
            made = self.received(uid, history.current, history.facts)
            if made is None and not deleted:
                self.report.without_object.append(uid)
                for version, _ in history.conflicts:
                    self.report.left.extend(line["object"] for line in version.names
                                            if line["object"] in self.present)
                continue
            if made is None:
                last = history.current.names[-1]
                made = _from_journal(uid, history.current, last, history.facts), last
            received, line = made
            if history.state is State.CODED and line is not history.current.names[-1]:
                fall_back(history, line)
            conflicts = []
            for version, superseded in history.conflicts:
                other = self.received(uid, version, {})
                if other is not None:
                    conflicts.append((other[0], superseded, is_coded(other[1])))
            self.report.conflicts += len(conflicts)
            # names that were on the release queue, in so far as they are still there
            kept = {received.object_name, *(other.object_name for other, *_ in conflicts)}
            past = [line for version in (*history.dropped, history.current) for line in version.names]
            gone = [(line["object"], self.present[line["object"]].size) for line in past
                    if line["object"] in self.present and (deleted or line["object"] not in kept)]
            self.digests |= {(uid, item.digest) for item in (
                *([] if deleted else [received]), *(other for other, *_ in conflicts))}
            yield Rebuilt(
                received=received, state=history.state, revision=max(history.revision, 1),
                sop_instance_uid=history.uid_now, reason=history.reason, detail=history.detail,
                error_code=history.error_code, model_id=history.model_id, tried=history.tried,
                before=history.current.arrival["size"], changed_at=history.changed_at,
                conflicts=conflicts, release=gone)


    def attachments(self) -> Iterator[Attachment]:
        """To be read after `records`: what they refer to must be there."""
        for uuid, line in sorted(self.attached.items()):
            uid, prefix = line.get("uid") or None, line.get("prefix")
            if line.get("object") not in self.present and (uid, line.get("digest")) not in self.digests:
                self.report.without_object.append(uuid)
                continue
            self.report.attachments += 1
            yield Attachment(
                uuid, line["kind"], line["form"], line["size"], line["sha256"], uid, line.get("digest"),
                None if prefix is None else base64.b64decode(prefix), line.get("object"),
                line.get("object_size"), line.get("encoding", ""), line.get("received_at"))


def _from_journal(uid: str, version: Version, line: Mapping[str, Any], facts: Mapping[str, Any]) -> Received:
    """What the journal alone says about one object (``line``) of a content."""
    came = version.arrival
    texts = ("sop_class_uid", "study_instance_uid", "series_instance_uid", "transfer_syntax_uid", "source",
             "calling_ae", "called_ae", "peer_address")
    return Received(
        sop_instance_uid=uid, digest=came["digest"], object_name=line["object"], object_sha256=line["sha256"],
        object_size=line["size"], facts=facts, profile=came.get("profile", "lossless"),
        received_at=came.get("received_at"), **{name: came.get(name, "") for name in texts})


def rebuild(store: Store, index: Index, describe: Describe) -> RebuildReport:
    """Fill an empty index from the store alone. `IndexFailed` if the index is not empty.

    States, reasons, times and peers come from the journal; attributes from the objects, through
    ``describe``. What the journal does not know is adopted from its bytes; leases are not kept."""
    work = _Rebuild(store, describe)
    work.adopt()
    work.report.rows = index.rebuild(work.records(), work.attachments())
    store.delete(*work.removed)
    return work.report
