"""The catalogue finds every image in every format once, says why it leaves the others out, and goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dicomnn.errors import UsageError
from dicomnn.flow.opening import Place, open_archive
from dicomnn.shelf import OWN_MODELS, default_shelf
from dicomnn.training.images import catalogue, reading
from dicomnn.training.images.catalogue import Catalogue, pick
from dicomnn.training.images.measures import noise_level
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import LEFT_OUT, NotUsable
from tests.codec.conftest import made_model_bytes
from tests.training import trees


def build(folder: Path, lines: Path, **more: object) -> Catalogue:
    return catalogue.build([folder], lines, **more)  # type: ignore[arg-type]


def names(found: Catalogue) -> dict[str, str]:
    return {Path(one.path).name: one.reason for one in found.left_out}


def test_one_image_in_eleven_formats_is_catalogued_once_and_the_rest_are_duplicates(tmp_path: Path) -> None:
    count = trees.same_image_in_many_formats(tmp_path / "in")
    found = build(tmp_path / "in", tmp_path / "lines.jsonl")
    assert [Path(plane.file.path).name for plane in found.planes] == ["a.dcm"]
    assert list(names(found).values()) == ["duplicate"] * (count - 1)
    kinds = {json.loads(line).get("kind") for line in (tmp_path / "lines.jsonl").read_text().splitlines()}
    assert kinds >= {"dicom", "coded", "volume", "picture"}


def test_what_is_no_training_data_is_left_out_with_its_reason(tmp_path: Path) -> None:
    wanted = trees.bad_files(tmp_path / "in")
    trees.write(tmp_path / "in" / "good.dcm", trees.texture(9))
    found = build(tmp_path / "in", tmp_path / "lines.jsonl")
    assert names(found) == wanted
    assert [Path(plane.file.path).name for plane in found.planes] == ["good.dcm"]
    assert all(one.sentence and one.reason in LEFT_OUT for one in found.left_out)
    assert sum(found.reasons().values()) == len(wanted)


def test_patients_are_kept_as_digests_only(tmp_path: Path) -> None:
    trees.write(tmp_path / "in" / "a.dcm", trees.texture(1), patient="4711-Mueller")
    found = build(tmp_path / "in", tmp_path / "lines.jsonl")
    text = (tmp_path / "lines.jsonl").read_text()
    assert found.planes[0].file.patient and "Mueller" not in text and "Secret" not in text


def test_an_interrupted_walk_goes_on_without_measuring_again(tmp_path: Path) -> None:
    folder, lines = trees.scanners(tmp_path / "in", 3), tmp_path / "lines.jsonl"

    class Enough(Exception):
        pass

    def stop_at_five(what: str, done: int, total: int) -> None:
        if what == "measuring planes" and done == 5:
            raise Enough

    with pytest.raises(Enough):
        build(folder, lines, progress=stop_at_five)
    with lines.open("a") as file:
        file.write('{"path": "torn')  # what a kill in the middle of a line leaves
    counted: list[int] = []

    def count(what: str, done: int, total: int) -> None:
        if what == "measuring planes":
            counted.append(done)

    found = build(folder, lines, progress=count)
    assert len(found.planes) == 12 and counted == list(range(6, 13))
    counted.clear()
    assert build(folder, lines, progress=count) == found and not counted


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path, lines = tmp_path / "in" / "a.dcm", tmp_path / "lines.jsonl"
    trees.write(path, trees.texture(1))
    first = build(tmp_path / "in", lines)
    trees.write(path, trees.texture(2))
    os.utime(path, ns=(1, first.planes[0].file.changed + 1))
    second = build(tmp_path / "in", lines)
    assert len(second.planes) == 1 and second.planes[0].measures.digest != first.planes[0].measures.digest


def test_a_series_gives_no_more_planes_than_asked_spread_evenly(tmp_path: Path) -> None:
    frames = np.stack([trees.texture(n, 40, 40) for n in range(20)])
    trees.write(tmp_path / "in" / "a" / "many.dcm", frames)
    for n in range(10):
        trees.write(tmp_path / "in" / "b" / f"{n}.dcm", trees.texture(100 + n, 40, 40))
    found = build(tmp_path / "in", tmp_path / "lines.jsonl", per_series=5)
    assert [plane.frame for plane in found.planes if plane.file.source == "a"] == [0, 5, 10, 14, 19]
    assert [Path(plane.file.path).stem for plane in found.planes if plane.file.source == "b"] == list("02479")
    assert len(pick([plane.file for plane in found.planes[:1]], 0)) == 20


def test_slices_of_a_volume_and_frames_of_a_file_are_read_one_by_one(
    tmp_path: Path, sample_data: Path
) -> None:
    import SimpleITK

    slices = np.stack([trees.texture(n) for n in range(6)]).reshape(2, 3, 64, 56)
    (tmp_path / "in" / "sub-07" / "mr").mkdir(parents=True)
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(slices, isVector=False),
        str(tmp_path / "in" / "sub-07" / "mr" / "bold.nii"),
    )
    found = build(tmp_path / "in", tmp_path / "lines.jsonl")
    assert [(plane.frame, plane.file.group) for plane in found.planes] == [(n, "MR") for n in range(6)]
    for plane in found.planes:
        wanted = slices[plane.frame // 3, plane.frame % 3]
        read = reading.plane_of(*reading.frame(plane.file, plane.frame, found.shelf))
        np.testing.assert_array_equal(read, wanted - wanted.min())
    assert found.planes[0].file.patient


def test_a_sidecar_names_scanner_and_modality_of_a_volume(tmp_path: Path) -> None:
    import SimpleITK

    (tmp_path / "in").mkdir()
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(trees.texture(1)[None]), str(tmp_path / "in" / "x.nii.gz")
    )
    told = {
        "Modality": "MR",
        "Manufacturer": "Siemens",
        "ManufacturersModelName": "Prisma_fit",
        "PatientID": "7",
    }
    (tmp_path / "in" / "x.json").write_text(json.dumps(told))
    (plane,) = build(tmp_path / "in", tmp_path / "lines.jsonl").planes
    assert (plane.file.group, plane.file.device) == ("MR", "siemens prisma fit") and plane.file.patient


def test_an_archive_in_use_is_read_with_its_own_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomnn.codec.model import Model
    from tests.flow.conftest import Policy, Walks
    from tests.scp.peer import image

    model = Model.from_bytes(made_model_bytes(77))
    own = tmp_path / "own"
    (own / model.id).mkdir(parents=True)
    (own / model.id / "model.bin").write_bytes(model.data)
    (own / "released.json").write_text(json.dumps({"models": [model.id]}))
    monkeypatch.setenv(OWN_MODELS, str(own))
    assert default_shelf().newest().id == model.id
    archive = open_archive(Place(str(tmp_path / "archive")))
    walks = Walks(archive, Policy())
    for number in (1, 2):
        walks.put(image(number, rows=64, columns=64))
    assert [done.outcome for done in walks.code_all()] == ["coded", "coded"]
    archive.release_due()
    archive.close()
    monkeypatch.delenv(OWN_MODELS)
    found = build(tmp_path / "archive", tmp_path / "lines.jsonl")
    assert len(found.planes) == 2 and {plane.file.kind for plane in found.planes} == {"coded"}
    assert {plane.file.source for plane in found.planes} == {"archive"}


def test_the_cache_of_planes_stays_within_its_budget_and_gives_the_same_again(tmp_path: Path) -> None:
    found = build(trees.scanners(tmp_path / "in", 3), tmp_path / "lines.jsonl")
    one = 64 * 56 * 2
    cache = PlaneCache(found.shelf, 3 * one)
    first = [cache.get(plane).copy() for plane in found.planes]
    assert cache.bytes == 3 * one
    for plane, wanted in zip(found.planes, first, strict=True):
        np.testing.assert_array_equal(cache.get(plane), wanted)
        assert not cache.get(plane).flags.writeable
    Path(found.planes[0].file.path).unlink()
    with pytest.raises(NotUsable):
        PlaneCache(found.shelf).get(found.planes[0])


def test_the_noise_level_is_that_of_the_noise_whatever_lies_under_it() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:200, 0:200]
    for sigma in (2.0, 8.0, 30.0):
        plane = np.rint(5000 + 9 * x + 5 * y + 800 * (x > 90) + rng.normal(0, sigma, x.shape))
        plane[:, 150:] = 0  # padding has no noise and must not hide the rest
        assert noise_level(plane.astype(np.uint16)) == pytest.approx(sigma, rel=0.1)


def test_a_foreign_file_is_no_catalogue_and_a_missing_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"something": "else"}\n')
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match="no catalogue"):
        build(tmp_path / "in", tmp_path / "lines")
    with pytest.raises(UsageError, match="no folder"):
        build(tmp_path / "nowhere", tmp_path / "lines2")


@pytest.mark.shared_data
def test_real_files_are_all_usable_but_the_counting_pattern(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "train"
    found = catalogue.build(
        [folder / "dcm_qa_nih", folder / "tcia-qin-breast", folder / "nibabel"],
        tmp_path / "lines.jsonl",
        per_series=2,
    )
    assert found.reasons() == {"ramp": 1}
    assert len({plane.file.device for plane in found.planes}) == 3
