"""A study's report as typed data, and as stable JSON (docs/report.md).

``build`` takes rows of plain data and derives everything else; nothing is stored twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from dicomnn.report.figures import Candidate, Choice, Figure, choose
from dicomnn.report.loss import Loss, sentences, summed
from dicomnn.report.quality import Quality, pooled

SCHEMA = "dicomnn-study-report"
SCHEMA_VERSION = 1
CONTENDERS = ("neural", "jpegls", "constant", "raw")
WAITING = ("received", "coding")


@dataclass(frozen=True)
class Conflict:
    """A second object that came with the UID of one already there and with other bytes."""

    sop_instance_uid: str
    time: str = ""
    calling_ae_title: str = ""
    bytes: int | None = None
    digest: str = ""
    policy: str = "never"
    """What the archive did: 'never' kept the first as the instance and the second aside as evidence."""


@dataclass(frozen=True)
class InstanceRow:
    """What is known of one instance. Sizes are bytes of whole files; times are ISO 8601, UTC."""

    sop_instance_uid: str
    series_instance_uid: str
    state: str
    """received, coding, coded, kept or deleted (design: life of an instance)."""
    bytes_before: int
    bytes_after: int | None = None
    """What is stored for it; None while it waits (then the original is still what is stored)."""
    sop_class_uid: str = ""
    sop_class_name: str = ""
    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    instance_number: int | None = None
    transfer_syntax: str = ""
    """UID, as received."""
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    bits_allocated: int | None = None
    bits_stored: int | None = None
    signed: bool | None = None
    photometric_interpretation: str = ""
    profile: str = ""
    effort: str = ""
    model_id: str = ""
    exact: str = ""
    """What comes back: 'data-set', 'pixels', 'bounded' or 'lossy'; '' while not coded."""
    payload_bytes: int | None = None
    tiles: Mapping[str, int] = field(default_factory=dict)
    """Tiles won per contender."""
    received_at: str = ""
    coded_at: str = ""
    seconds: float | None = None
    """Coding and checking together."""
    reason: str = ""
    """Why it was kept: a code of the table of reasons."""
    reason_text: str = ""
    note: str = ""
    dataset_digest: str = ""
    quality: Quality | None = None
    conflicts: tuple[Conflict, ...] = ()
    lossy: Loss | None = None
    """Where a lossy profile was asked for."""

    @property
    def pixels(self) -> int:
        """Pixels of all frames; 0 when there are none or they are not known."""
        return (self.rows or 0) * (self.columns or 0) * (self.frames or 1)

    @property
    def stored(self) -> int:
        """Bytes stored for it now."""
        return self.bytes_before if self.bytes_after is None else self.bytes_after

    @property
    def bits_per_pixel(self) -> float | None:
        """Of the payload, container included."""
        return 8 * self.payload_bytes / self.pixels if self.payload_bytes and self.pixels else None

    @property
    def loss_ratio(self) -> float | None:
        """What the data set states as Lossy Image Compression Ratio; None of what is exact or not known."""
        if self.exact == "lossy" and self.lossy is not None:
            return self.lossy.ratio_bits_stored
        if self.exact == "bounded" and self.payload_bytes and self.bits_allocated:
            return self.pixels * self.bits_allocated / 8 / self.payload_bytes
        return None

    def to_json(self) -> dict[str, Any]:
        data = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        data["tiles"] = dict(self.tiles)
        data["quality"] = None if self.quality is None else self.quality.to_json()
        data["conflicts"] = [asdict(conflict) for conflict in self.conflicts]
        data["lossy"] = None if self.lossy is None else self.lossy.to_json()
        data["ratio"] = ratio(self.bytes_before, self.stored)
        data["bits_per_pixel"] = self.bits_per_pixel
        return data

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> InstanceRow:
        """From plain data with this class's field names; keys that it does not know are left out."""
        known = {key: facts[key] for key in cls.__dataclass_fields__ if key in facts}
        quality = known.get("quality")
        if isinstance(quality, Mapping):
            known["quality"] = Quality.from_json(quality)
        if isinstance(known.get("lossy"), Mapping):
            known["lossy"] = Loss.from_json(known["lossy"])
        known["conflicts"] = tuple(
            conflict if isinstance(conflict, Conflict) else Conflict(**_known(Conflict, conflict))
            for conflict in known.get("conflicts") or ())
        known["tiles"] = dict(known.get("tiles") or {})
        return cls(**known)


