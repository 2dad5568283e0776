"""No patient and no scanner is on two sides; the same images are split alike; small sites are told so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnn.errors import UsageError
from dicomnn.training.images import catalogue
from dicomnn.training.images.records import ImageFile, Measures, PlaneRecord
from dicomnn.training.images.split import (
    APART,
    LEVELS,
    SIDES,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    SplitRequest,
    split,
)


def plane(
    number: int, *, patient: str, device: str, source: str = "s", group: str = "CT", series: str = ""
) -> PlaneRecord:
    file = ImageFile(
        f"/{source}/{number}", 1, 1, "dicom", source, group, group, device, "", "", device, patient,
        f"study {patient} {device}", series or f"series {patient} {device}", 64, 64, 1, 16, False,
    )  # fmt: skip
    return PlaneRecord(file, 0, Measures(f"{number:032x}", 3.0, 0.9, 0.9, 99, 99, False))


def shared(found: Split, what: str) -> set[str]:
    """Patients or devices on more than one side."""
    seen: dict[str, set[str]] = {}
    for side in SIDES:
        for one in found.sides[side]:
            name = getattr(one.file, what)
            if name:
                seen.setdefault(name, set()).add(side)
    return {name for name, sides in seen.items() if len(sides) > 1}


def everything(found: Split) -> list[str]:
    return sorted(one.key for planes in [*found.sides.values(), found.apart] for one in planes)


planes_of_a_hospital = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12), st.sampled_from(["CT", "MR", "XR"]), st.integers(0, 3)),
    min_size=1,
    max_size=60,
).map(
    lambda rows: [
        plane(
            n, patient=f"p{p}" if p else "", device=f"{group} scanner {d}", source=f"source{s}", group=group
        )
        for n, (p, d, group, s) in enumerate(rows)
    ]
)


@given(planes_of_a_hospital, st.floats(0.05, 0.4), st.floats(0.05, 0.4))
@settings(max_examples=150, deadline=None)
def test_no_patient_and_no_scanner_is_on_two_sides(
    planes: Sequence[PlaneRecord], validation: float, test: float
) -> None:
    found = split(planes, SplitRequest(validation, test))
    if found.level == "scanner":
        assert not shared(found, "device")
    if found.level in ("scanner", "patient"):
        assert not shared(found, "patient") and not shared(found, "series")
    if found.level != "none":
        assert everything(found) == sorted(one.key for one in planes)
        assert found.sides[TRAIN] and found.sides[VALIDATION]
        groups = {one.file.group for one in found.sides[TRAIN]}
        assert all(one.file.group in groups for side in SIDES for one in found.sides[side])


@given(
    planes_of_a_hospital,
    st.sets(st.integers(0, 3), max_size=2),
    st.sets(st.integers(0, 3), max_size=2),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_named_sources_keep_their_patients_and_scanners_to_themselves(
    planes: Sequence[PlaneRecord], validation: set[int], test: set[int], scanners_too: bool
) -> None:
    there = {one.file.source for one in planes}
    named = [tuple(f"source{n}" for n in part) for part in (validation - test, test)]
    named = [tuple(name for name in part if name in there) for part in named]
    if not any(named):
        return
    try:
        found = split(planes, SplitRequest(0.1, 0.1, *named, shared_scanners=scanners_too))
    except UsageError as error:
        assert "Every image" in str(error)
        return
    assert everything(found) == sorted(one.key for one in planes) or found.level == "none"
    assert {one.file.source for one in found.sides[TEST]} >= set(named[1])
    assert not {one.file.source for one in found.sides[TRAIN]} & {*named[0], *named[1]}
    if found.level.startswith("scanner"):
        assert not shared(found, "patient")
    if found.level == "scanner":
        assert not shared(found, "device")


def hospital(scanners: int = 40, patients: int = 3) -> list[PlaneRecord]:
    return [
        plane(
            10 * d + p,
            patient=f"{d} {p}",
            device=f"scanner {d}",
            source=f"source{d}",
            group=("CT", "MR")[d % 2],
        )
        for d in range(scanners)
        for p in range(patients)
    ]


def test_the_split_follows_from_the_images_alone() -> None:
    planes = hospital()
    first = split(planes, SplitRequest())
    assert split(planes, SplitRequest()) == first
    backwards = split(planes[::-1], SplitRequest())
    assert {side: {one.key for one in found} for side, found in backwards.sides.items()} == {
        side: {one.key for one in found} for side, found in first.sides.items()
    }
    fewer = split([one for one in planes if one.file.device != "scanner 7"], SplitRequest())
    moved = [one for side in SIDES for one in fewer.sides[side] if one not in first.sides[side]]
    assert not moved


def test_shares_are_kept_on_the_whole() -> None:
    counts = split(hospital(400, 1), SplitRequest(0.2, 0.1)).counts()
    assert counts[VALIDATION]["scanners"] == pytest.approx(80, abs=20)
    assert counts[TEST]["scanners"] == pytest.approx(40, abs=15)
    assert counts[APART]["images"] == 0


def test_a_site_with_one_scanner_keeps_patients_apart_and_says_so() -> None:
    planes = [plane(n, patient=f"p{n // 4}", device="the one", series=f"s{n // 2}") for n in range(40)]
    found = split(planes, SplitRequest())
    assert found.level == "patient" and not shared(found, "patient")
    assert all(found.sides[side] for side in SIDES) and "scanners are" in found.sentence


def test_one_patient_one_series_and_one_image_still_give_a_split() -> None:
    one_patient = [plane(n, patient="p", device="d", series=f"s{n // 3}") for n in range(12)]
    one_series = [plane(n, patient="p", device="d", series="s") for n in range(12)]
    assert split(one_patient, SplitRequest()).level == "series"
    assert split(one_series, SplitRequest()).level == "image"
    alone = split(one_series[:1], SplitRequest())
    assert alone.level == "none" and alone.sides[TRAIN] == alone.sides[VALIDATION] == one_series[:1]
    assert set(LEVELS) >= {"series", "image", "none"}


def test_what_cannot_be_split_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No image"):
        split([], SplitRequest())
    with pytest.raises(UsageError, match="nowhere.*source0"):
        split(hospital(3), SplitRequest(test=("nowhere",)))
    with pytest.raises(UsageError, match="cannot validate and test"):
        SplitRequest(validation=("a",), test=("a", "b"))
    with pytest.raises(UsageError, match="nothing to train on"):
        SplitRequest(0.6, 0.5)


@pytest.mark.shared_data
def test_real_images_keep_patients_and_scanners_apart(tmp_path: Path, shared_data: Path) -> None:
    names = (
        "dcm_qa_nih",
        "dcm_qa_ge",
        "dcm_qa_stc",
        "dcm_qa_xa30",
        "dcm_qa_frag",
        "dcmqi",
        "tcia-tcga-lihc",
        "rt-utils",
    )
    folders = tuple(shared_data / "train" / name for name in names)
    found = catalogue.build(folders, tmp_path / "lines.jsonl", per_series=1)
    planes = [
        replace(one, file=replace(one.file, source=Path(one.file.path).parts[-3])) for one in found.planes
    ]
    named = SplitRequest(test=("dcm_qa_nih",), validation=("dcm_qa_ge", "dcmqi"))
    for request, apart in ((SplitRequest(), 0), (named, 2)):
        dealt = split(planes, request)
        assert dealt.level == "scanner" and not shared(dealt, "patient") and not shared(dealt, "device")
        assert all(dealt.sides[side] for side in SIDES)
        assert len({one.file.series for one in dealt.apart}) == apart  # MR750 is in dcm_qa_stc too
