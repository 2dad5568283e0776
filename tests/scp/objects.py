"""Objects with the attributes that a test is about, encoded by pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomnn.archive import Received, State
from dicomnn.archive.records import Rebuilt
from dicomnn.dicom.attributes import VERSION
from dicomnn.flow.opening import Place, open_archive
from tests.scp.peer import CT, EXPLICIT, IMPLICIT, Item


def encoded(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    """The data set's bytes in an uncompressed little endian syntax."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def made(instance: str, *, study: str, series: str, sop_class: str = CT, syntax: str = EXPLICIT,
         size: int = 0, **attributes: Any) -> Item:
    """An object with these attributes, by keyword; with ``size`` also an image of that many rows."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    if size:
        dataset.Rows = dataset.Columns = size
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        seed = sum(instance.encode())
        pixels = np.random.default_rng(seed).integers(0, 40, (size, size)) + 20 * np.arange(size)
        dataset.PixelData = (pixels & 0xFFF).astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return Item(sop_class, instance, syntax, encoded(dataset, syntax))


def fill_index(archive: Path, count: int, *, studies: int = 0, **attributes: Any) -> None:
    """Rows of ``count`` instances (of so many studies, else each of its own) in the index of a new archive;
    there are no objects behind them."""
    def row(number: int) -> Rebuilt:
        study = f"1.2.20.{number % studies if studies else number}"
        digest = f"{number:064x}"
        return Rebuilt(Received(
            f"{study}.1.{number}", digest, f"{number:032x}", digest, 1000, CT, study, f"{study}.1", EXPLICIT,
            attributes={"modality": "CT", "study_instance_uid": study, "series_instance_uid": f"{study}.1",
                        "instance_number": number, "patient_id": f"P{number}", **attributes},
            described=VERSION), State.KEPT, reason="test")

    with open_archive(Place(str(archive))) as opened:
        assert opened.index.rebuild(row(number) for number in range(count)) == count
