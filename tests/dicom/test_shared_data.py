"""The promises of this room on the collection of real and odd files."""

from __future__ import annotations

import collections
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.derive import LossyFacts, derived_surroundings, new_uid
from dicomnn.dicom.eligibility import REASONS, judge, reason_of
from dicomnn.dicom.encapsulated import decode_frames
from dicomnn.dicom.scan import Layout, scan
from dicomnn.dicom.splice import cut
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import DicomError
from tests.dicom.test_splice import back, element, stored

pytestmark = pytest.mark.shared_data

# A selection of odd files: what must be decided about each (None: may be coded).
EXPECTED = {
    "dcm4che/report_dfl": "deflated-dataset",
    "dcm4che/YBR_FULL-RLE.dcm": "colour",
    "dcm4che/DICOMDIR": "no-pixel-data",
    "dcm4che/3gb-bulk-data-truncated": "geometry-invalid",
    "dcmqi/label.seg": "one-bit",
    "dcmqi/sparse-labelmap-ppv5.dcm": None,
    "dicomparser/CT0012.fragmented_no_bot_jpeg_ls.80.dcm": None,
    "dicomparser/CT0012.fragmented_no_bot_jpeg_ls.81.dcm": "already-lossy",
    "fo-dicom/CT1_J2KI": "already-lossy",
    "fo-dicom/GH1146.dcm": "pixel-data-empty",
    "fo-dicom/GH178.dcm": "no-pixel-data",
    "fo-dicom/GH340.dcm": "packed-12",
    "fo-dicom/GH179B.dcm": "malformed",
    "fo-dicom/cr-fuji-no-file-meta.dcm": None,
    "fo-dicom/GH364.dcm": None,
    "made-from-ct-small/file-cut.dcm": "pixel-data-short",
    "made-from-ct-small/file-trailing-zeros.dcm": None,
    "made-from-ct-small/frames-seven-too-many.dcm": "pixel-data-short",
    "made-from-ct-small/frames-zero.dcm": "frames-inconsistent",
    "made-from-ct-small/highbit-15-stored-12.dcm": None,
    "made-from-ct-small/nested-200-deep.dcm": "nested-too-deep",
    "made-from-ct-small/pixels-empty.dcm": "pixel-data-empty",
    "made-from-ct-small/pixels-extra-tail.dcm": None,
    "made-from-ct-small/pixels-half.dcm": "pixel-data-short",
    "made-from-ct-small/pixels-missing.dcm": "no-pixel-data",
    "made-from-ct-small/random-high-bits.dcm": None,
    "made-from-ct-small/rows-columns-65535.dcm": "pixel-data-short",
    "made-from-ct-small/rows-zero.dcm": "geometry-invalid",
    "made-from-ct-small/uid-bad-characters.dcm": None,
    "made-from-ct-small/uid-empty.dcm": None,
    "pydicom/J2K_pixelrep_mismatch.dcm": None,
    "pydicom/MR_small_bigendian.dcm": None,
    "pydicom/no_meta.dcm": "not-dicom",
    "pydicom/MR_truncated.dcm": "pixel-data-short",
    "pydicom/zipMR.gz": "not-dicom",
    "pydicom/badVR.dcm": "bits-32",
    "pydicom/rtplan_truncated.dcm": "malformed",
    "pydicom/SC_rgb_jpeg.dcm": "syntax-mismatch",
    "pydicom-data/liver_deflate.dcm": "undecodable",
    "pydicom-data/parametric_map_float.dcm": "float-pixels",
    "pydicom-data/OT-PAL-8-face.dcm": None,
    "pynetdicom/CTImageStorage_bad_meta.dcm": None,
}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def scanned(folder: Path) -> Iterator[tuple[Path, bytes, Layout | DicomError]]:
    for path in files(folder):
        raw = path.read_bytes()
        try:
            yield path, raw, scan(raw)
        except DicomError as error:
            yield path, raw, error


def reason(raw: bytes, found: Layout | DicomError) -> str | None:
    if isinstance(found, DicomError):
        return reason_of(found)
    return judge(
        found, read_image_pixel(raw, found), read_attributes(raw, found), profile_kind="lossless"
    ).reason


