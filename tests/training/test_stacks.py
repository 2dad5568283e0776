"""Which plane comes before which: along the stack, frame by frame, and never one that does not belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomnn.codec.profile import Profile
from dicomnn.coded.seal import seal
from dicomnn.shelf import default_shelf
from dicomnn.training.images import catalogue
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import ImageFile, PlaneRecord
from dicomnn.training.images.split import TRAIN, VALIDATION, SplitRequest, split
from dicomnn.training.images.stacks import Stacks
from dicomnn.training.run_folder import RunFolder, read_images
from tests.training import trees


def slice_at(name: str, position: float | None, **more: object) -> ImageFile:
    file = ImageFile(
        name, 1, 1, "dicom", "s", "CT", "CT", "", "", "", "d", "p", "study", "series", 64, 56, 1, 16, False,
        stack="" if position is None else "0.00 0.00 1.00", position=position,
    )  # fmt: skip
    return replace(file, **more)  # type: ignore[arg-type]


def pairs(files: Sequence[ImageFile]) -> dict[str, str]:
    """Name to the name of the plane before."""
    stacks = Stacks(files)
    found = {file.path: stacks.before(file, 0) for file in files}
    return {name: before.path for name, before in found.items() if before is not None}


def test_slices_follow_one_another_by_their_place_and_a_gap_ends_the_run() -> None:
    files = [slice_at("d", 6.0), slice_at("a", 3.0), slice_at("c", 4.5), slice_at("b", 20.0)]
    assert pairs(files) == {"c": "a", "d": "c"}
    assert pairs([slice_at("a", 0.0), slice_at("b", 12.0)]) == {}


def test_of_a_series_thinned_out_to_pairs_the_pairs_are_found() -> None:
    files = [slice_at(f"{n}", position) for n, position in enumerate([0.0, 1.0, 7.0, 8.0, 14.0, 15.0])]
    assert pairs(files) == {"1": "0", "3": "2", "5": "4"}


@pytest.mark.parametrize(
    "other",
    [{"rows": 32}, {"series": "other"}, {"source": "other"}, {"stack": "1.00 0.00 0.00"}, {"frames": 4}],
)
def test_another_shape_series_direction_or_a_file_of_many_frames_is_no_neighbour(
    other: dict[str, object],
) -> None:
    assert pairs([slice_at("a", 0.0), slice_at("b", 1.0)]) == {"b": "a"}
    found = pairs([slice_at("a", 0.0), slice_at("b", 1.0, **other)])
    assert found == {}


def test_phases_of_one_place_go_with_the_same_phase_of_the_next() -> None:
    files = [
        slice_at(f"{place}{phase}", float(place), instance=place + 100 * phase)
        for place in range(3) for phase in range(2)
    ]  # fmt: skip
    assert pairs(files) == {"10": "00", "11": "01", "20": "10", "21": "11"}
    assert pairs(files[1:]) == {"20": "10", "21": "11"}  # of place 0 one is missing: which one?


def test_without_places_the_numbers_tell_where_the_spacing_is_told() -> None:
    told = [slice_at(f"{n}", None, instance=n, spacing=2.0) for n in (1, 2, 4, 5)]
    assert pairs(told) == {"2": "1", "5": "4"}
    for spacing in (None, 0.0, 20.0):
        assert pairs([replace(file, spacing=spacing) for file in told]) == {}
    assert pairs([replace(file, group="XR") for file in told]) == {}


def write_series(folder: Path, places: Sequence[float], shift: int = 0, **more: object) -> list[np.ndarray]:
    """Slices at ``places`` along a tilted normal; their stored values, less ``shift``."""
    slices = [trees.texture(n).astype(int) + 20 * n - shift for n in range(len(places))]
    for number, (place, values) in enumerate(zip(places, slices, strict=True)):
        words = values.astype("<i2").view("<u2")
        position, orientation = [0.0, -place * 0.6, place * 0.8], [1, 0, 0, 0, 0.8, 0.6]
        trees.write(
            folder / f"{number}.dcm", words, InstanceNumber=number,
            ImagePositionPatient=position, ImageOrientationPatient=orientation, **more,
        )  # fmt: skip
    return slices


def by_name(planes: Sequence[PlaneRecord]) -> dict[str, str]:
    return {
        f"{Path(plane.file.path).stem}#{plane.frame}": f"{Path(plane.before.path).stem}#{plane.before.frame}"
        for plane in planes
        if plane.before is not None
    }


def test_files_are_read_for_it_and_a_second_look_finds_the_same(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "tilted", [4.0, 2.0, 0.0, 6.0])
    first = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    assert by_name(first.planes) == {"0#0": "1#0", "1#0": "2#0", "3#0": "0#0"}
    assert catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl") == first


def test_the_plane_before_need_not_be_one_that_was_picked(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "in" / "a", [float(n) for n in range(9)])
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl", per_series=3)
    assert by_name(found.planes) == {"4#0": "3#0", "8#0": "7#0"}
    plane, offset = PlaneCache(found.shelf).before(found.planes[1]) or (None, 0)
    assert plane is not None and offset == slices[3].min() - slices[4].min() != 0


def test_coded_slices_and_frames_of_a_file_have_neighbours_too(tmp_path: Path) -> None:
    write_series(tmp_path / "native", [0.0, 1.0])
    shelf = default_shelf()
    for name in ("0.dcm", "1.dcm"):
        (tmp_path / "in" / "coded").mkdir(parents=True, exist_ok=True)
        seal(tmp_path / "native" / name, tmp_path / "in" / "coded" / name,
             profile=Profile("lossless"), model=shelf.newest(), models=shelf.get)  # fmt: skip
    frames = np.stack([trees.texture(n, 40, 40) for n in range(3)])
    trees.write(tmp_path / "in" / "many" / "m.dcm", frames)
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    assert {plane.file.kind for plane in found.planes} == {"coded", "dicom"}
    assert by_name(found.planes) == {"1#0": "0#0", "m#1": "m#0", "m#2": "m#1"}


@pytest.mark.parametrize("signed", [0, 1])
def test_the_plane_before_comes_in_the_units_of_the_plane(tmp_path: Path, signed: int) -> None:
    slices = write_series(tmp_path / "in", [0.0, 1.0], 1000 * signed, PixelRepresentation=signed)
    assert not signed or slices[0].min() < 0 < slices[0].max()
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    plane, offset = PlaneCache(found.shelf).before(found.planes[1]) or (np.zeros(1), 0)
    np.testing.assert_array_equal(plane.astype(int) + offset, slices[0] - slices[1].min())


def test_slices_of_a_volume_keep_their_distance_and_the_codecs_range(tmp_path: Path) -> None:
    import SimpleITK

    slices = np.stack([trees.texture(n).astype(np.int32) + shift for n, shift in enumerate((0, -500, 90000))])
    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(slices), str(tmp_path / "in" / "v.nii"))
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    cache = PlaneCache(found.shelf)
    assert cache.before(found.planes[0]) is None
    plane, offset = cache.before(found.planes[1]) or (np.zeros(1), 0)
    np.testing.assert_array_equal(plane.astype(int) + offset, slices[0] - slices[1].min())
    assert cache.before(found.planes[2]) is None  # further off than 16 bits can tell


def test_a_neighbour_that_is_gone_is_done_without(tmp_path: Path) -> None:
    write_series(tmp_path / "in", [0.0, 1.0])
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    (tmp_path / "in" / "0.dcm").unlink()
    assert PlaneCache(found.shelf).before(found.planes[1]) is None


def test_a_run_keeps_the_neighbours_of_its_images(tmp_path: Path) -> None:
    write_series(tmp_path / "in", [0.0, 1.0, 2.0])
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    dealt = split(found.planes, SplitRequest(0.0, 0.0))
    with RunFolder(tmp_path / "run") as folder:
        folder.keep_images(dealt, {})
    known = read_images(tmp_path / "run")
    assert known is not None and known[0] == dealt
    assert len(by_name(known[0].sides[TRAIN])) == 2


def test_where_only_images_are_kept_apart_no_neighbour_is_on_another_side(tmp_path: Path) -> None:
    write_series(tmp_path / "in", [float(n) for n in range(8)])
    found = catalogue.build([tmp_path / "in"], tmp_path / "lines.jsonl")
    dealt = split(found.planes, SplitRequest(0.4, 0.0))
    assert dealt.level == "image" and len(dealt.sides[VALIDATION]) > 0
    for side in (TRAIN, VALIDATION):
        own = {plane.key for plane in dealt.sides[side]}
        assert all(plane.before is None or plane.before.key in own for plane in dealt.sides[side])
    assert any(plane.before for plane in dealt.sides[TRAIN])
