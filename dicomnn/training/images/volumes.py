"""NIfTI, NRRD and MetaImage volumes for training, through SimpleITK (the extra ``train``).

Slices are the first two axes of the file, one after another along all further ones. Volumes of a wider type
(32 bit, floating point) count when a slice holds whole numbers that fit in 16 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dicomnn.codec.sample import SampleFormat
from dicomnn.training.images.names import OTHER, device_of, digest_of, group_of
from dicomnn.training.images.records import ImageFile, NotUsable
from dicomnn.training.images.sidecar import sidecar

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_WORDS = SampleFormat(16, 16, 15, False)


def reads(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def facts(path: Path, source: str, place: str) -> ImageFile:
    """What the volume's header says. Raises NotUsable."""
    reader = _reader(path)
    size = reader.GetSize()
    if reader.GetNumberOfComponents() != 1:
        raise NotUsable("colour", f"{reader.GetNumberOfComponents()} components")
    name = _toolkit().GetPixelIDValueAsString(reader.GetPixelID())
    stat = path.stat()
    known = sidecar(path)
    return ImageFile(
        path=str(path),
        size=stat.st_size,
        changed=stat.st_mtime_ns,
        kind="volume",
        source=source,
        modality=known.modality,
        group=group_of(known.modality) if known.modality else OTHER,
        manufacturer=known.manufacturer,
        model=known.model,
        kernel=known.kernel,
        device=device_of(known.manufacturer, known.model, source),
        patient=known.patient,
        study="",
        series=digest_of(known.series or place),
        rows=size[1],
        columns=size[0],
        frames=int(np.prod(size[2:], dtype=np.int64)),
        bits=8 if name.startswith("8-bit") else 16,
        signed=not name.endswith("unsigned integer"),
    )


def frame(path: Path, number: int) -> tuple[np.ndarray, SampleFormat, int]:
    """One slice as unsigned words, its minimum subtracted (the codec does so too), and that minimum.

    Raises NotUsable.
    """
    reader = _reader(path)
    size = reader.GetSize()
    if len(size) > 2:
        place = [int(n) for n in np.unravel_index(number, size[2:], order="F")]
        reader.SetExtractIndex([0, 0, *place])
        reader.SetExtractSize([size[0], size[1], *([0] * len(place))])
    try:
        values = np.asarray(_toolkit().GetArrayFromImage(reader.Execute()))
    except RuntimeError as problem:
        raise NotUsable("unreadable", _short(problem)) from problem
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise NotUsable("bits", "not whole numbers")
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest > 0xFFFF:
        raise NotUsable("bits", f"values {lowest} to {highest}")
    return (values.astype(np.int64) - lowest).astype(np.uint16), _WORDS, lowest


def _toolkit() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise NotUsable("no-reader", "SimpleITK is not installed") from error
    return SimpleITK


def _reader(path: Path) -> Any:
    """A reader that knows the header and has read no pixel."""
    toolkit = _toolkit()
    toolkit.ProcessObject.SetGlobalWarningDisplay(False)
    reader = toolkit.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as problem:
        raise NotUsable("unreadable", _short(problem)) from problem
    if len(reader.GetSize()) < 2:
        raise NotUsable("not-an-image", "fewer than two axes")
    return reader


def _short(problem: Exception) -> str:
    return str(problem).strip().splitlines()[-1][-200:]
