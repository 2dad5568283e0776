"""What the lists and the node's page show: studies, newest first or found, and the archive's figures."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from dicomnn.archive import State, Study
from dicomnn.archive.accounts import Upload
from dicomnn.conditions import Condition, DateRange, Name, OneOf, Wildcard
from dicomnn.dicom.eligibility import REASONS
from dicomnn.flow.opening import Archive
from dicomnn.flow.study import study_report
from dicomnn.report.promises import groups
from dicomnn.report.reading import person

PAGE = 50
MOST_FOUND = 300
MOST_FAILURES = 50
DAY = 86400.0
_MODALITIES = "modalities_in_study"


@dataclass(frozen=True)
class StudyLine:
    """A study in a list. modalities, sorted; uploaded_by: whoever uploaded it last from a page, else '';
    lossy: something of it is."""

    study: Study
    modalities: tuple[str, ...]
    uploaded_by: str = ""
    lossy: bool = False

    @property
    def saved(self) -> int:
        return self.study.bytes_before - self.study.bytes_after

    @property
    def ratio(self) -> float | None:
        return self.study.bytes_before / self.study.bytes_after if self.study.bytes_after else None

    @property
    def state(self) -> str:
        """'coding' while something waits or is with a worker, else 'done'."""
        return "coding" if self.study.pending else "done"


@dataclass(frozen=True)
class Listing:
    """lines; more: (last_touched, UID) after which the next page begins; cut: more match than are shown."""

    lines: list[StudyLine]
    more: tuple[float, str] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is searched for. text: part of name, patient ID, accession number or description; dates as
    YYYYMMDD."""

    text: str = ""
    modality: str = ""
    first: str = ""
    last: str = ""

    @property
    def nothing(self) -> bool:
        return not (self.text.strip("* ") or self.modality or self.first or self.last)


def studies(archive: Archive, wanted: Wanted, before: tuple[float, str] | None = None) -> Listing:
    """Newest first; everything in pages, or what is found."""
    index = archive.index
    if wanted.nothing:
        rows = index.recent_studies(PAGE + 1, before=before)
        shown = rows[:PAGE]
        last = shown[-1] if len(rows) > PAGE else None
        return Listing(
            _lines(archive, shown), None if last is None else (last.last_touched, last.study_instance_uid)
        )
    found: dict[str, None] = {}
    for conditions in _searches(wanted):
        room = MOST_FOUND + 1 - len(found)
        rows_found = index.find("study", conditions, wanted=["study_instance_uid"])
        found |= {row["study_instance_uid"]: None for row in islice(rows_found, max(0, room))}
    there = [study for uid in list(found)[:MOST_FOUND] if (study := index.study(uid)) and study.instances]
    there.sort(key=lambda study: (study.last_touched, study.study_instance_uid), reverse=True)
    return Listing(_lines(archive, there), cut=len(found) > MOST_FOUND)


def _searches(wanted: Wanted) -> Iterable[list[Condition]]:
    """Each is a query of its own; what meets one of them is shown."""
    common: list[Condition] = []
    if wanted.modality:
        common.append(OneOf(_MODALITIES, (wanted.modality,)))
    if wanted.first or wanted.last:
        common.append(DateRange("study_date", wanted.first or None, wanted.last or None))
    text = wanted.text.replace("*", "?").strip()
    if not text:
        yield common
        return
    pattern = (f"*{text}*",)
    name = (f"*{text}*", "*" + "*".join(text.replace(",", " ").split()) + "*")
    yield [Name("patient_name", name), *common]
    for attribute in ("patient_id", "accession_number", "study_description"):
        yield [Wildcard(attribute, pattern), *common]
    if text.replace(".", "").isdigit():
        yield [OneOf("study_instance_uid", (text,)), *common]


def _lines(archive: Archive, rows: Sequence[Study]) -> list[StudyLine]:
    if not rows:
        return []
    uids = tuple(row.study_instance_uid for row in rows)
    kinds: dict[str, tuple[str, ...]] = {}
    for start in range(0, len(uids), 200):
        for found in archive.index.find(
            "study",
            [OneOf("study_instance_uid", uids[start : start + 200])],
            wanted=["study_instance_uid", _MODALITIES],
        ):
            kinds[found["study_instance_uid"]] = tuple(sorted(filter(None, found.get(_MODALITIES) or ())))
    lossy = archive.index.lossy_studies(uids)
    lines = []
    for row in rows:
        uploads = archive.index.accounts.uploads(1, study=row.study_instance_uid)
        lines.append(
            StudyLine(
                row,
                kinds.get(row.study_instance_uid, ()),
                uploads[0].who if uploads else "",
                row.study_instance_uid in lossy,
            )
        )
    return lines


