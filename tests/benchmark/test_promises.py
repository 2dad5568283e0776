"""The campaign of promises: figures from the definitions, and what is broken shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from skimage.metrics import structural_similarity

from dicomnn.benchmark import promises
from dicomnn.benchmark.folder import look
from dicomnn.benchmark.pages import fill, marks
from dicomnn.benchmark.promise_tables import broken_lines, promise_tables
from dicomnn.benchmark.promises import Outcome, figure, promises_of, run, similarity, window_in
from dicomnn.cli import main
from dicomnn.codec.lossy.frame import COARSEST, encode_frame
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.promise import Kept, Promise, Scale
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.caps import strictest
from dicomnn.errors import UsageError

SMALL = "mr_brain/t1_01.dcm"


@pytest.fixture
def folder(sample_data: Path, tmp_path: Path) -> Path:
    """One small MR, cut to 64x64; the same as dental X-ray, for which there is no cap, and lossy before."""
    dataset = pydicom.dcmread(sample_data / SMALL)
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[64:128, 64:128]).tobytes()
    dataset.Rows = dataset.Columns = 64
    (tmp_path / "a").mkdir()
    dataset.save_as(tmp_path / "a" / "mr.dcm")
    for number, modality in enumerate(("IO", "MR"), 1):
        dataset.Modality = modality
        dataset.LossyImageCompression = "01" if modality == "MR" else "00"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        dataset.SeriesInstanceUID = f"1.3.{number}"
        dataset.save_as(tmp_path / "a" / f"{number}.dcm")
    return tmp_path


def pixel(**values: float | None) -> ImagePixel:
    known = dict.fromkeys(ImagePixel.__dataclass_fields__)
    return ImagePixel(**{**known, **values})  # type: ignore[arg-type]


def test_similarity_is_that_of_the_reference() -> None:
    random = np.random.default_rng(3)
    for shape in ((40, 31), (7, 9), (5, 6)):
        a = random.integers(0, 256, shape).astype(np.float64)
        b = np.clip(a + random.normal(0, 20, shape), 0, 255)
        side = min(7, *shape) - (1 - min(7, *shape) % 2)
        wanted = structural_similarity(a, b, win_size=side, data_range=255.0)
        assert similarity(a, b, 255.0) == pytest.approx(wanted, abs=1e-12)
    assert similarity(a, a, 255.0) == 1.0


def test_a_psnr_has_the_full_scale_as_its_maximum() -> None:
    plane = np.full((8, 8), 100, np.uint16)
    assert figure("psnr", plane, plane + np.uint16(1), 4095.0, None) == pytest.approx(20 * np.log10(4095))
    assert figure("psnr", plane, plane, 4095.0, None) == np.inf


def test_the_window_of_a_file_is_taken_in_values_of_the_plane() -> None:
    with_window = pixel(window_center=40, window_width=401, rescale_slope=1, rescale_intercept=-1024)
    found = window_in(with_window, -24)
    assert found == (40 - 0.5 - 200 + 1024 + 24, 40 - 0.5 + 200 + 1024 + 24)
    assert window_in(pixel(window_center=40), 0) is None
    assert window_in(pixel(window_center=40, window_width=1), 0) is None


@pytest.mark.parametrize("bits, decibels", [(8, [36, 46, 56]), (12, [60, 70, 80]), (16, [84, 94, 104])])
def test_promises_stay_within_the_caps_and_follow_the_depth(bits: int, decibels: list[int]) -> None:
    for modality in ("CT", "MR", "CR", "DX", "XA", "RF", "US"):
        cap = strictest(modality)
        assert cap is not None
        made = [Promise.parse(text) for text in promises_of(modality, bits)]
        ratios = [promise.value for promise in made if promise.kind == "ratio"]
        assert len(ratios) == 3 and max(ratios) == cap
        assert [promise.value for promise in made if promise.kind == "psnr"] == decibels
        assert len([promise for promise in made if promise.kind == "ssim"]) == 3


def test_every_promise_is_kept_and_what_is_forbidden_is_left_out(folder: Path) -> None:
    campaign = run(look(folder).series, jobs=1)
    assert not campaign.failed
    assert [o.promise for o in campaign.outcomes] == list(promises_of("MR", 12))
    assert {o.state for o in campaign.outcomes} <= {"kept", "escalated"}
    assert sum(o.state == "kept" for o in campaign.outcomes) >= 6
    for outcome in campaign.outcomes:
        assert outcome.claimed == pytest.approx(outcome.reached, rel=1e-6)
    assert sum(campaign.left_out.values()) == 2 and len(campaign.left_out) == 2


def coarse(promise: Promise, plane: np.ndarray, model: LossyModel, scale: Scale) -> Kept:
    """A codec that says it kept what it did not."""
    return Kept(encode_frame(plane, COARSEST - 300, model), COARSEST - 300, plane, promise.value, 1)


def unreadable(promise: Promise, plane: np.ndarray, model: LossyModel, scale: Scale) -> Kept:
    return Kept(b"no stream at all", 0, plane, promise.value, 1)


@pytest.mark.parametrize("codec, state", [(coarse, "broken"), (unreadable, "failed")])
def test_a_codec_that_claims_too_much_is_found_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, codec: object, state: str
) -> None:
    """The planes that it claims are the originals; the payload is decoded all the same."""
    monkeypatch.setattr(promises, "keep", codec)
    if state == "broken":
        # The payload's own checksums would find it first: those of the planes that it really decodes to.
        monkeypatch.setattr(promises, "build", lambda streams, planes, model: _honest(streams, planes, model))
    series = look(folder).series
    job = promises.Job(series[-1].items[0], series[-1].units[0], "MR", ("psnr=65", "ssim=0.98"))
    outcomes = promises._work(job, lambda done, total: None).outcomes
    assert [outcome.state for outcome in outcomes] == [state] * 2
    campaign = promises.Campaign(list(outcomes))
    assert len(broken_lines(campaign)) == 2


def _honest(streams: list[bytes], planes: list[np.ndarray], model: LossyModel) -> bytes:
    from dicomnn.codec.lossy.frame import decode_frame
    from dicomnn.codec.lossy.payload import build

    decoded = [decode_frame(s, p.shape, model) for s, p in zip(streams, planes, strict=True)]
    return build(streams, decoded, model)


def test_the_table_counts_each_state() -> None:
    about = ("a.dcm", "", "CT", "CT")
    outcomes = [
        Outcome(*about, "ratio=5", 2, "kept", 5.1, 5.1, 5.1, over_cap=True),
        Outcome(*about, "ratio=5", 1, "escalated"),
        Outcome(*about, "psnr=65", 1, "broken", 60.0, 66.0, 4.0),
    ]
    sums, rows = promise_tables("x", outcomes)
    assert sums.rows == [
        ["ratio", "2", "3", "1", "1", "0", "0", "1"],
        ["psnr", "1", "1", "0", "0", "1", "0", "0"],
        ["all", "3", "4", "1", "1", "1", "0", "1"],
    ]
    assert [row[:2] for row in rows.rows] == [["CT", "psnr=65"], ["CT", "ratio=5"]]
    assert broken_lines(promises.Campaign(outcomes)) == [
        "BROKEN: a.dcm: psnr=65: reached 60, the codec said 66",
        "escalated: a.dcm: ratio=5",
    ]


def test_the_command_writes_figures_and_its_part_of_a_page(folder: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "out" / "promises.json", tmp_path / "page.md"
    begin, end = marks("make bench-lossy-promises")
    page.write_text(f"before\n{begin}\nformer\n{end}\nafter\n")
    order = ["bench", str(folder / "a"), "--lossy", "--promises", "--jobs", "1", "--json", str(out)]
    result = CliRunner().invoke(main, [*order, "--page", str(page)])
    assert result.exit_code == 0, result.output
    values = json.loads(out.read_text())
    assert values["what"] == "promises" and len(values["outcomes"]) == 9
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "former" not in text
    assert "### Promises, whole folder" in text


def test_a_page_without_the_marks_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    out = tmp_path / "promises.json"
    order = ["bench", str(folder), "--lossy", "--promises", "--json", str(out), "--page", str(page)]
    result = CliRunner().invoke(main, order)
    assert result.exit_code == 2 and not out.exists()
    with pytest.raises(UsageError):
        fill(page, "make bench-lossy", "text")
    assert page.read_text() == "nothing\n"


def test_options_of_the_lossy_tier_are_refused_without_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["bench", str(tmp_path), "--promises"])
    assert result.exit_code == 2
