"""Pictures: pixels come out where and as bright as they must; no error is hidden by shrinking."""

from __future__ import annotations

import io

import imageio.v3 as imageio
import numpy as np
import pytest

from dicomnn.report.figures import (
    Candidate,
    Figure,
    FrameSample,
    bars,
    choose,
    draw,
    grey,
    png,
)
from dicomnn.report.quality import Window


def read(data: bytes) -> np.ndarray:
    return np.asarray(imageio.imread(io.BytesIO(data), extension=".png"))


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 20, 3)])
def test_png_is_read_back_by_another_program_pixel_for_pixel(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(read(png(image)), image)


def test_windowing_runs_from_black_to_white_and_monochrome1_is_inverted() -> None:
    values = np.array([[-50, 0, 50, 100, 150]])
    assert grey(values, Window(0, 100), False).tolist() == [[0, 0, 128, 255, 255]]
    assert grey(values, Window(0, 100), True).tolist() == [[255, 255, 127, 0, 0]]


def sample(values: np.ndarray, decoded: np.ndarray | None = None) -> FrameSample:
    return FrameSample("1.2", "1.2.3", 1, "worst", "CT", values, Window(0, 100), decoded)


def test_the_difference_of_identical_frames_is_black_and_its_histogram_one_bar() -> None:
    values = np.arange(100).reshape(10, 10)
    for figure in (draw(sample(values)), draw(sample(values, values.copy()))):
        assert figure.identical and not read(figure.difference_png).any()
        assert figure.histogram == ((0.0, 0.0, 100),)
        assert figure.decoded_png == figure.original_png
    assert draw(sample(values)).by_digest and not draw(sample(values, values.copy())).by_digest


def test_a_single_wrong_pixel_of_a_large_frame_is_seen_in_the_shrunk_difference() -> None:
    values = np.zeros((1500, 1100), np.uint16)
    decoded = values.copy()
    decoded[701, 503] = 1
    figure = draw(sample(values, decoded))
    difference = read(figure.difference_png)
    assert figure.shrink == 4 and difference.shape[:2] == read(figure.original_png).shape == (375, 275)
    assert np.argwhere(difference[..., 0] == 255).tolist() == [[175, 125]]
    assert figure.max_error == 1 and figure.amplification == 255


def test_shrinking_prefers_no_sign() -> None:
    values = np.full((1440, 1440), 100)
    error = np.random.default_rng(3).integers(-2, 3, values.shape)
    difference = read(draw(sample(values, values + error)).difference_png)
    share = np.count_nonzero(difference[..., 0]) / np.count_nonzero(difference[..., 0] | difference[..., 2])
    assert 0.48 < share < 0.52


def test_the_sign_of_an_error_has_its_colour() -> None:
    values = np.full((2, 2), 10, np.uint8)
    decoded = np.array([[12, 10], [10, 8]], np.uint8)
    difference = read(draw(sample(values, decoded)).difference_png)
    assert difference[0, 0].tolist()[::2] == [255, 0] and difference[1, 1].tolist()[::2] == [0, 255]
    assert not difference[0, 1].any()


@pytest.mark.parametrize("largest", [0, 1, 3, 20, 21, 500, 70000])
def test_histogram_bars_hold_every_pixel_and_are_centred_on_zero(largest: int) -> None:
    error = np.random.default_rng(2).integers(-largest, largest + 1, (40, 50))
    error[0, 0], error[0, 1] = largest, -largest
    counted = bars(error)
    assert sum(count for *_, count in counted) == 2000 and len(counted) <= 41
    middle = counted[len(counted) // 2]
    assert middle[0] == -middle[1]
    for low, high, count in counted:
        assert count == np.count_nonzero((error >= low) & (error <= high))


def test_a_figure_survives_being_stored() -> None:
    figure = draw(sample(np.arange(64).reshape(8, 8), np.arange(64).reshape(8, 8) + 1))
    assert Figure.from_stored(figure.stored()) == figure


def test_worst_and_middle_of_each_series_are_chosen() -> None:
    chosen = choose(
        [
            Candidate("a", "a1", 1, (1.1, 0.2, 5.0)),
            Candidate("a", "a2", 1, (1.3, 0.4, 5.0)),
            Candidate("a", "a3", 1, (1.2, 0.4, 5.0)),
            Candidate("b", "b1", 9, (0.0, 0.0, 3.0)),
        ]
    )
    assert [(choice.sop_instance_uid, choice.frame, choice.role) for choice in chosen] == [
        ("a2", 1, "worst"),
        ("b1", 5, "hardest"),
    ], "worst and middle may be the same frame"
    chosen = choose(
        [Candidate("a", "a1", 1, (1.9,)), Candidate("a", "a2", 1, (1.3,)), Candidate("a", "a3", 1, (1.2,))]
    )
    assert [(choice.sop_instance_uid, choice.role) for choice in chosen] == [
        ("a1", "worst"),
        ("a2", "middle"),
    ]
    assert [choice.role for choice in choose([Candidate("x", "x1", 1, (0.0,))])] == ["only"]


def test_at_most_twelve_figures_and_every_series_before_any_middle() -> None:
    candidates = [Candidate(f"s{s}", f"s{s}i{i}", 1, (float(i),)) for s in range(9) for i in range(5)]
    chosen = choose(candidates)
    assert len(chosen) == 12
    assert sum(choice.role == "worst" for choice in chosen) == 9
    assert len({choice.series_instance_uid for choice in choose(candidates * 2)}) == 9
