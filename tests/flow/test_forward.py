"""Which studies a rule means, and how long the pauses are."""

from __future__ import annotations

import pytest

from dicomnn.archive.forwarding import Arrived
from dicomnn.flow.forward import Rule, back_off

STUDY = Arrived("1.2", "CT Chest [low] + contrast", (("CT", "CT1"), ("SR", "WORK")), 0.0)


@pytest.mark.parametrize(("conditions", "fits"), [
    ({}, True),
    ({"modality": "CT"}, True),
    ({"modality": "SR"}, True),
    ({"modality": "MR"}, False),
    ({"ae_title": "WORK"}, True),
    ({"ae_title": "CT2"}, False),
    ({"modality": "CT", "ae_title": "WORK"}, False),        # no instance is both
    ({"modality": "CT", "ae_title": "CT1", "description": "*CHEST*"}, True),
    ({"description": "ct chest*"}, True),
    ({"description": "chest"}, False),
    ({"description": "*[low]*"}, True),                     # brackets mean themselves
    ({"description": "*[abc]ow]*"}, False),
    ({"description": "CT?Chest*"}, True),
])
def test_a_rule_fits_when_one_instance_meets_all_of_it(conditions: dict[str, str], fits: bool) -> None:
    assert Rule("rule 1", ("FAR",), **conditions).fits(STUDY) is fits


def test_a_study_without_a_description_fits_only_rules_that_want_none() -> None:
    bare = Arrived("1.2", "", (("CT", "CT1"),), 0.0)
    assert Rule("r", ("FAR",)).fits(bare) and not Rule("r", ("FAR",), description="?*").fits(bare)
    assert Rule("r", ("FAR",), description="*").fits(bare)


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    for failures, middle in ((1, 10.0), (2, 20.0), (5, 160.0), (9, 600.0), (10_000, 600.0)):
        pauses = [back_off(failures, 10.0, 600.0) for _ in range(50)]
        assert all(0.75 * middle <= pause <= 1.25 * middle for pause in pauses)
        assert len(set(pauses)) > 25
