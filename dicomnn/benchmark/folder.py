"""Which files a folder has, of which series and group they are, and which frames of them are measured."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicomnn.benchmark.slices import Run, slices_of, thin_runs
from dicomnn.coded.mapping import Mapping
from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.eligibility import judge, reason_of
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import DicomnnError, UsageError

XRAY = frozenset({"CR", "DX", "MG", "XA", "RF", "IO", "PX", "RG", "DG", "RTIMAGE"})
GROUPS = ("CT", "MR", "X-ray", "other")


@dataclass(frozen=True)
class Item:
    """One file. `reason` is None when it can be coded, else a code of ``eligibility.REASONS`` or 'os'.

    `name` is the path below the folder, `source` its first part ('' for a file that lies at the top).
    `series` is the SeriesInstanceUID, or the file's folder where there is none. Sizes in bytes.
    """

    path: Path
    name: str
    source: str
    size: int
    reason: str | None = None
    detail: str = ""
    series: str = ""
    modality: str = ""
    scanner: str = ""
    year: str = ""
    syntax: str = ""
    instance: int = 0
    frames: int = 0
    rows: int = 0
    columns: int = 0
    encapsulated: bool = False
    pixel_bytes: int = 0
    """Of the Pixel Data element's value as it is stored."""
    bounded: bool = False
    """Whether loss within a bound is allowed for this kind of image."""

    @property
    def pixels(self) -> int:
        return self.frames * self.rows * self.columns


@dataclass(frozen=True)
class Unit:
    """What one codec codes at a time: the `frames` (from 0; all of them when `whole`) of one file."""

    name: str
    path: Path
    frames: tuple[int, ...]
    whole: bool
    pixels: int


@dataclass
class Series:
    """The eligible files of a series in order, and what is measured of them. `key` is unique in a folder."""

    key: str
    source: str
    uid: str
    modality: str
    group: str
    scanner: str
    items: list[Item]
    units: list[Unit] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    """Of a CT: its consecutive thin slices, measured or not."""

    @property
    def thin(self) -> bool:
        return bool(self.runs)


@dataclass
class Folder:
    """A folder that was looked through. `items` are all files, `series` have the eligible ones."""

    path: Path
    items: list[Item]
    series: list[Series]

    def skipped(self) -> dict[str, list[Item]]:
        """Files that are not measured, by reason."""
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            if item.reason is not None:
                found[item.reason].append(item)
        return dict(sorted(found.items()))


def group_of(modality: str) -> str:
    """CT, MR, X-ray or other."""
    return modality if modality in ("CT", "MR") else "X-ray" if modality in XRAY else "other"


def look(
    folder: Path,
    *,
    sources: Sequence[str] = (),
    exclude: Sequence[str] = (),
    most: int = 0,
    seen: Callable[[int], None] | None = None,
) -> Folder:
    """All files below `folder`, headers read, pixels not.

    `sources` and `exclude` name parts of the path directly below `folder`; `most` frames of each series are
    taken, evenly (0: all). `seen(count)` is called after every file. Raises UsageError when `folder` is not
    there or a source is not in it.
    """
    if not folder.exists():
        raise UsageError(f"there is no file or folder '{folder}'")
    names = _names(folder)
    known = {_source(name) for name in names}
    unknown = (set(sources) | set(exclude)) - known
    if unknown:
        raise UsageError(f"'{folder}' has no source {', '.join(sorted(unknown))}")
    wanted = [
        name
        for name in names
        if (not sources or _source(name) in sources) and _source(name) not in set(exclude)
    ]
    items = []
    for number, name in enumerate(wanted, 1):
        items.append(_item(folder, name))
        if seen is not None:
            seen(number)
    series = _series(items)
    for one in series:
        one.units = _units(one.items, most)
        if one.group == "CT":
            one.runs = thin_runs(
                [place for item in one.items for place in slices_of(item.path, item.name, item.instance)]
            )
    return Folder(folder, items, series)


def _names(folder: Path) -> list[str]:
    if folder.is_file():
        return [""]
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [str(Path(place, name).relative_to(folder)) for name in sorted(names)]
    return found


def _source(name: str) -> str:
    parts = Path(name).parts
    return parts[0] if len(parts) > 1 else ""


def _item(folder: Path, name: str) -> Item:
    """What one file says about itself; never raises."""
    path = folder / name if name else folder
    name = name or folder.name
    plain = Item(path, name, _source(name), 0)
    try:
        plain = Item(path, name, _source(name), path.stat().st_size)
        with Mapping(path) as mapping:
            return _read(plain, mapping)
    except DicomnnError as error:
        return _without(plain, reason_of(error), str(error))
    except OSError as error:
        return _without(plain, "os", error.strerror or str(error))
    except Exception as error:  # a header that breaks us is one file, not the end of the run
        return _without(plain, "failed", f"{type(error).__name__}: {error}")


def _without(item: Item, reason: str, detail: str) -> Item:
    return Item(item.path, item.name, item.source, item.size, reason, detail)


def _read(plain: Item, mapping: Mapping) -> Item:
    layout = scan(mapping.buffer)
    image, attributes = read_image_pixel(mapping.buffer, layout), read_attributes(mapping.buffer, layout)
    verdict = judge(layout, image, attributes, profile_kind="lossless")
    kind, pixel_data = syntax(layout.transfer_syntax), layout.pixel_data
    lossy = judge(layout, image, attributes, profile_kind="bounded")
    date = attributes.study_date or attributes.series_date or attributes.acquisition_date or ""
    year = re.match(r"[12][0-9]{3}", date)
    return Item(
        path=plain.path,
        name=plain.name,
        source=plain.source,
        size=plain.size,
        reason=verdict.reason,
        detail=verdict.sentence,
        series=attributes.series_instance_uid or str(Path(plain.name).parent),
        modality=(attributes.modality or "").strip().upper(),
        scanner=" ".join(filter(None, (attributes.manufacturer, attributes.manufacturer_model_name))),
        year=year.group() if year else "",
        syntax=kind.name,
        instance=attributes.instance_number or 0,
        frames=verdict.frames,
        rows=(image.rows if image else None) or 0,
        columns=(image.columns if image else None) or 0,
        encapsulated=kind.encapsulated,
        pixel_bytes=pixel_data.end - pixel_data.value_start if pixel_data else 0,
        bounded=lossy.eligible and lossy.profile_kind == "bounded",
    )


def _series(items: Sequence[Item]) -> list[Series]:
    """Eligible files by source and series, each in the order of Instance Number."""
    found: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        if item.reason is None:
            found[item.source, item.series].append(item)
    series = []
    for (source, uid), members in sorted(found.items()):
        first = members[0]
        members.sort(key=lambda item: (item.instance, item.name))
        key = f"{source}/{uid}" if source else uid
        series.append(
            Series(key, source, uid, first.modality, group_of(first.modality), first.scanner, members)
        )
    return series


def _units(items: Sequence[Item], most: int) -> list[Unit]:
    """Every frame, or `most` of them: the middles of as many equal parts of the series."""
    places = [(number, frame) for number, item in enumerate(items) for frame in range(item.frames)]
    if most and most < len(places):
        places = [places[(2 * part + 1) * len(places) // (2 * most)] for part in range(most)]
    chosen: dict[int, list[int]] = defaultdict(list)
    for number, frame in places:
        chosen[number].append(frame)
    return [
        Unit(
            items[number].name,
            items[number].path,
            tuple(frames),
            len(frames) == items[number].frames,
            len(frames) * items[number].rows * items[number].columns,
        )
        for number, frames in chosen.items()
    ]
