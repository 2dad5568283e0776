"""The study: patients apart, others no larger than they may be, a page that says what the record says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dicomnn.errors import RunMismatch, UsageError
from dicomnn.seed.codec.metrics import measure
from dicomnn.seed.codec.square import windowed
from dicomnn.seed.study import peers
from dicomnn.seed.study.compare import verdict
from dicomnn.seed.study.fit import steps_for
from dicomnn.seed.study.images import Images, prepare
from dicomnn.seed.study.run import DESIGNS, carry_out
from dicomnn.seed.study.table import BEGIN, END, generated, sentences, table, write_page
from dicomnn.training.stopping import Interrupted, Stop, Teller
from tests.seed.conftest import Study


@pytest.fixture(scope="module")
def images(study: Study) -> Images:
    return prepare(study.order.folder, study.order.run, 4, None, Teller(), Stop())


def test_no_patient_is_on_two_sides(images: Images) -> None:
    sides = (images.train, images.validation, images.test)
    patients = [{record.file.patient for record in side.records} for side in sides]
    assert all(patients) and "" not in set().union(*patients)
    for one in range(3):
        for other in range(one):
            assert not patients[one] & patients[other]


def test_images_are_8_bits_of_both_sizes_and_fill_their_range(images: Images) -> None:
    for side in (128, 256):
        pixels = images.train.pixels[side]
        assert pixels.shape == (len(images.train.records), side, side) and pixels.dtype == np.uint8
        assert (pixels.max((1, 2)) > 200).all() and (pixels.min((1, 2)) < 50).all()


def test_the_window_clips_what_lies_outside_of_it() -> None:
    plane = np.full((100, 100), 5, np.uint16)
    plane[:50] = 105
    plane[0, 0] = 60000
    unit = windowed(plane)
    assert unit.min() == 0 and unit.max() == 1 and unit[0, 0] == 1 and unit[1, 1] == 1
    assert (windowed(np.full((16, 16), 7)) == 0).all()


def test_the_page_has_the_commands_table_and_its_own_words(study: Study) -> None:
    text = study.page.read_text(encoding="utf-8")
    assert text.startswith("# Before\n") and text.endswith("\nAfter\n") and "old" not in text
    assert table(study.record) in text
    assert (study.order.run / "table.md").read_text(encoding="utf-8") == table(study.record) + "\n"
    assert json.loads(study.page.with_suffix(".json").read_text(encoding="utf-8")) == study.record
    assert study.page.with_suffix(".png").read_bytes()[1:4] == b"PNG"


def test_the_published_page_is_what_its_record_says(checkout: Path) -> None:
    record = json.loads((checkout / "docs" / "seed.json").read_text(encoding="utf-8"))
    page = (checkout / "docs" / "seed.md").read_text(encoding="utf-8")
    between = page.split(BEGIN)[1].split(END)[0].strip()
    assert between == generated(record, "seed.png").strip()
    assert {(group["variant"], group["side"]) for group in record["groups"]} == {
        (design.variant, design.side) for design in DESIGNS
    }
    assert all(len(seeds) == len(record["seeds"]) > 1 for group in record["groups"]
               for seeds in group["kernels"].values())


def test_every_kind_and_filter_was_compared_on_every_test_image(study: Study) -> None:
    count = study.record["images"]["test"]["images"]
    for group in study.record["groups"]:
        assert set(group["kernels"]) == {"2", "3"}
        for seeds in group["kernels"].values():
            assert [one["images"] for one in seeds] == [count, count]


def test_the_same_command_again_trains_nothing_and_says_the_same(study: Study) -> None:
    before = {path: path.stat().st_mtime_ns for path in (study.order.run / "models").iterdir()}
    assert carry_out(study.order, Teller(), Stop()) == study.record
    assert {path: path.stat().st_mtime_ns for path in (study.order.run / "models").iterdir()} == before


def test_another_command_does_not_go_on_with_this_run(study: Study) -> None:
    with pytest.raises(RunMismatch):
        carry_out(replace(study.order, minutes=0.06), Teller(), Stop())


def test_an_interrupted_run_goes_on_to_the_same_models(study: Study, tmp_path: Path) -> None:
    class Impatient(Teller):
        def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
            stop.asked = what == "training" and done > total / 2

    stop = Stop()
    order = replace(study.order, run=tmp_path / "run", page=None)
    with pytest.raises(Interrupted):
        carry_out(order, Impatient(), stop)
    assert carry_out(order, Teller(), Stop())["groups"][0]["kernels"]["2"] == [
        pytest.approx({**one, "seconds": pytest.approx(one["seconds"], abs=60)})
        for one in study.record["groups"][0]["kernels"]["2"]
    ]


def test_both_filter_sizes_get_the_same_steps() -> None:
    for variant, side in (("pool", 128), ("pool", 256), ("dense", 128), ("dense", 256)):
        two, three = (d for d in DESIGNS if (d.variant, d.side) == (variant, side))
        assert steps_for(two, 10, 3) == steps_for(three, 10, 3) > 100


# ------------------------------------------------------------------ the others
@pytest.mark.parametrize("size", [900, 2500, 6000])
def test_no_other_codec_needs_more_bytes_than_it_may(pixels: np.ndarray, size: int) -> None:
    for image in pixels[:2]:
        for name, ladder in peers.ladders(image, None).items():
            found = ladder.fits(size)
            if found is not None:
                assert len(found[0]) <= size, name
                assert found[1].shape == image.shape and found[1].dtype == np.uint8


def test_a_ladder_takes_the_highest_rung_that_fits() -> None:
    ladder = peers.Ladder(50, lambda rung: (bytes(10 * (rung + 1)), np.zeros((1, 1), np.uint8)))
    for size, length in ((5, None), (10, 10), (19, 10), (20, 20), (499, 490), (500, 500), (9999, 500)):
        found = ladder.fits(size)
        assert (None if found is None else len(found[0])) == length


def test_their_files_decode_to_what_was_measured(pixels: np.ndarray) -> None:
    image = pixels[0]
    found = {name: ladder.fits(4000) for name, ladder in peers.ladders(image, None).items()}
    for name, decode in (
        ("jpeg", imagecodecs.jpeg8_decode),
        ("png", imagecodecs.png_decode),
        ("jpeg2000", imagecodecs.jpeg2k_decode),
    ):
        coded = found[name]
        assert coded is not None and np.array_equal(decode(coded[0]), coded[1])
    assert found["jpeg"] is not None and measure(image, found["jpeg"][1], 1).psnr > 25


# ------------------------------------------------------------------ words
def test_a_filter_size_is_called_better_only_where_every_seed_says_so(study: Study) -> None:
    def seeds(*values: float) -> list[dict[str, float]]:
        return [{"psnr": value, "ssim": value / 40} for value in values]

    group = {**study.record["groups"][0]}
    for second, words in (((31, 32, 33), "3x3 is better"), ((29, 30, 40), "no filter size is surely better")):
        group["verdict"] = verdict(seeds(30, 31, 32), seeds(*second))
        assert words in sentences({"groups": [group]})[0]


def test_a_page_without_its_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Nothing\n", encoding="utf-8")
    with pytest.raises(UsageError):
        write_page(page, "text")
