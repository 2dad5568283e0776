"""The manifest of the images to train on: JSON lines, one a file and one a measured plane.

Two walks. The first reads headers; then, of each series, at most ``per_series`` planes are picked, spread
evenly, and the second walk decodes and measures those. The plane that comes before one of them need not be
among them: it is only named. Every line is written when it is known, so an
interrupted walk goes on where it was; a file that changed since (size or time) is read again. Pixels are
never kept: whoever wants a plane reads it again by path and frame (`planes.PlaneCache`).
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from dicomnn.errors import UnknownModel, UsageError
from dicomnn.shelf import Shelf, default_shelf
from dicomnn.training.images import reading
from dicomnn.training.images.measures import measure, require_image
from dicomnn.training.images.records import LEFT_OUT, ImageFile, LeftOut, Measures, NotUsable, PlaneRecord
from dicomnn.training.images.stacks import Stacks

FORMAT = 2
PER_SERIES = 24

Progress = Callable[[str, int, int], None]
"""``progress(what, done, total)``; may raise to stop: what was read so far is kept."""


@dataclass(frozen=True)
class Catalogue:
    """Planes to train on, sorted by source, path and frame, no two alike; and what was left out."""

    planes: list[PlaneRecord]
    left_out: list[LeftOut]
    shelf: Shelf = field(compare=False)

    def reasons(self) -> dict[str, int]:
        """Code of LEFT_OUT to files and frames left out, the most frequent first."""
        counts: dict[str, int] = defaultdict(int)
        for left in self.left_out:
            counts[left.reason] += 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def nothing(what: str, done: int, total: int) -> None:
    """Progress for nobody."""


class _Lines:
    """What a catalogue file says, by file and plane; later lines win."""

    def __init__(self, path: Path) -> None:
        self.files: dict[tuple[str, int, int], ImageFile | LeftOut] = {}
        self.planes: dict[tuple[str, int, int, int], Measures | LeftOut] = {}
        if path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines):
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # the line that was being written when the process was killed
                if number == 0:
                    if not isinstance(row, dict) or row.get("dicomnn-catalogue") != FORMAT:
                        raise UsageError(f"{path} is no catalogue of format {FORMAT}; name another file.")
                    continue
                self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        key = (row["path"], row["size"], row["changed"])
        left = (
            LeftOut(row["path"], row.get("frame", -1), row["reason"], row["detail"])
            if "reason" in row
            else None
        )
        if "frame" in row:
            self.planes[(*key, row["frame"])] = left or Measures(**row["measures"])
        else:
            self.files[key] = left or ImageFile(**row)


class _Writer:
    """Appends lines; each is whole on the disk before the next begins, as far as the process is concerned."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        torn = not fresh and _last_byte(path) != b"\n"
        self._file: IO[str] = path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")
        if fresh:
            self.write({"dicomnn-catalogue": FORMAT})

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def build(
    folders: Sequence[Path],
    lines: Path,
    *,
    per_series: int = PER_SERIES,
    threads: int = 1,
    progress: Progress = nothing,
) -> Catalogue:
    """Catalogue all images below ``folders``, taking from ``lines`` what it knows and adding what is new.

    ``per_series`` 0 takes every plane. Raises UsageError, and whatever ``progress`` raises to stop.
    """
    known = _Lines(lines)
    roots = [reading.root_of(folder) for folder in folders]
    writer = _Writer(lines)
    try:
        files, left, shelf_of = _headers(roots, known, writer, progress)
        picked = pick(files, per_series)
        measured = _measure_all(picked, shelf_of, known, writer, threads, progress)
        planes, stacks = [], Stacks(files)
        for file, number in picked:
            found = measured[(file.path, number)]
            if isinstance(found, LeftOut):
                left.append(found)
            else:
                planes.append(PlaneRecord(file, number, found, stacks.before(file, number)))
    finally:
        writer.close()
    planes, unfit = usable(planes)
    return Catalogue(planes, sorted(left + unfit, key=lambda one: (one.path, one.frame)), _shelf_of(roots))


def shelf_of(folders: Sequence[Path]) -> Shelf:
    """One shelf that finds the models of every archive among the folders. Raises UsageError."""
    return _shelf_of([reading.root_of(folder) for folder in folders])


def usable(planes: Iterable[PlaneRecord]) -> tuple[list[PlaneRecord], list[LeftOut]]:
    """Planes that are images, each once (the first by source, path and frame), and the others."""
    kept: list[PlaneRecord] = []
    left: list[LeftOut] = []
    seen: dict[str, PlaneRecord] = {}
    for plane in sorted(planes, key=lambda p: (p.file.source, p.file.path, p.frame)):
        try:
            require_image(plane.measures)
            first = seen.setdefault(plane.measures.digest, plane)
            if first is not plane:
                raise NotUsable("duplicate", f"of {first.file.path}, frame {first.frame}")
            kept.append(plane)
        except NotUsable as why:
            left.append(LeftOut(plane.file.path, plane.frame, why.reason, why.detail))
    return kept, left


