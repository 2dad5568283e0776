"""`dicomnn evaluate` counts real bytes of every codec on the same planes, and only the side asked for."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dicomnn.codec.encode import encode
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.shelf import Shelf
from dicomnn.training.evaluation import interval
from dicomnn.training.run_folder import read_images
from tests.training import trees
from tests.training.conftest import Trained, dicomnn


@pytest.fixture(scope="module")
def report(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict:  # type: ignore[type-arg]
    out = tmp_path_factory.mktemp("evaluated") / "report.json"
    done = dicomnn("evaluate", trained.place, trained.images, "--effort", "fast", "--threads", "2",
                   "--json", out, "--series")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "| CT + MR |" in done.stdout and "siemens scanner 5 b30f" in done.stdout
    found: dict = json.loads(out.read_text())  # type: ignore[type-arg]
    return found


def test_the_report_adds_up(report: dict) -> None:  # type: ignore[type-arg]
    assert report["schema"] == "dicomnn.evaluate/1" and report["images"] == 24 and not report["failed"]
    assert len(report["series"]) == report["groups"]["all"]["series"] == 12
    assert set(report["groups"]) == {"CT", "MR", "CT + MR", "all"}
    ratios = [one["ratio_to_jpegxl"] for one in report["series"]]
    assert report["groups"]["all"]["ratio_to_jpegxl"]["mean"] == pytest.approx(np.mean(ratios), abs=1e-4)
    assert report["groups"]["all"]["ratio_to_jpegxl"]["worst"] == max(ratios)
    pixels = 24 * 64 * 56
    assert sum(one["pixels"] for one in report["series"]) == pixels
    total = sum(one["bytes"]["ours"] for one in report["series"])
    assert report["groups"]["all"]["bits_per_pixel"]["ours"] == pytest.approx(8 * total / pixels, abs=1e-4)


def test_the_bytes_are_those_of_the_codecs_on_these_planes(report: dict, trained: Trained) -> None:  # type: ignore[type-arg]
    one = next(row for row in report["series"] if row["scanner"] == "siemens scanner 3 b30f")
    planes = {}
    for patient in (0, 1):
        frames = [trees.texture(300 + 10 * patient + s, noise=6) for s in (0, 1)]
        model, words = Shelf([trained.models]).newest(), SampleFormat(16, 16, 15, False)
        ours = [
            encode(f[None], words, profile=Profile("lossless"), model=model, effort="fast") for f in frames
        ]
        bare = [
            encode(f[None], words, profile=Profile("lossless"), model=None, effort="fast") for f in frames
        ]
        xl = [imagecodecs.jpegxl_encode(f - f.min(), effort=7, lossless=True) for f in frames]
        planes[patient] = {
            "ours": sum(map(len, ours)),
            "jpegls": sum(map(len, bare)),
            "jpegxl": sum(map(len, xl)),
        }
    assert one["bytes"] in planes.values()


def test_a_side_is_that_of_the_run_and_the_figures_go_into_the_card(trained: Trained) -> None:
    known = read_images(trained.run)
    assert known is not None
    wanted = {plane.file.path for plane in known[0].sides["test"]}
    done = dicomnn("evaluate", trained.place, trained.images, "--effort", "fast", "--split", "test",
                   "--run", trained.run, "--card", "--json", "-")  # fmt: skip
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["images"] == len(wanted) and report["level"] == known[0].level
    made_again = dicomnn(
        "evaluate", trained.place, trained.images, "--effort", "fast", "--split", "test", "--json", "-"
    )
    assert json.loads(made_again.stdout)["series"] == report["series"]
    card = (trained.place / "CARD.md").read_text()
    assert "Real bytes on the test images, effort fast" in card and "Not yet measured" not in card
    told = (trained.place / "evaluation.json").read_text()
    assert json.loads(told)["groups"] == report["groups"]
    assert report["series"][0]["source"] not in told and report["series"][0]["series"] not in told
    (trained.place / "evaluation.json").unlink()


def test_a_model_that_came_with_dicomnn_keeps_its_card_and_an_unknown_one_is_a_usage_error(
    trained: Trained, tmp_path: Path
) -> None:
    refused = dicomnn("evaluate", "newest", trained.images, "--card", "--models", tmp_path)
    assert refused.exit_code == 2 and "its card is not changed" in refused.stderr
    assert dicomnn("evaluate", "f" * 32, trained.images).exit_code == 2


def test_the_interval_holds_the_mean_and_is_not_given_for_few() -> None:
    ratios = np.random.default_rng(1).normal(0.93, 0.02, 40)
    low, high = interval(ratios)
    assert low is not None and high is not None and low < ratios.mean() < high < low + 0.03
    assert interval(ratios[:4]) == (None, None)
