"""What a stage measures: bytes that can be counted again, and failures that stay with their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.benchmark.folder import look
from dicomnn.benchmark.run import Progress, Settings, Step, run
from dicomnn.benchmark.stages import Job, Measured, work
from dicomnn.codec.profile import Profile
from dicomnn.coded.seal import seal
from dicomnn.errors import UsageError
from dicomnn.shelf import default_shelf

FAST = "dicomnn:fast:lossless"


def measured(path: Path, codec: str) -> Measured:
    (series,) = look(path).series
    return work(Job(codec, series.units[0], ""), lambda done, total: None)


def changed(source: Path, target: Path, pixels: np.ndarray | None = None, **attributes: str) -> Path:
    dataset = pydicom.dcmread(source)
    if pixels is not None:
        dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(target)
    return target


def test_ours_are_the_bytes_of_the_stored_file_less_all_that_is_no_pixel(
    sample_data: Path, tmp_path: Path
) -> None:
    source = sample_data / "mr_brain" / "t2_01.dcm"
    result = measured(source, FAST)
    shelf = default_shelf()
    seal(source, tmp_path / "a", profile=Profile("lossless"), model=shelf.newest(), models=shelf.get,
         effort="fast")  # fmt: skip
    no_pixel = source.stat().st_size - 192 * 192 * 2
    assert result.size == (tmp_path / "a").stat().st_size - no_pixel
    assert 0 < result.size - result.payload < 3000
    assert (result.status, result.pixels, sum(result.tiles.values())) == ("done", 192 * 192, 1)
    assert min(result.encode_cpu, result.encode_wall, result.decode_cpu, result.decode_wall) > 0
    assert result.memory > 50 << 20


def test_what_would_not_become_smaller_counts_uncompressed(sample_data: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 16, (192, 192)).astype("<u2")
    path = changed(sample_data / "mr_brain" / "t2_01.dcm", tmp_path / "a.dcm", noise)
    result = measured(path, FAST)
    assert (result.kept, result.size, result.tiles) == (True, noise.nbytes, {})


def test_peers_are_the_bytes_of_their_codestreams(sample_data: Path) -> None:
    import imagecodecs

    path = sample_data / "mr_brain" / "t1_01.dcm"
    pixels = pydicom.dcmread(path).pixel_array
    plane = (pixels - pixels.min()).astype(np.uint16)
    bits = int(plane.max()).bit_length()
    stream = imagecodecs.jpegxl_encode(plane, effort=7, lossless=True, bitspersample=bits, numthreads=1)
    assert measured(path, "jxl-e7").size == len(stream)


def test_a_bound_is_not_measured_where_loss_is_forbidden(sample_data: Path, tmp_path: Path) -> None:
    path = changed(sample_data / "dx_chest" / "chest_pa.dcm", tmp_path / "a.dcm", Modality="MG")
    assert look(path).series[0].items[0].bounded is False
    pixels = np.zeros((1024, 832), "<u2")
    changed(path, path, pixels)  # the answer is the same for an image that is quickly coded
    assert measured(path, "dicomnn:fast:bounded:2").status == "not-applicable"


def test_a_file_that_fails_is_listed_counts_for_no_codec_and_the_rest_goes_on(
    sample_data: Path, tmp_path: Path
) -> None:
    for name in ("t1_01.dcm", "t1_02.dcm"):
        (tmp_path / name).write_bytes((sample_data / "mr_brain" / name).read_bytes())

    def vanish(step: Step) -> None:
        if step.number == 2:
            (tmp_path / "t1_01.dcm").unlink()

    told: list[str] = []
    settings = Settings(tmp_path, peers=("jpegls", "jpeg2000"), efforts=("fast",))
    result = run(settings, Progress(stage=vanish, problem=told.append))
    assert {(name, codec) for name, codec, _ in result.problems} == {
        ("t1_01.dcm", "jpeg2000"),
        ("t1_01.dcm", FAST),
    }
    assert len(told) == 2 and "t1_01.dcm: JPEG 2000" in told[0]
    (row,) = result.rows
    assert {size.units for size in row.sizes.values()} == {frozenset({"t1_02.dcm"})}
    assert set(row.sizes) == {"jpegls", "jpeg2000", FAST}


def test_a_folder_without_an_image_and_a_wrong_effort_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(UsageError, match="nothing below .* 1 not-dicom"):
        run(Settings(tmp_path))
    with pytest.raises(UsageError, match="no effort"):
        run(Settings(tmp_path, efforts=("slow",)))
    with pytest.raises(UsageError, match="is no model"):
        run(Settings(tmp_path, model="0" * 32))