def pick(files: Iterable[ImageFile], per_series: int) -> list[tuple[ImageFile, int]]:
    """(file, frame) of at most ``per_series`` planes of each series, evenly over its files and frames."""
    series: dict[tuple[str, str], list[ImageFile]] = defaultdict(list)
    for file in files:
        series[(file.source, file.series)].append(file)
    picked = []
    for members in series.values():
        members.sort(key=lambda file: file.path)
        total = sum(file.frames for file in members)
        places = range(total)
        wanted = (
            set(places)
            if not per_series or total <= per_series
            else {round(i * (total - 1) / max(per_series - 1, 1)) for i in range(per_series)}
        )
        at = 0
        for file in members:
            picked += [(file, n) for n in range(file.frames) if at + n in wanted]
            at += file.frames
    return sorted(picked, key=lambda pair: (pair[0].source, pair[0].path, pair[1]))


def _headers(
    roots: Sequence[reading.Root], known: _Lines, writer: _Writer, progress: Progress
) -> tuple[list[ImageFile], list[LeftOut], dict[str, Shelf]]:
    files: dict[str, ImageFile] = {}
    left: dict[str, LeftOut] = {}
    shelf_of: dict[str, Shelf] = {}
    for root in roots:
        for path in reading.files_of(root):
            progress("looking at headers", len(files) + len(left), 0)
            name = str(path)
            if name in files or name in left:
                continue
            stat = path.stat()
            key = (name, stat.st_size, stat.st_mtime_ns)
            found = known.files.get(key)
            if found is None or (isinstance(found, LeftOut) and found.reason == "no-reader"):
                found = _look(path, root)
                about = {"path": name, "size": stat.st_size, "changed": stat.st_mtime_ns}
                writer.write(about | (asdict(found) if isinstance(found, ImageFile) else _why(found)))
            if isinstance(found, ImageFile):
                files[name], shelf_of[name] = found, root.shelf
            else:
                left[name] = found
    return list(files.values()), list(left.values()), shelf_of


def _look(path: Path, root: reading.Root) -> ImageFile | LeftOut:
    try:
        return reading.facts(path, root)
    except NotUsable as why:
        return LeftOut(str(path), -1, why.reason, why.detail)


def _why(left: LeftOut) -> dict[str, str]:
    assert left.reason in LEFT_OUT, left.reason
    return {"reason": left.reason, "detail": left.detail}


def _measure_all(
    picked: Sequence[tuple[ImageFile, int]],
    shelf_of: dict[str, Shelf],
    known: _Lines,
    writer: _Writer,
    threads: int,
    progress: Progress,
) -> dict[tuple[str, int], Measures | LeftOut]:
    results: dict[tuple[str, int], Measures | LeftOut] = {}
    wanted = []
    for file, number in picked:
        before = known.planes.get((file.path, file.size, file.changed, number))
        if before is None:
            wanted.append((file, number))
        else:
            results[(file.path, number)] = before
    done = len(results)
    for (file, number), found in _side_by_side(wanted, shelf_of, threads):
        results[(file.path, number)] = found
        row = {"path": file.path, "size": file.size, "changed": file.changed, "frame": number}
        writer.write(row | (_why(found) if isinstance(found, LeftOut) else {"measures": asdict(found)}))
        done += 1
        progress("measuring planes", done, len(picked))
    return results


def _side_by_side(
    wanted: Sequence[tuple[ImageFile, int]], shelf_of: dict[str, Shelf], threads: int
) -> Iterator[tuple[tuple[ImageFile, int], Measures | LeftOut]]:
    def work(pair: tuple[ImageFile, int]) -> Measures | LeftOut:
        return _measured(*pair, shelf_of[pair[0].path])

    if threads <= 1:
        yield from ((pair, work(pair)) for pair in wanted)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="dicomnn-measure") as pool:
        for start in range(0, len(wanted), 4 * threads):  # few at once: each holds a decoded plane
            part = wanted[start : start + 4 * threads]
            yield from zip(part, pool.map(work, part), strict=True)


def _measured(file: ImageFile, number: int, shelf: Shelf) -> Measures | LeftOut:
    try:
        return measure(reading.plane_of(*reading.frame(file, number, shelf)))
    except NotUsable as why:
        return LeftOut(file.path, number, why.reason, why.detail)


def _shelf_of(roots: Sequence[reading.Root]) -> Shelf:
    def extra(model_id: str) -> bytes | None:
        for root in roots:
            try:
                return root.shelf.model_bytes(model_id)
            except UnknownModel:
                continue
        return None

    return default_shelf(extra=extra)
