"""Crops are drawn evenly, the same for a number and a seed; made cases are what they are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from dicomnn.codec.features import START_ERROR
from dicomnn.errors import TrainingError
from dicomnn.training import made_cases
from dicomnn.training.data import Crop, walk
from dicomnn.training.images.catalogue import Catalogue
from dicomnn.training.images.measures import noise_level
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import PlaneRecord
from dicomnn.training.loop import batch_of
from dicomnn.training.pair import Pair
from dicomnn.training.picking import MOST_OF_A_SERIES, shares_of
from dicomnn.training.sampler import Sampler
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


def looked_at(
    tile: np.ndarray, effort: str, group: str, series: str, reference: np.ndarray | None, start_error: int
) -> Crop:
    """A walk that only says what it was given: for counting many draws."""
    count, beside = tile.size, np.zeros(1) if reference is None else reference
    return Crop(np.zeros((count, 1)), tile[None], np.full(count, start_error), beside, 1.0, group, series)


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


def stacked(catalogued: Catalogue) -> list[PlaneRecord]:
    """The planes that have a plane before them."""
    planes = [plane for plane in catalogued.planes if plane.before is not None]
    assert len(planes) == len(catalogued.planes) / 2
    return planes


def test_a_third_of_the_crops_comes_with_the_plane_before_and_packed_planes_never_do(
    catalogued: Catalogue,
) -> None:
    planes = stacked(catalogued)
    share = np.mean([crop.group.endswith(" ref") for crop in many(planes, catalogued)])
    assert share == pytest.approx(1 / 3, abs=0.05)
    packed = [replace(plane, measures=replace(plane.measures, packed=True)) for plane in planes]
    alone = [plane for plane in catalogued.planes if plane.before is None]
    for others in (packed, alone):
        assert not any(crop.group.endswith("ref") for crop in many(others, catalogued, 100))


def test_the_plane_before_is_that_of_the_same_place(catalogued: Catalogue) -> None:
    planes, cache = stacked(catalogued)[:1], PlaneCache(catalogued.shelf)
    sampler = Sampler(planes, cache, 1, size=32, plain=True, walk=looked_at)
    crops = [crop for crop in map(sampler.draw, range(40)) if crop.group.endswith(" ref")]
    windows = np.lib.stride_tricks.sliding_window_view(cache.get(planes[0]), (32, 32))
    before, offset = cache.before(planes[0]) or (np.zeros(1), 0)
    around = np.pad(before.astype(int) + offset, 4, mode="edge")
    assert len(crops) > 5
    for crop in crops:
        ((top, left),) = np.argwhere((windows == crop.maps[0]).all((2, 3)))
        np.testing.assert_array_equal(crop.targets, around[top : top + 40, left : left + 40])


def test_inputs_of_the_reference_are_zero_without_one_and_a_batch_mixes_both(catalogued: Catalogue) -> None:
    sampler = Sampler(stacked(catalogued), PlaneCache(catalogued.shelf), 1, size=48, kept=500)
    crops = [sampler.draw(number) for number in range(12)]
    kinds = {crop.group.endswith(" ref"): bool(crop.inputs[:, 48:].any()) for crop in crops}
    assert kinds == {True: True, False: False}
    maps, inputs, targets, *_ = batch_of(crops, 200, random(), sampler.map_side)
    assert maps.shape == (12, 4, 48, 48) and inputs.shape == (12, 200, 64) and targets.shape == (12, 200)


def test_a_crop_keeps_some_of_its_pixels_and_as_much_of_a_map_as_the_encoder_looks_at() -> None:
    tile = texture(1, 160, 150)
    whole = walk(tile, "fast", "CT", "")
    kept = whole.thinned(1000, random())
    assert kept.maps.shape == (4, 128, 128) and len(kept.inputs) == len(kept.targets) == 1000
    assert kept.share == whole.share and len(np.unique(kept.inputs, axis=0)) > 900
    places = [np.flatnonzero((whole.inputs == row).all(1)) for row in kept.inputs[:20]]
    assert all(kept.targets[n] in whole.targets[place] for n, place in enumerate(places))
    assert len(whole.thinned(1 << 20, random()).inputs) == len(whole.inputs)


def test_the_error_assumed_outside_is_drawn_for_training_and_the_codecs_own_for_validation(
    catalogued: Catalogue,
) -> None:
    drawn = np.array([crop.scales[0] for crop in many(catalogued.planes, catalogued, 200)]) / START_ERROR
    assert drawn.min() >= 0.5 and drawn.max() < 16 and (drawn < 2).mean() == pytest.approx(0.4, abs=0.12)
    plain = Sampler(catalogued.planes, PlaneCache(catalogued.shelf), 1, size=32, plain=True, walk=looked_at)
    assert {plain.draw(number).scales[0] for number in range(20)} == {START_ERROR}


def random() -> np.random.Generator:
    return np.random.default_rng(11)


def test_scaling_never_adds_noise() -> None:
    tile, rng = texture(1, 128, 128, noise=12), random()
    for _ in range(20):
        scaled = made_cases.scaled(Pair(tile), rng).tile
        assert scaled.dtype == np.uint16 and noise_level(scaled) <= 1.05 * noise_level(tile)


def test_low_bit_crops_have_few_levels_and_clipped_ends() -> None:
    tile, rng = texture(1, 128, 128, noise=12), random()
    for _ in range(20):
        low = made_cases.low_bit(Pair(tile), rng).tile
        assert low.max() <= 255 and low.min() == 0 and len(np.unique(low)) > 8


def test_crops_of_few_levels_are_the_same_image_in_8_to_128_steps() -> None:
    tile, rng, seen = texture(1, 128, 128, noise=12), random(), []
    for _ in range(40):
        few = made_cases.few_levels(Pair(tile), rng).tile
        seen.append(len(np.unique(few)))
        assert few.min() == 0 and np.corrcoef(few.ravel(), tile.ravel())[0, 1] > 0.98
    assert 7 <= min(seen) < 16 and 64 < max(seen) <= 128
    few = made_cases.few_levels(Pair(tile // 400), rng).tile
    np.testing.assert_array_equal(few, tile // 400 - (tile // 400).min())


def test_masked_crops_have_one_flat_background_and_the_rest_unchanged_but_for_an_offset() -> None:
    tile, rng = texture(1, 128, 128) + np.uint16(1), random()
    shares = []
    for _ in range(20):
        masked = made_cases.masked(Pair(tile), rng).tile.astype(int)
        inside = masked > 0
        shares.append(inside.mean())
        assert len(set((masked - tile)[inside].tolist())) <= 1
    assert 0.2 < np.mean(shares) < 0.9


@pytest.mark.parametrize("change", ["turned", "scaled", "low_bit", "few_levels", "masked"])
def test_what_is_done_to_a_tile_is_done_to_the_plane_before_it(change: str) -> None:
    around, rng = texture(1, 56, 48).astype(np.int32), random()
    for _ in range(20):
        pair = Pair(around[4:-4, 4:-4].astype(np.uint16), around)
        made = getattr(made_cases, change)(pair, rng).from_zero()
        assert made.reference is not None
        np.testing.assert_array_equal(made.reference[4:-4, 4:-4], made.tile)
        assert made.reference.shape == tuple(n + 8 for n in made.tile.shape)
        assert made.tile.min() == 0 and made.tile.dtype == np.uint16 and made.reference.dtype == np.int32


def test_values_of_the_plane_before_may_be_below_the_tiles_and_stay_so() -> None:
    tile = texture(1, 32, 32)
    pair = Pair(tile, np.full((40, 40), int(tile.min()) - 300, np.int32))
    for name in ("turned", "scaled"):
        made = getattr(made_cases, name)(pair, np.random.default_rng(4)).from_zero()
        assert np.abs(made.reference).max() > 50
    assert (pair.from_zero().reference == -300).all()


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