@dataclass(frozen=True)
class Completeness:
    """How it was decided that a study can be reported. It is never known to be complete."""

    stable: bool
    stable_since: str = ""
    quiet_seconds: float | None = None
    associations_closed: int | None = None
    associations_open: int | None = None
    source: str = "archive"
    """'archive' or 'files' (a folder was read; nothing is known of how it came to be)."""

    def sentence(self) -> str:
        """The decision in words, without a claim that cannot be made."""
        if self.source == "files":
            return ("Made from the files that were given. Whether they are all of the study cannot be known "
                    "from them: no claim that the study is complete.")
        closed = ("" if self.associations_closed is None
                  else f"{_count(self.associations_closed, 'association')} closed, none open, and ")
        if not self.stable:
            running = (f" {_count(self.associations_open, 'association')} still open."
                       if self.associations_open else "")
            return ("Still growing: the study was touched a short time ago."
                    f"{running} The report will be written again.")
        quiet = f" for {self.quiet_seconds:g} s" if self.quiet_seconds is not None else ""
        since = moment(self.stable_since) or "an unknown time"
        return (f"Stable since {since}: "
                f"{closed}nothing more arrived{quiet}. "
                "Senders do not say how many images a study has: no claim that the study is complete.")


@dataclass(frozen=True)
class StudyFacts:
    """The study's own attributes, as text for reading (never used as a key)."""

    study_instance_uid: str
    patient_name: str = ""
    patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    accession_number: str = ""


@dataclass(frozen=True)
class Totals:
    """Sums over instances; ``quality`` is that of the worst instance (``quality.pooled``)."""

    instances: int
    states: Mapping[str, int]
    bytes_before: int
    bytes_after: int
    pixels: int
    payload_bytes: int
    seconds: float
    tiles: Mapping[str, int]
    profiles: Mapping[str, int]
    models: tuple[str, ...]
    kept: Mapping[str, int]
    conflicts: int
    quality: Mapping[str, Any]
    lossy: Mapping[str, Any] = field(default_factory=dict)
    """Of instances for which a lossy profile was asked (`lossy.summed`)."""

    @property
    def ratio(self) -> float | None:
        return ratio(self.bytes_before, self.bytes_after)

    @property
    def bits_per_pixel(self) -> float | None:
        return 8 * self.payload_bytes / self.pixels if self.pixels else None

    @property
    def waiting(self) -> int:
        return sum(self.states.get(state, 0) for state in WAITING)

    def tile_shares(self) -> dict[str, float]:
        """Contender -> share of the tiles that it won, 0 to 1; empty when nothing was coded."""
        total = sum(self.tiles.values())
        return {name: count / total for name, count in self.tiles.items()} if total else {}

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"models": list(self.models), "ratio": self.ratio,
                               "bits_per_pixel": self.bits_per_pixel, "tile_shares": self.tile_shares()}


@dataclass(frozen=True)
class SeriesRow:
    series_instance_uid: str
    modality: str
    series_number: int | None
    series_description: str
    instances: tuple[InstanceRow, ...]
    totals: Totals

    def to_json(self) -> dict[str, Any]:
        return {"series_instance_uid": self.series_instance_uid, "modality": self.modality,
                "series_number": self.series_number, "series_description": self.series_description,
                "totals": self.totals.to_json(), "instances": [row.to_json() for row in self.instances]}


