"""Validation tells crops with a plane before them apart, and counts them when there are some."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnn.training import loop
from dicomnn.training.data import Crop, walk
from dicomnn.training.pair import cut
from tests.training.trees import texture


def crop(group: str, seed: int, *, refers: bool) -> Crop:
    plane = texture(seed, 60, 60)
    before = (plane.copy(), 0) if refers else None
    pair = cut(plane, before, 4, 4, 48, 48).contiguous()
    return walk(pair.tile, "fast", group, "", pair.reference)


def test_groups_with_a_plane_before_are_told_apart_and_count_only_when_there_are_some() -> None:
    torch.manual_seed(0)
    network = loop.make_network(loop.Recipe()).eval()
    alone = [crop("CT", 1, refers=False), crop("MR", 2, refers=False)]
    paired = [crop("CT ref", 1, refers=True)]
    bare, both = loop.validate(network, alone, 48), loop.validate(network, [*alone, *paired], 48)
    assert set(bare) == {"CT code", "CT zero", "MR code", "MR zero"}
    assert set(both) == {*bare, "CT ref code", "CT ref zero"}
    assert loop.score(bare) == pytest.approx(np.mean([bare["CT code"], bare["MR code"]]))
    with_code = [both[f"{name} code"] for name in ("CT", "CT ref", "MR")]
    assert loop.score(both) == pytest.approx(np.mean(with_code))
    assert both["CT ref code"] < both["CT code"] - 1  # the plane before is the very same image


def test_a_step_over_both_kinds_trains_the_inputs_of_the_plane_before() -> None:
    recipe = loop.Recipe(pixels=400)
    network = loop.make_network(recipe)
    optimiser = loop.make_optimiser(network, recipe)
    first = network.causal.first.weight.detach().clone()
    mixed = [crop("CT", 1, refers=False), crop("CT ref", 3, refers=True)]
    loop.train_step(network, optimiser, mixed, recipe, 1e-3, np.random.default_rng(0), 48)
    moved = (network.causal.first.weight - first).detach().abs().sum(0)
    assert (moved[48:59] > 0).all() and (moved[:32] > 0).any()
