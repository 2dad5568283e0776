"""Grey PNG and TIFF files of 8 or 16 bits for training."""

from __future__ import annotations

from pathlib import Path, PurePath

import imagecodecs
import numpy as np

from dicomnn.codec.sample import SampleFormat
from dicomnn.training.images.names import OTHER, device_of, digest_of, group_of
from dicomnn.training.images.records import ImageFile, NotUsable
from dicomnn.training.images.sidecar import sidecar

SUFFIXES = (".png", ".tif", ".tiff")


def reads(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def facts(path: Path, source: str, place: str) -> ImageFile:
    """What is known of a picture; its header says so little that it is decoded. Raises NotUsable."""
    pages = _pages(path)
    stat = path.stat()
    known = sidecar(path)
    modality = known.modality
    return ImageFile(
        path=str(path),
        size=stat.st_size,
        changed=stat.st_mtime_ns,
        kind="picture",
        source=source,
        modality=modality,
        group=group_of(modality) if modality else OTHER,
        manufacturer=known.manufacturer,
        model=known.model,
        kernel=known.kernel,
        device=device_of(known.manufacturer, known.model, source),
        patient=known.patient,
        study="",
        series=digest_of(known.series or str(PurePath(place).parent)),
        rows=pages.shape[1],
        columns=pages.shape[2],
        frames=pages.shape[0],
        bits=8 * pages.dtype.itemsize,
        signed=False,
    )


def frame(path: Path, number: int) -> tuple[np.ndarray, SampleFormat]:
    """One page as raw words. Raises NotUsable."""
    words = _pages(path)[number]
    bits = 8 * words.dtype.itemsize
    return words, SampleFormat(bits, bits, bits - 1, False)


def _pages(path: Path) -> np.ndarray:
    """(pages, rows, columns) uint8 or uint16."""
    data = path.read_bytes()
    try:
        if path.suffix.lower() == ".png":
            pixels = np.asarray(imagecodecs.png_decode(data))[np.newaxis]
        else:
            pixels = np.asarray(imagecodecs.tiff_decode(data, index=None))
            if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
                pixels = pixels[np.newaxis]
    except Exception as problem:  # imagecodecs has an error class for each format, and raises others too
        raise NotUsable("unreadable", str(problem)) from problem
    if pixels.ndim == 4:
        if not (pixels[..., :1] == pixels[..., :3]).all():
            raise NotUsable("colour")
        pixels = pixels[..., 0]
    if pixels.ndim != 3:
        raise NotUsable("unreadable", f"an array of {pixels.ndim} dimensions")
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise NotUsable("bits", str(pixels.dtype))
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
