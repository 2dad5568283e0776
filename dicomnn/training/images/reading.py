"""Files of any format that is read here -> facts about them, and one plane at a time.

`facts` looks at headers only; `plane` decodes one frame. Nothing is kept between calls, so a tree of any
size costs the memory of one frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dicomnn.archive.local import LocalStore
from dicomnn.codec import planes
from dicomnn.codec.sample import SampleFormat
from dicomnn.errors import DicomnnError, UsageError
from dicomnn.shelf import Shelf, default_shelf
from dicomnn.training.images import dicom_files, pictures, volumes
from dicomnn.training.images.measures import SMALLEST_SIDE
from dicomnn.training.images.records import ImageFile, Neighbour, NotUsable

Frame = tuple[np.ndarray, SampleFormat]
"""Raw words (rows, columns), uint8 or uint16, and what they mean."""


@dataclass(frozen=True)
class Root:
    """A folder to read. ``flat``: all of it is one source, named as the folder; else its sub-folders are."""

    folder: Path
    flat: bool
    shelf: Shelf = field(compare=False)

    def source_of(self, path: Path) -> str:
        """The first folder below the root, or the root's own name for files that lie in it."""
        parts = path.relative_to(self.folder).parts
        return self.folder.resolve().name if self.flat or len(parts) == 1 else parts[0]

    def place_of(self, path: Path) -> str:
        """Where a file lies below the root: what a series is called whose files do not say."""
        return path.relative_to(self.folder).as_posix()


def root_of(folder: Path) -> Root:
    """A folder of files, or an archive of dicomnn: its objects, with its own copies of models.

    Raises UsageError when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder '{folder}'.")
    if (folder / "objects").is_dir() and (folder / "models").is_dir() and (folder / "journal").is_dir():
        store = LocalStore(folder)
        return Root(folder, True, default_shelf(extra=store.get_model))
    return Root(folder, False, default_shelf())


def files_of(root: Root) -> Iterator[Path]:
    """Every file below the root, folder by folder in order; of an archive its objects alone. Hidden ones are
    not looked at.
    """
    top = root.folder / "objects" if root.flat else root.folder
    for folder, below, names in os.walk(top):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                yield path


def facts(path: Path, root: Root) -> ImageFile:
    """What a file's header says. Raises NotUsable."""
    source = root.source_of(path)
    try:
        if volumes.reads(path):
            found = volumes.facts(path, source, root.place_of(path))
        elif pictures.reads(path):
            found = pictures.facts(path, source, root.place_of(path))
        else:
            found = dicom_files.facts(path, source, root.place_of(path))
    except (DicomnnError, OSError) as problem:
        raise NotUsable("unreadable", str(problem)) from problem
    if min(found.rows, found.columns) < SMALLEST_SIDE:
        raise NotUsable("too-small", f"{found.columns} x {found.rows}")
    return found


def frame(file: ImageFile, number: int, shelf: Shelf) -> Frame:
    """Raw words of one frame of a catalogued file. Raises NotUsable."""
    words, sample_format, _ = _frame(file, number, shelf)
    return words, sample_format


def plane(file: ImageFile | Neighbour, number: int, shelf: Shelf) -> tuple[np.ndarray, int]:
    """One frame as `plane_of` gives it, and the stored value that is 0 there: slices of a series can be
    compared with it. Raises NotUsable.
    """
    words, sample_format, taken = _frame(file, number, shelf)
    values, _ = planes.split(words, sample_format)
    lowest = int(values.min())
    signed = 1 << (sample_format.bits_stored - 1) if sample_format.signed else 0
    return np.ascontiguousarray(values - np.uint16(lowest)), lowest - signed + taken


def _frame(file: ImageFile | Neighbour, number: int, shelf: Shelf) -> tuple[np.ndarray, SampleFormat, int]:
    """Raw words, what they mean, and what the reader subtracted from them."""
    path = Path(file.path)
    try:
        if file.kind == "volume":
            return volumes.frame(path, number)
        if file.kind == "picture":
            return *pictures.frame(path, number), 0
        return *dicom_files.frame(path, number, file.kind == "coded", shelf), 0
    except (DicomnnError, OSError) as problem:
        raise NotUsable("unreadable", str(problem)) from problem


def plane_of(words: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    """The values as the codec sees them: unsigned, minimum subtracted, uint16. Not packed."""
    values, _ = planes.split(words, sample_format)
    return np.ascontiguousarray(values - values.min())