@dataclass(frozen=True)
class StudyReport:
    study: StudyFacts
    completeness: Completeness
    series: tuple[SeriesRow, ...]
    totals: Totals
    created_at: str
    library_version: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on how the report was made."""

    @property
    def conflicts(self) -> list[Conflict]:
        return [conflict for series in self.series for row in series.instances for conflict in row.conflicts]

    def to_json(self) -> dict[str, Any]:
        """One JSON object; keys are only ever added within a schema version."""
        return {
            "schema": SCHEMA, "schema_version": SCHEMA_VERSION, "created_at": self.created_at,
            "library_version": self.library_version, "study": asdict(self.study),
            "completeness": asdict(self.completeness) | {"sentence": self.completeness.sentence()},
            "statement": statement(self.totals), "notes": list(self.notes), "totals": self.totals.to_json(),
            "conflicts": [asdict(conflict) for conflict in self.conflicts],
            "series": [series.to_json() for series in self.series],
            "figures": [figure.to_json() for figure in self.figures],
        }


def build(study: StudyFacts | Mapping[str, Any], instances: Iterable[InstanceRow | Mapping[str, Any]], *,
          completeness: Completeness | Mapping[str, Any], created_at: str, library_version: str,
          figures: Sequence[Figure] = (), notes: Sequence[str] = ()) -> StudyReport:
    """Group rows into series (by number, then UID; instances by number, then UID) and add everything up.

    Mappings have the field names of the data classes; unknown keys are left out.
    """
    facts = study if isinstance(study, StudyFacts) else StudyFacts(**_known(StudyFacts, study))
    decided = (completeness if isinstance(completeness, Completeness)
               else Completeness(**_known(Completeness, completeness)))
    rows = [row if isinstance(row, InstanceRow) else InstanceRow.from_facts(row) for row in instances]
    groups: dict[str, list[InstanceRow]] = {}
    for row in sorted(rows, key=lambda row: (_number(row.series_number), row.series_instance_uid,
                                             _number(row.instance_number), row.sop_instance_uid)):
        groups.setdefault(row.series_instance_uid, []).append(row)
    series = tuple(
        SeriesRow(uid, group[0].modality, group[0].series_number, group[0].series_description, tuple(group),
                  add_up(group)) for uid, group in groups.items())
    return StudyReport(facts, decided, series, add_up(rows), created_at, library_version, tuple(figures),
                       tuple(notes))


def pictures_to_draw(report: StudyReport) -> list[Choice]:
    """Which frames to show: worst (by SSIM, then MSE, then bits per pixel) and middle of each series."""
    candidates = []
    for row in (row for series in report.series for row in series.instances):
        if row.state != "coded" or not row.pixels or row.quality is None:
            continue
        quality, bits = row.quality, row.bits_per_pixel or 0.0
        badness = ((0.0, 0.0, bits) if quality.identical
                   else (2.0 - (1.0 if quality.ssim is None else quality.ssim), quality.mse or 0.0, bits))
        candidates.append(Candidate(row.series_instance_uid, row.sop_instance_uid, row.frames or 1, badness,
                                    quality.worst_frame))
    return choose(candidates)


def add_up(rows: Sequence[InstanceRow]) -> Totals:
    """Sums and worst cases of ``rows``; deleted instances count as instances and nowhere else."""
    present = [row for row in rows if row.state != "deleted"]
    coded = [row for row in present if row.state == "coded"]
    tiles: Counter[str] = Counter()
    for row in coded:
        tiles.update(row.tiles)
    order = [name for name in CONTENDERS if name in tiles] + sorted(set(tiles) - set(CONTENDERS))
    return Totals(
        instances=len(rows), states=dict(sorted(Counter(row.state for row in rows).items())),
        bytes_before=sum(row.bytes_before for row in present), bytes_after=sum(row.stored for row in present),
        pixels=sum(row.pixels for row in coded), payload_bytes=sum(row.payload_bytes or 0 for row in coded),
        seconds=sum(row.seconds or 0.0 for row in coded), tiles={name: tiles[name] for name in order},
        profiles=dict(sorted(Counter(row.profile for row in coded).items())),
        models=tuple(sorted({row.model_id for row in coded if row.model_id})),
        kept=dict(sorted(Counter(row.reason for row in present if row.state == "kept").items())),
        conflicts=sum(len(row.conflicts) for row in rows),
        quality=pooled((row.quality, row.pixels) for row in coded),
        lossy=summed(row.lossy for row in present))


def statement(totals: Totals) -> str:
    """What a reader may rely on, in plain words."""
    coded, kept, quality = totals.states.get("coded", 0), totals.states.get("kept", 0), totals.quality
    parts = []
    promised = totals.lossy.get("kept", 0)
    bounded = quality["measured"] + quality["bound"] - min(promised, quality["measured"])
    unknown = coded - quality["digest"] - bounded - promised
    if quality["digest"]:
        parts.append(
            f"{_count(quality['digest'], 'image')} coded without loss. Error 0, PSNR infinite and SSIM 1 "
            "were not computed: they follow from the digests, which were compared after decoding and before "
            "the original was released.")
    if bounded:
        parts.append(
            f"{_count(bounded, 'image')} changed within the bound of the profile, with a UID of its own each "
            "and marked as lossy: no stored value differs from the original "
            + (f"by more than {quality['max_error']}." if quality["max_error"] is not None and not promised
               else "by more."))
    parts += sentences(totals.lossy)
    if unknown > 0:
        parts.append(f"Of {_count(unknown, 'coded image')} no quality was recorded.")
    if kept:
        parts.append(f"{_count(kept, 'object')} kept byte for byte as received.")
    if totals.waiting:
        parts.append(f"{_count(totals.waiting, 'object')} not coded yet; stored as received until then.")
    if totals.states.get("deleted"):
        parts.append(f"{_count(totals.states['deleted'], 'object')} deleted.")
    if totals.conflicts:
        parts.append(f"{_count(totals.conflicts, 'object')} arrived with a UID that was taken by other "
                     "content; see the conflicts.")
    return " ".join(parts) or "Nothing is stored for this study."


def moment(text: str) -> str:
    """An ISO 8601 time in UTC for reading: seconds, no fraction; anything else as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if time.tzinfo else text


def ratio(before: int, after: int) -> float | None:
    """Bytes before over bytes after; None when nothing is stored."""
    return before / after if after else None


def _number(value: int | None) -> tuple[bool, int]:
    """Missing numbers sort last."""
    return value is None, value or 0


def _count(number: int | None, noun: str) -> str:
    return f"{number or 0} {noun}{'' if number == 1 else 's'}"


def _known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in kind.__dataclass_fields__ if key in data}  # type: ignore[attr-defined]
