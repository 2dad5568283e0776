"""Compare index and store both ways, and make a lost index again from objects and journal.

The archive cannot read DICOM, so whoever rebuilds gives a callable that describes an object's file.
Comparing streams both sides in order of names; rebuilding holds one small record per instance.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dicomnn.archive import journal
from dicomnn.archive.index import RECODE_FAILED, Index, Rebuilt, Received, Tried
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
        if index.referrer(name) in ("instance", "conflict"):
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
    without_object: UIDs that the journal knows and the store has nothing of. left: objects that
    nobody could describe; they stay where they are."""

    rows: int = 0
    adopted: int = 0
    conflicts: int = 0
    without_object: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unreadable_lines: list[str] = field(default_factory=list)


@dataclass
class _Version:
    """One content that came under a UID: the names it has had, newest last."""

    arrival: dict[str, Any]
    names: list[dict[str, Any]]            # journal lines with object, sha256, size


@dataclass
class _History:
    current: _Version | None = None
    conflicts: list[tuple[_Version, bool]] = field(default_factory=list)    # and whether superseded
    state: State = State.RECEIVED
    reason: str | None = None
    detail: str = ""
    error_code: str | None = None
    revision: int = 0
    changed_at: float | None = None
    model_id: str | None = None
    tried: Tried | None = None
    uid_now: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def _replay(lines: list[dict[str, Any]]) -> _History:
    """One instance's lines. A line whose commit never happened is followed by one of the same revision."""
    history = _History()
    for line in sorted(lines, key=lambda line: (line.get("revision", 0), line.get("time", 0.0))):
        event = line["event"]
        if event == "received":
            _arrival(history, line)
        elif event == "coded" and history.current is not None:
            # The line before may tell of a swap that was never committed, so any earlier name will do.
            if line.get("replaces") in {name["object"] for name in history.current.names}:
                history.current.names.append(line)
                history.state, history.reason, history.detail = State.CODED, None, ""
                history.error_code, history.model_id = None, line.get("model_id")
                history.uid_now, history.facts = line.get("sop_instance_uid"), line.get("facts", {})
                history.tried = _tried(line)
        elif event == "unpacked" and history.current is not None:
            history.current.names.append(line)
            history.current.arrival = {**history.current.arrival, "profile": line.get("profile", "keep")}
            history.state, history.reason, history.detail = State.KEPT, line.get("reason"), ""
            history.error_code = history.model_id = history.tried = None
        elif event == "not-recoded":
            history.tried = _tried(line)
        elif event == RECODE_FAILED:
            history.reason, history.detail = event, line.get("detail", "")
            history.error_code = line.get("error_code")
        elif event == "kept":
            history.state, history.reason = State.KEPT, line.get("reason")
            history.detail, history.error_code = line.get("detail", ""), line.get("error_code")
            history.facts = line.get("facts", history.facts)
        elif event == "retry":
            history.state, history.reason, history.detail, history.error_code = State.RECEIVED, None, "", None
            if line.get("profile") and history.current is not None:
                history.current.arrival = {**history.current.arrival, "profile": line["profile"]}
        elif event == "deleted":
            history.state, history.reason = State.DELETED, line.get("reason")
            history.detail, history.error_code = f"by {line.get('by', '')}", None
        if event not in ("same", "failed") and line.get("kind") != "conflict":
            history.changed_at = line.get("time")
        history.revision = max(history.revision, line.get("revision", 0))
    return history


def _tried(line: Mapping[str, Any]) -> Tried | None:
    """With what a line's object was coded. Lines of before coding again say it in their facts."""
    if line.get("tried_effort") is not None:
        return Tried(line["tried_effort"], line.get("tried_model") or "")
    facts = line.get("facts", {})
    if facts.get("effort") and facts.get("exact") in ("data-set", "pixels"):
        return Tried(facts["effort"], line.get("model_id") or "")
    return None


def _is_coded(line: Mapping[str, Any]) -> bool:
    return line["event"] == "coded"


def _arrival(history: _History, line: dict[str, Any]) -> None:
    version = _Version(line, [line])
    if line.get("kind") == "conflict":
        history.conflicts.append((version, False))
        return
    old = history.current
    known = {other.arrival["digest"] for other, _ in history.conflicts} | {line["digest"]}
    if old is not None and line.get("kind") == "replaced" and old.arrival["digest"] not in known:
        history.conflicts.append((old, True))
    history.current, history.uid_now, history.model_id, history.tried = version, None, None, None
    history.facts = line.get("facts", {})
    history.state = State.KEPT if line.get("reason") else State.RECEIVED
    history.reason, history.detail, history.error_code = line.get("reason"), line.get("detail", ""), None


class _Rebuild:
    def __init__(self, store: Store, describe: Describe) -> None:
        self.store, self.describe, self.report = store, describe, RebuildReport()
        self.present: dict[str, Entry] = {entry.name: entry for entry in store.entries()}
        self.histories: dict[str, _History] = {}
        reading = journal.Reading()
        lines: dict[str, list[dict[str, Any]]] = {}
        self.named: set[str] = set()       # names that the journal explains
        for line in journal.read(store, reading):
            lines.setdefault(str(line.get("uid")), []).append(line)
            if "object" in line:
                self.named.add(line["object"])
        for uid, own in lines.items():
            self.histories[uid] = _replay(own)
        self.report.unreadable_lines = reading.unreadable

    def _described(self, name: str) -> Described | None:
        with self.store.pin(name) as path:
            return self.describe(path)

    def received(self, uid: str, version: _Version,
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
            version = _Version({**line, "size": about.before or line["size"]}, [line])
            history = self.histories.setdefault(uid, _History())
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
                _fall_back(history, line)
            conflicts = []
            for version, superseded in history.conflicts:
                other = self.received(uid, version, {})
                if other is not None:
                    conflicts.append((other[0], superseded, _is_coded(other[1])))
            self.report.conflicts += len(conflicts)
            # names that were on the release queue, in so far as they are still there
            kept = {received.object_name, *(other.object_name for other, *_ in conflicts)}
            gone = [(line["object"], self.present[line["object"]].size) for line in history.current.names
                    if line["object"] in self.present and (deleted or line["object"] not in kept)]
            yield Rebuilt(
                received=received, state=history.state, revision=max(history.revision, 1),
                sop_instance_uid=history.uid_now, reason=history.reason, detail=history.detail,
                error_code=history.error_code, model_id=history.model_id, tried=history.tried,
                before=history.current.arrival["size"], changed_at=history.changed_at,
                conflicts=conflicts, release=gone)


def _fall_back(history: _History, line: Mapping[str, Any]) -> None:
    """Its newest object is gone: what is true of an earlier one, coded or the original, is true now."""
    history.reason, history.detail, history.error_code = None, "", None
    if _is_coded(line):
        history.model_id, history.tried = line.get("model_id"), _tried(line)
        history.uid_now = line.get("sop_instance_uid")
    else:
        history.state, history.model_id, history.tried, history.uid_now = State.RECEIVED, None, None, None


def _from_journal(uid: str, version: _Version, line: Mapping[str, Any], facts: Mapping[str, Any]) -> Received:
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
    work.report.rows = index.rebuild(work.records())
    return work.report