def uploads_of(archive: Archive, study: str) -> list[Upload]:
    """Who uploaded to a study, newest first."""
    return archive.index.accounts.uploads(20, study=study)


def progress(archive: Archive, upload: Upload) -> dict[str, Any]:
    """How far an upload is: its files, and the coding of the studies that they belong to."""
    studies_there = [study for uid in upload.studies if (study := archive.index.study(uid)) is not None]
    total = sum(study.instances for study in studies_there)
    pending = sum(study.pending for study in studies_there)
    remarks = [] if pending else _remarks(archive, studies_there)
    return {
        "arrived": upload.arrived,
        "same": upload.same,
        "failed": upload.failed,
        "bytes": upload.bytes,
        "instances": total,
        "coded": total - pending,
        "pending": pending,
        "remarks": remarks,
        "bytes_before": sum(study.bytes_before for study in studies_there),
        "bytes_after": sum(study.bytes_after for study in studies_there),
        "studies": [
            {
                "uid": study.study_instance_uid,
                "name": study.patient_name or "",
                "description": study.study_description or "",
                "instances": study.instances,
                "pending": study.pending,
                "bytes_before": study.bytes_before,
                "bytes_after": study.bytes_after,
            }
            for study in studies_there
        ],
    }


def _remarks(archive: Archive, rows: Sequence[Study]) -> list[dict[str, str]]:
    """Where another profile was applied than was asked for, and why, as of the items of an upload."""
    return [
        {"name": person(row.patient_name or "no name"), "outcome": "note", "message": group.remark}
        for row in rows
        for group in groups(study_report(archive, row.study_instance_uid, pictures=False))
        if group.remark
    ]


# ---------------------------------------------------------------------- the node
def node_figures(archive: Archive) -> dict[str, Any]:
    """Plain data for the node's page: status, the last day by minutes, the archive's life by hours."""
    status = archive.status()
    now = time.time()
    free = archive.store.free_bytes()
    return {
        "now": now,
        "backlog": status.backlog,
        "coding": status.coding,
        "coded": status.coded,
        "kept": dict(status.kept),
        "kept_total": status.kept_total,
        "deleted": status.deleted,
        "retrying": status.retrying,
        "conflicts": status.conflicts,
        "failures": dict(status.failures),
        "duplicates": status.duplicates,
        "recode_waiting": status.recode_asked,
        "oldest_backlog_seconds": None if status.oldest_backlog is None else now - status.oldest_backlog,
        "rate": dict(status.rate),
        "rate_seconds": status.rate_seconds,
        "bytes_received": status.bytes_received,
        "bytes_before": status.bytes_before,
        "bytes_after": status.bytes_after,
        "bytes_store": status.bytes_store,
        "bytes_index": status.bytes_index,
        "bytes_free": free,
        "bytes_disk": _disk(archive),
        "models": list(status.models),
        "activity": {
            kind: [list(point) for point in points]
            for kind, points in archive.index.activity(now - DAY).items()
        },
        "history": [asdict(held) for held in archive.index.history()],
    }


def _disk(archive: Archive) -> int | None:
    """Bytes of the whole disk that a local store lies on."""
    try:
        return shutil.disk_usage(archive.store.scratch).total
    except OSError:
        return None


def reasons(kept: dict[str, int]) -> list[tuple[str, int, str]]:
    """(reason, instances, sentence) of what was kept, most first."""
    return sorted(
        ((reason, count, REASONS.get(reason, "")) for reason, count in kept.items()),
        key=lambda entry: -entry[1],
    )


def failures(archive: Archive) -> list[dict[str, Any]]:
    """Instances that were given up, a few of them, with what went wrong."""
    found = [
        *islice(archive.index.instances(state=State.KEPT, reason="failed"), MOST_FAILURES),
        *islice(archive.index.instances(state=State.CODED, reason="recode-failed"), MOST_FAILURES),
    ]
    return [
        {
            "uid": instance.sop_instance_uid,
            "study": instance.study_instance_uid,
            "reason": instance.reason,
            "code": instance.error_code or "",
            "detail": instance.detail,
            "at": instance.changed_at,
            "attempts": instance.attempts,
        }
        for instance in found
    ]
