"""What the journal's lines say about one instance: its contents, their objects, and how its life went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dicomnn.archive.index import RECODE_FAILED, Tried
from dicomnn.archive.records import ATTACHED
from dicomnn.archive.states import State


@dataclass
class Version:
    """One content that came under a UID: the names it has had, newest last."""

    arrival: dict[str, Any]
    names: list[dict[str, Any]]            # journal lines with object, sha256, size


@dataclass
class History:
    current: Version | None = None
    conflicts: list[tuple[Version, bool]] = field(default_factory=list)    # and whether superseded
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
    dropped: list[Version] = field(default_factory=list)


def replay(lines: list[dict[str, Any]]) -> History:
    """One instance's lines. A line whose commit never happened is followed by one of the same revision."""
    history = History()
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
            history.detail, history.error_code = f"by {line['by']}" if line.get("by") else "", None
        elif event == "same" and line.get("claimed") and history.current is not None:
            _claimed(history, line)
        elif event in ("conflict-dropped", "promoted"):
            _conflict_gone(history, line)
        if event not in ("same", "failed", "conflict-dropped") and line.get("kind") != "conflict":
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


def is_coded(line: Mapping[str, Any]) -> bool:
    return line["event"] == "coded"


def _arrival(history: History, line: dict[str, Any]) -> None:
    version = Version(line, [line])
    if line.get("kind") == "conflict":
        history.conflicts.append((version, False))
        return
    old = history.current
    known = {other.arrival["digest"] for other, _ in history.conflicts} | {line["digest"]}
    if old is not None and line.get("kind") == "replaced" and old.arrival["digest"] not in known:
        history.conflicts.append((old, True))
    _come(history, version)


def _come(history: History, version: Version) -> None:
    """This content is the instance now."""
    line = version.arrival
    history.current, history.uid_now, history.model_id, history.tried = version, None, None, None
    history.facts = line.get("facts", {})
    history.state = State.KEPT if line.get("reason") else State.RECEIVED
    history.reason, history.detail, history.error_code = line.get("reason"), line.get("detail", ""), None


def _claimed(history: History, line: Mapping[str, Any]) -> None:
    """What was here only for attachments arrived by another way."""
    assert history.current is not None
    for version in (history.current, *(other for other, _ in history.conflicts)):
        if version.arrival["digest"] == line.get("digest") and version.arrival.get("source") == ATTACHED:
            version.arrival |= {"source": line["claimed"], "calling_ae": line.get("calling_ae", ""),
                                "peer_address": line.get("peer_address", "")}


def _conflict_gone(history: History, line: Mapping[str, Any]) -> None:
    """A conflict record went with its attachments, or took the place of what went."""
    for item in history.conflicts:
        version = item[0]
        if line.get("object") in {name["object"] for name in version.names}:
            history.conflicts.remove(item)
            if line["event"] == "promoted":
                if history.current is not None:
                    history.dropped.append(history.current)
                _come(history, version)
            else:
                history.dropped.append(version)
            return


def fall_back(history: History, line: Mapping[str, Any]) -> None:
    """Its newest object is gone: what is true of an earlier one, coded or the original, is true now."""
    history.reason, history.detail, history.error_code = None, "", None
    if is_coded(line):
        history.model_id, history.tried = line.get("model_id"), _tried(line)
        history.uid_now = line.get("sop_instance_uid")
    else:
        history.state, history.model_id, history.tried, history.uid_now = State.RECEIVED, None, None, None
