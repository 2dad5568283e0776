"""Walk 1, the end: a study that is stable gets its quality report, again each time it grows.

Stable means: no association that touched it is open, and the quiet time has passed (the index decides).
It never means complete: senders do not say how many instances a study has, and the report says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom.uid import UID

from dicomnn.archive import Instance, State, Study
from dicomnn.codec.sample import stored_values
from dicomnn.coded.restore import frame as coded_frame
from dicomnn.coded.spool import written_beside
from dicomnn.dicom.eligibility import REASONS
from dicomnn.errors import DicomnnError, InstanceNotFound
from dicomnn.flow.measure import sample, sample_format_of, unit_of
from dicomnn.flow.opening import Archive
from dicomnn.report.figures import Choice, Figure, draw
from dicomnn.report.html import render
from dicomnn.report.quality import Quality, identical
from dicomnn.report.study import (
    Completeness,
    Conflict,
    InstanceRow,
    StudyFacts,
    StudyReport,
    build,
    pictures_to_draw,
)
from dicomnn.version import library_version

CLAIM_SECONDS = 300.0
PENDING_PATIENCE = 600.0        # an unfinished study gets an interim report after this long
FIGURES_FOLDER = "figures"
_PLAIN_UID = re.compile(r"[0-9][0-9.]{0,63}")


# ------------------------------------------------------------------ where reports lie
def report_folder(archive: Archive, study_instance_uid: str) -> Path:
    """The folder of a study's report. A UID that is none (they come off the wire) never becomes a path."""
    name = study_instance_uid
    if not _PLAIN_UID.fullmatch(name):
        name = "other-" + hashlib.sha256(study_instance_uid.encode("utf-8", "replace")).hexdigest()[:32]
    return archive.reports / name


def write_due_report(archive: Archive, quiet_seconds: float) -> str | None:
    """Write the report of one study that is due; its UID, or None when there was nothing to do.

    Several processes may call it at once: each study's revision is claimed in the index.
    """
    for study in archive.index.stable_studies(quiet_seconds, 20):
        now = datetime.now(UTC).timestamp()
        if study.pending and now - study.last_touched < quiet_seconds + PENDING_PATIENCE:
            continue
        if not archive.index.claim_report(study.study_instance_uid, study.revision, CLAIM_SECONDS):
            continue
        write_report(archive, study_report(archive, study.study_instance_uid, quiet_seconds=quiet_seconds,
                                           stable=True))
        archive.index.report_written(study.study_instance_uid, study.revision)
        return study.study_instance_uid
    return None


def write_report(archive: Archive, report: StudyReport) -> Path:
    """report.json and report.html in the archive's reports folder; each appears whole. The folder."""
    folder = report_folder(archive, report.study.study_instance_uid)
    folder.mkdir(parents=True, exist_ok=True)
    with written_beside(folder / "report.json") as file:
        file.write(json.dumps(report.to_json(), ensure_ascii=False, indent=1).encode("utf-8", "replace"))
    with written_beside(folder / "report.html") as file:
        file.write(render(report).encode("utf-8", "replace"))
    return folder


# ------------------------------------------------------------------ gathering
def study_report(archive: Archive, study_instance_uid: str, *, quiet_seconds: float | None = None,
                 stable: bool | None = None, pictures: bool = True) -> StudyReport:
    """The report as it stands now. ``stable`` None: asked from the index with ``quiet_seconds``.

    Raises
    ------
    InstanceNotFound
        The archive has no such study.
    """
    study = archive.index.study(study_instance_uid)
    if study is None:
        raise InstanceNotFound("the archive has no study with this UID", subject=study_instance_uid)
    if stable is None:
        stable = _quiet(study, quiet_seconds)
    conflicts = _conflicts(archive, study_instance_uid)
    instances = {i.sop_instance_uid: i for i in archive.index.instances(study=study_instance_uid,
                                                                        include_deleted=True)}
    rows = [_row(instance, conflicts.get(instance.received_uid, ())) for instance in instances.values()]
    facts = next((i.attributes for i in instances.values()), {})
    made: dict[str, Any] = {
        "completeness": Completeness(stable, _iso(study.last_touched) if stable else "", quiet_seconds),
        "created_at": _iso(datetime.now(UTC).timestamp()), "library_version": library_version()}
    report = build(_study_facts(study, facts), rows, **made)
    if not pictures:
        return report
    figures, notes = [], []
    for choice in pictures_to_draw(report):
        try:
            figures.append(_figure(archive, instances[choice.sop_instance_uid], choice))
        except DicomnnError as error:
            notes.append(f"The picture of {choice.sop_instance_uid}, frame {choice.frame}, could not be "
                         f"drawn: {error.sentence()}")
    return build(_study_facts(study, facts), rows, figures=figures, notes=notes, **made)


def _quiet(study: Study, quiet_seconds: float | None) -> bool:
    now = datetime.now(UTC).timestamp()
    return now - study.last_touched >= (quiet_seconds or 0.0)


def _study_facts(study: Study, attributes: Any) -> StudyFacts:
    def text(value: object) -> str:
        return "" if value is None else str(value)

    return StudyFacts(
        study.study_instance_uid, text(study.patient_name), text(study.patient_id),
        text(attributes.get("patient_birth_date")), text(attributes.get("patient_sex")),
        text(study.study_date), text(study.study_time), text(study.study_description),
        text(study.accession_number))


