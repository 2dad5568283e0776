"""Crops are drawn evenly, the same for a number and a seed; made cases are what they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from dicomnn.errors import TrainingError
from dicomnn.training import made_cases
from dicomnn.training.data import Crop
from dicomnn.training.images.catalogue import Catalogue
from dicomnn.training.images.measures import noise_level
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import PlaneRecord
from dicomnn.training.sampler import MOST_OF_A_SERIES, Sampler, shares_of
from tests.training.trees import texture


def equal(one: Crop, other: Crop) -> bool:
    same = all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("inputs", "maps", "targets")
    )
    return same and one.series == other.series


def test_a_crop_follows_from_seed_and_number_alone(catalogued: Catalogue) -> None:
    one = Sampler(catalogued.planes, PlaneCache(catalogued.shelf), 3, size=48)
    straight = list(islice(one.stream(0), 8))
    other = Sampler(catalogued.planes, PlaneCache(catalogued.shelf, 1), 3, size=48)
    assert equal(other.draw(6), straight[6])  # out of order, with a cache that holds nothing
    side_by_side = list(islice(other.stream(2, threads=3), 6))
    assert all(equal(a, b) for a, b in zip(side_by_side, straight[2:], strict=True))
    assert not any(equal(a, b) for a, b in pairwise(straight))
    assert not equal(
        Sampler(catalogued.planes, PlaneCache(catalogued.shelf), 4, size=48).draw(6), straight[6]
    )


def looked_at(tile: np.ndarray, effort: str, group: str, series: str) -> Crop:
    """A walk that only says what it was given: for counting many draws."""
    count = tile.size
    return Crop(np.zeros((count, 1)), tile[None], np.ones(count), np.zeros(count), count, group, series)


def many(planes: list[PlaneRecord], catalogued: Catalogue, count: int = 1200) -> list[Crop]:
    sampler = Sampler(planes, PlaneCache(catalogued.shelf), 1, size=32, walk=looked_at)
    return [sampler.draw(number) for number in range(count)]


def test_scanners_and_noise_levels_are_drawn_evenly_however_many_images_they_have(
    catalogued: Catalogue,
) -> None:
    ct = [plane for plane in catalogued.planes if plane.file.group == "CT"]
    first = [plane for plane in ct if plane.file.source == "source0"]
    # One scanner has a hundred times the images of the others, all of one noise level but four.
    crowd = [
        replace(plane, file=replace(plane.file, series=f"copy {n}"))
        for plane in first for n in range(100)
    ]  # fmt: skip
    loud = [
        replace(plane, measures=replace(plane.measures, noise=900.0), file=replace(plane.file, series="loud"))
        for plane in first
    ]
    counts = Counter(crop.series for crop in many([*ct, *crowd, *loud], catalogued))
    by_source = Counter({name: 0 for name in ("source0", "source1", "source3", "source4")})
    for name, number in counts.items():
        by_source[name.split()[0]] += number
    assert max(by_source.values()) < 1.3 * min(by_source.values())
    assert counts["source0 loud"] == pytest.approx(by_source["source0"] / 2, rel=0.25)


def test_modalities_are_drawn_evenly_but_no_series_too_often() -> None:
    assert shares_of({"CT": 500, "MR": 90, "XR": 40}) == pytest.approx(
        {"CT": 0.3333, "MR": 0.3333, "XR": 0.3333}, abs=1e-3
    )
    few = shares_of({"CT": 500, "MR": 90, "XR": 4})
    assert few["XR"] == pytest.approx(4 * MOST_OF_A_SERIES) and few["CT"] == few["MR"]
    assert shares_of({"CT": 3, "MR": 1}) == {"CT": 0.75, "MR": 0.25}
    assert shares_of({"CT": 3, "MR": 1}, {"CT": 1, "MR": 1}) == {"CT": 0.5, "MR": 0.5}
    assert sum(few.values()) == pytest.approx(1)
    with pytest.raises(TrainingError, match="weights"):
        shares_of({"CT": 3}, {"MR": 1.0})


def test_validation_crops_are_plain_pieces_of_the_images(catalogued: Catalogue) -> None:
    cache = PlaneCache(catalogued.shelf)
    sampler = Sampler(catalogued.planes, cache, 1, size=32, plain=True, walk=looked_at)
    windows = [
        np.lib.stride_tricks.sliding_window_view(cache.get(plane), (32, 32)) for plane in catalogued.planes
    ]
    for number in range(3):
        tile = sampler.draw(number).maps[0]
        assert any((found == tile).all((2, 3)).any() for found in windows)


def test_images_that_are_gone_are_told_and_others_drawn(catalogued: Catalogue, tmp_path: Path) -> None:
    gone = [
        replace(plane, file=replace(plane.file, path=str(tmp_path / "gone"))) for plane in catalogued.planes
    ]
    sampler = Sampler(
        [*catalogued.planes[:4], *gone[:4]], PlaneCache(catalogued.shelf), 1, size=32, walk=looked_at
    )
    assert len([sampler.draw(number) for number in range(20)]) == 20
    assert sampler.gone and all("gone" in key for key in sampler.gone)
    with pytest.raises(TrainingError, match="gone"):
        Sampler(gone, PlaneCache(catalogued.shelf), 1, walk=looked_at).draw(0)


def random() -> np.random.Generator:
    return np.random.default_rng(11)


def test_scaling_never_adds_noise() -> None:
    tile, rng = texture(1, 128, 128, noise=12), random()
    for _ in range(20):
        scaled = made_cases.scaled(tile, rng)
        assert scaled.dtype == np.uint16 and noise_level(scaled) <= 1.05 * noise_level(tile)


def test_low_bit_crops_have_few_levels_and_clipped_ends() -> None:
    tile, rng = texture(1, 128, 128, noise=12), random()
    for _ in range(20):
        low = made_cases.low_bit(tile, rng)
        assert low.max() <= 255 and low.min() == 0 and len(np.unique(low)) > 8


def test_masked_crops_have_one_flat_background_and_the_rest_unchanged_but_for_an_offset() -> None:
    tile, rng = texture(1, 128, 128) + np.uint16(1), random()
    shares = []
    for _ in range(20):
        masked = made_cases.masked(tile, rng).astype(int)
        inside = masked > 0
        shares.append(inside.mean())
        assert len(set((masked - tile)[inside].tolist())) <= 1
    assert 0.2 < np.mean(shares) < 0.9


def test_interpolated_crops_have_the_size_asked_for_and_less_noise() -> None:
    tile, rng = texture(1, 64, 64, noise=20), random()
    for _ in range(20):
        wide = made_cases.interpolated(tile, 128, rng)
        assert wide.shape == (128, 128) and noise_level(wide) < 0.8 * noise_level(tile)
        assert abs(float(wide.mean()) - float(tile.mean())) < 6


def test_sparse_crops_never_use_some_values() -> None:
    tile, rng = texture(1, 128, 128), random()
    for _ in range(20):
        spread = made_cases.sparse(tile, rng)
        used = np.unique(spread)
        assert len(used) == len(np.unique(tile)) and len(used) < 0.9 * (int(used[-1]) - int(used[0]) + 1)
