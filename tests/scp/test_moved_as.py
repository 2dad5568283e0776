"""Objects of every syntax moved to receivers that take only Implicit LE, only Explicit LE, only what came.

Right bytes, or a failed sub-operation with a reason. `benchmarks/moved_as.py` does it with whole collections.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnn.dicom.syntaxes import syntax
from tests.scp.collection import items
from tests.scp.moving import moved
from tests.scp.peer import Item

RIGHT = {"bytes", "values", "pixels", "lossy pixels"}
ODD = """
pydicom/MR_small_implicit.dcm pydicom/CT_small.dcm pydicom/MR_small_bigendian.dcm pydicom/image_dfl.dcm
pydicom/MR_small_padded.dcm pydicom/MR_truncated.dcm pydicom/UN_sequence.dcm pydicom/badVR.dcm
pydicom/priv_SQ.dcm pydicom/reportsi.dcm pydicom/rtdose_rle_1frame.dcm pydicom/SC_rgb_small_odd_big_endian.dcm
pydicom/SC_rgb_rle_16bit_2frame.dcm pydicom/SC_rgb_jpeg_gdcm.dcm pydicom/SC_rgb_dcmtk_+eb+cy+s2.dcm
pydicom/JPGExtended.dcm pydicom/JPEGLSNearLossless_16.dcm pydicom/MR_small_jp2klossless.dcm
pydicom/JPEG2000.dcm pydicom/rtplan_truncated.dcm pydicom/JPEG2000-embedded-sequence-delimiter.dcm
pydicom-data/JLSL_08_07_0_1F.dcm pydicom-data/HTJ2KLossless_08_RGB.dcm pydicom-data/parametric_map_float.dcm
highdicom/seg_image_ct_binary.dcm fo-dicom/JPEGwithIcon.dcm made-from-ct-small/overlay-in-high-bits.dcm
""".split()
FAILS = {"rtplan_truncated.dcm": "to its end",
         "JPEG2000-embedded-sequence-delimiter.dcm": "the data set says"}


def check(found: list[tuple[Path, Item]], folder: Path, coded: float | None = None) -> None:
    names: dict[str, str] = {}
    for path, item in found:
        assert item.instance not in names, path
        names[item.instance] = path.name
    told = moved([item for _, item in found], folder, coded)
    assert len(told) == 3 * len(found)
    native = {item.instance for _, item in found if syntax(item.syntax).native}
    for (uid, kind), verdict in told.items():
        if kind == "as received" and (coded is None or uid in native):
            assert verdict == "bytes", (names[uid], verdict)
        elif kind == "as received":        # decoded to be coded: only some compressions can be written again
            assert verdict in RIGHT or "presentation context" in verdict, (names[uid], verdict)
        elif verdict.startswith("failed") and names[uid] in FAILS:
            assert FAILS[names[uid]] in verdict
        else:
            assert verdict in RIGHT, (names[uid], kind, verdict)


def test_every_sample_arrives_right_in_every_syntax(sample_data: Path, tmp_path: Path) -> None:
    check(list(items(sample_data)), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_sample_arrives_right_in_every_syntax_also_when_it_was_coded(sample_data: Path,
                                                                          tmp_path: Path) -> None:
    check(list(items(sample_data)), tmp_path, coded=900)


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_odd_objects_arrive_right_also_when_they_were_coded(shared_data: Path, tmp_path: Path) -> None:
    check(odd(shared_data), tmp_path, coded=1500)


@pytest.mark.shared_data
def test_odd_objects_arrive_right_or_fail_with_a_reason(shared_data: Path, tmp_path: Path) -> None:
    check(odd(shared_data), tmp_path)


def odd(shared_data: Path) -> list[tuple[Path, Item]]:
    wanted = {shared_data / "odd" / name for name in ODD}
    found: dict[str, tuple[Path, Item]] = {}
    for path, item in items(shared_data / "odd"):
        if path in wanted:
            found.setdefault(item.instance, (path, item))
    assert len(found) > 20
    return list(found.values())