def _conflicts(archive: Archive, study_instance_uid: str) -> dict[str, tuple[Conflict, ...]]:
    found: dict[str, list[Conflict]] = {}
    for other in archive.index.conflicts(study=study_instance_uid):
        found.setdefault(other.sop_instance_uid, []).append(Conflict(
            other.sop_instance_uid, _iso(other.received_at), other.calling_ae, other.object_size,
            other.digest, "always" if other.superseded else "never"))
    return {uid: tuple(conflicts) for uid, conflicts in found.items()}


def _row(instance: Instance, conflicts: tuple[Conflict, ...]) -> InstanceRow:
    attributes, facts = instance.attributes, instance.facts
    image = facts.get("image") or {}
    coded = instance.state.is_coded
    waiting = instance.state in (State.RECEIVED, State.CODING)
    reason = instance.reason if instance.state is State.KEPT else None
    return InstanceRow.from_facts({
        "sop_instance_uid": instance.sop_instance_uid, "series_instance_uid": instance.series_instance_uid,
        "state": str(State.CODED if coded else instance.state), "bytes_before": instance.before,
        "bytes_after": None if waiting else instance.object_size,
        "sop_class_uid": instance.sop_class_uid, "sop_class_name": UID(instance.sop_class_uid).name,
        "modality": attributes.get("modality") or "", "series_number": attributes.get("series_number"),
        "series_description": attributes.get("series_description") or "",
        "instance_number": attributes.get("instance_number"), "transfer_syntax": instance.transfer_syntax_uid,
        "rows": attributes.get("rows"), "columns": attributes.get("columns"),
        "frames": facts.get("frames") or attributes.get("number_of_frames"),
        "bits_allocated": image.get("bits_allocated"), "bits_stored": image.get("bits_stored"),
        "signed": None if image.get("pixel_representation") is None else image["pixel_representation"] == 1,
        "photometric_interpretation": image.get("photometric_interpretation") or "",
        "profile": facts.get("profile") or instance.profile, "effort": facts.get("effort") or "",
        "model_id": (instance.model_id or "") if coded else "",
        "exact": (facts.get("exact") or "") if coded else "",
        "payload_bytes": facts.get("payload_bytes"), "tiles": facts.get("tiles") or {},
        "received_at": _iso(instance.received_at),
        "coded_at": (facts.get("coded_at") or _iso(instance.changed_at)) if coded else "",
        "seconds": facts.get("seconds"), "reason": reason or "",
        "reason_text": _reason_text(instance) if reason else "", "note": facts.get("note") or "",
        "dataset_digest": instance.digest, "quality": _quality(facts, image) if coded else None,
        "conflicts": conflicts, "lossy": facts.get("lossy"),
    })


def _reason_text(instance: Instance) -> str:
    told = REASONS.get(instance.reason or "", "")
    detail = instance.detail if instance.detail and instance.detail != told else ""
    return f"{told} {detail}".strip()


def _quality(facts: Any, image: Any) -> Quality | None:
    if facts.get("quality"):
        return Quality.from_json(facts["quality"])
    if facts.get("exact") in ("data-set", "pixels"):
        return identical(image.get("bits_stored"), unit_of(image))
    return None


# ------------------------------------------------------------------ pictures
def _figure(archive: Archive, instance: Instance, choice: Choice) -> Figure:
    title = _title(instance, choice)
    stored = _kept_figure(archive, instance, choice)
    if stored is not None:
        return stored
    image = instance.facts.get("image") or {}
    with archive.pin_current(instance.sop_instance_uid) as (_, path):
        words = coded_frame(path, choice.frame - 1, archive.model)
    values = stored_values(words, sample_format_of(image))
    return draw(sample(image, values, series=choice.series_instance_uid, uid=choice.sop_instance_uid,
                       frame=choice.frame, role=choice.role, title=title))


def _title(instance: Instance, choice: Choice) -> str:
    number = instance.attributes.get("instance_number")
    frames = instance.facts.get("frames") or 1
    parts = [f"image {number}" if number is not None else "", f"frame {choice.frame}" if frames > 1 else ""]
    return ", ".join(part for part in parts if part)


def figure_path(archive: Archive, instance: Instance) -> Path:
    """Where the pictures of a lossy instance wait for the report; made when it was coded."""
    return (report_folder(archive, instance.study_instance_uid) / FIGURES_FOLDER
            / f"{instance.id}.json")


def keep_figures(archive: Archive, instance: Instance, figures: list[dict[str, Any]]) -> None:
    """Store pictures that cannot be drawn later, because the original will be gone."""
    target = figure_path(archive, instance)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target) as file:
        file.write(json.dumps(figures).encode("utf-8"))


def _kept_figure(archive: Archive, instance: Instance, choice: Choice) -> Figure | None:
    try:
        stored = json.loads(figure_path(archive, instance).read_bytes())
    except (OSError, ValueError):
        return None
    for data in stored:
        if data.get("frame") == choice.frame:
            shown = {**data, "role": choice.role, "title": _title(instance, choice),
                     "sop_instance_uid": choice.sop_instance_uid}
            return Figure.from_stored(shown)
    return None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
