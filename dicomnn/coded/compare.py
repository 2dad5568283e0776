"""Whether a coded object, or a kept one, stands for a given original file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dicomnn.coded.mapping import Mapping
from dicomnn.coded.restore import Restored
from dicomnn.dicom.scan import scan


def differs(source: Path, original: Path, restored: Restored | None) -> str:
    """A sentence on what is different, '' when nothing is.

    `restored` is what ``restore.check`` said of `source`, None when `source` is not coded: then the files
    must be the same. Raises NotDicom, DataSetMalformed (of the original) and OSError.
    """
    if not original.is_file():
        return f"There is no original '{original}' to compare with."
    if restored is None:
        same = _digest(source, 0) == _digest(original, 0)
        return "" if same else "The file is not coded, and its bytes are not the original's."
    received = dataset_digest(original)
    if received != restored.manifest.original_dataset_digest:
        return "The coded object was made from another data set than the original given."
    if restored.exact == "data-set" and received != restored.digest:
        return "The restored data set is not the original's."
    return ""


def dataset_digest(path: Path) -> str:
    """SHA-256 of the data set in a DICOM file, from its first element to the end of the file."""
    with Mapping(path) as mapping:
        start = scan(mapping.buffer).dataset_start
    return _digest(path, start)


def _digest(path: Path, start: int) -> str:
    digest = hashlib.sha256()
    with Mapping(path) as mapping:
        for piece in mapping.chunks(start, len(mapping)):
            digest.update(piece)
    return digest.hexdigest()