@pytest.mark.parametrize("part", ["train", "odd"])
def test_every_file_scans_or_raises_a_typed_error_and_gets_a_verdict(shared_data: Path, part: str) -> None:
    counts = collections.Counter(reason(raw, found) for _, raw, found in scanned(shared_data / part))
    print(part, dict(counts))
    assert sum(counts.values()) > 200 and set(counts) <= {None, *REASONS}
    if part == "train":
        assert set(counts) == {None}, "every file of train may be coded"


def test_odd_files_get_the_verdict_that_their_fault_deserves(shared_data: Path) -> None:
    found = {}
    for name in EXPECTED:
        raw = (shared_data / "odd" / name).read_bytes()
        try:
            found[name] = reason(raw, scan(raw))
        except DicomError as error:
            found[name] = reason_of(error)
    assert found == EXPECTED


def test_cut_insert_and_the_inverse_are_byte_identical_for_every_file_with_native_pixel_data(
    shared_data: Path,
) -> None:
    tried = 0
    for path, raw, layout in scanned(shared_data):
        if isinstance(layout, DicomError) or layout.pixel_data is None or layout.pixel_data.undefined_length:
            continue
        there = stored(raw, payload=b"odd", trailing=b"t")
        if layout.pixel_data.truncated:
            continue  # kept, but cutting it must not fail
        assert back(there, element(raw)) == raw, path
        tried += 1
    assert tried > 250


def lossless_encapsulated(folder: Path) -> Iterator[tuple[Path, bytes, Layout]]:
    """Files whose compressed frames must decode; of `train` the small ones, one of each series."""
    series = set()
    for path, raw, layout in scanned(folder):
        if isinstance(layout, DicomError) or not syntax(layout.transfer_syntax).encapsulated:
            continue
        if reason(raw, layout) is not None or ("train" in path.parts and path.parent in series):
            continue
        if "odd" in path.parts or len(raw) < 300_000:
            series.add(path.parent)
            yield path, raw, layout


def reference(path: Path, layout: Layout, folder: Path) -> np.ndarray | None:
    """The pixels by another toolkit: pydicom, and DCMTK for JPEG lossless where it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax(layout.transfer_syntax).decoder != "jpeg-lossless":
            return pydicom.dcmread(path, force=True).pixel_array
        program = shutil.which("dcmdjpeg")
        if program is None:
            return None
        done = subprocess.run([program, path, folder / "native.dcm"], capture_output=True)
        return (
            pydicom.dcmread(folder / "native.dcm", force=True).pixel_array if done.returncode == 0 else None
        )


def test_encapsulated_frames_are_those_that_other_toolkits_decode(shared_data: Path, tmp_path: Path) -> None:
    compared: collections.Counter[str | None] = collections.Counter()
    for path, raw, layout in lossless_encapsulated(shared_data):
        image = read_image_pixel(raw, layout)
        assert image is not None
        frames = np.stack(list(decode_frames(raw, layout, image)))
        wanted = reference(path, layout, tmp_path)
        if wanted is not None:
            assert np.array_equal(frames, wanted.reshape(frames.shape).astype(frames.dtype)), path
            compared[syntax(layout.transfer_syntax).decoder] += 1
    print(dict(compared))
    assert {"rle", "jpeg-ls", "jpeg-2000"} <= set(compared) and sum(compared.values()) > 40


def test_lossy_marks_can_be_written_into_every_native_file_that_pydicom_reads(shared_data: Path) -> None:
    made = 0
    for path, raw, layout in scanned(shared_data):
        if isinstance(layout, DicomError) or reason(raw, layout) is not None or path.stat().st_size > 60_000:
            continue
        attributes = read_attributes(raw, layout)
        if attributes.sop_class_uid is None or attributes.sop_instance_uid is None:
            continue
        facts = LossyFacts(1, 2.0, 0, 9, new_uid())
        derived = derived_surroundings(raw, layout, facts)
        again = scan(
            derived.before_dataset
            + derived.head
            + cut(raw, layout).element_header
            + bytes(cut(raw, layout).value)
            + derived.tail
        )
        assert again.sop_instance_uid == facts.sop_instance_uid, path
        assert (again.broken is None) == (layout.broken is None), path
        assert len(again.elements) >= len(layout.elements) - 3, path
        made += 1
    assert made > 100
