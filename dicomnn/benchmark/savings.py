"""What a folder takes now and would take with dicomnn, by modality and study year.

Now is what lies there, in whatever transfer syntax. With dicomnn is what the node would keep: a coded object
where that is smaller than the file, else the file. Frames that were not measured are taken to cost what the
measured ones of their series cost a pixel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dicomnn.benchmark.folder import Item
from dicomnn.benchmark.ratios import Row
from dicomnn.benchmark.run import Result
from dicomnn.benchmark.stages import Stage

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Saving:
    """Bytes. `native` is the part of `now` that is not compressed; `estimated` of the files were not, or not
    wholly, measured.
    """

    modality: str
    year: str
    files: int
    coded: int
    estimated: int
    now: int
    native: int
    after: int

    @property
    def share(self) -> float:
        """Saved, 0 to 1."""
        return 1 - self.after / self.now if self.now else 0.0


@dataclass(frozen=True)
class Yearly:
    """One modality's part of a yearly volume, in the unit in which that was given."""

    modality: str
    now: float
    after: float


def savings(result: Result, codec: str) -> list[Saving]:
    """By modality and year, with `codec` (one of ours, lossless). Files that are no DICOM do not count."""
    after = _after(result.rows, result.stages[codec])
    found: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in result.folder.items:
        if item.reason not in ("not-dicom", "os"):
            found[item.modality or UNKNOWN, item.year or UNKNOWN].append(item)
    return [
        Saving(
            modality=modality,
            year=year,
            files=len(items),
            coded=sum(after.get(item.name, (item.size, False))[0] < item.size for item in items),
            estimated=sum(after[item.name][1] for item in items if item.name in after),
            now=sum(item.size for item in items),
            native=sum(item.size for item in items if not item.encapsulated),
            after=sum(after.get(item.name, (item.size, False))[0] for item in items),
        )
        for (modality, year), items in sorted(found.items())
    ]


def together(parts: Iterable[Saving], modality: str, year: str) -> Saving:
    """The sum of `parts` under another name."""
    parts = list(parts)

    def total(name: str) -> int:
        return sum(getattr(part, name) for part in parts)

    return Saving(
        modality,
        year,
        total("files"),
        total("coded"),
        total("estimated"),
        total("now"),
        total("native"),
        total("after"),
    )


def yearly(parts: Iterable[Saving], volume: float) -> list[Yearly]:
    """A yearly `volume` with the folder's own mix of modalities, largest part first."""
    by_modality: dict[str, list[Saving]] = defaultdict(list)
    for part in parts:
        by_modality[part.modality].append(part)
    sums = [together(members, modality, "") for modality, members in by_modality.items()]
    total = sum(part.now for part in sums) or 1
    found = [
        Yearly(part.modality, volume * part.now / total, volume * part.after / total)
        for part in sums
        if part.now
    ]
    return sorted(found, key=lambda part: -part.now)


def _after(rows: Iterable[Row], stage: Stage) -> dict[str, tuple[int, bool]]:
    """File -> (bytes that the node would keep, whether that is an estimate)."""
    found = {}
    for row in rows:
        measured = {
            unit.name: (unit, stage.results[unit.name])
            for unit in row.series.units
            if unit.name in stage.results and stage.results[unit.name].status == "done"
        }
        pixels = sum(result.pixels for _, result in measured.values())
        if not pixels:
            continue
        per_pixel = sum(result.size for _, result in measured.values()) / pixels
        for item in row.series.items:
            unit, result = measured.get(item.name, (None, None))
            whole = unit is not None and unit.whole
            size = result.size if whole and result is not None else round(per_pixel * item.pixels)
            found[item.name] = (min(item.size, item.size - item.pixel_bytes + size), not whole)
    return found
