"""The report as data: sums, statements and JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dicomnn.report.figures import FrameSample, draw
from dicomnn.report.quality import Quality, Window, identical, within
from dicomnn.report.study import (
    Completeness,
    Conflict,
    InstanceRow,
    StudyReport,
    build,
    pictures_to_draw,
    statement,
)

STABLE = Completeness(True, "2024-03-04T10:25:00Z", 60, 3, 0)


def coded(number: int, **changes: Any) -> InstanceRow:
    facts: dict[str, Any] = {
        "sop_instance_uid": f"1.2.3.{number}",
        "series_instance_uid": "1.2.3",
        "state": "coded",
        "bytes_before": 1000,
        "bytes_after": 400,
        "modality": "CT",
        "series_number": 2,
        "instance_number": number,
        "rows": 10,
        "columns": 20,
        "frames": 2,
        "bits_stored": 12,
        "profile": "lossless",
        "model_id": "ab" * 16,
        "exact": "data-set",
        "payload_bytes": 100,
        "tiles": {"neural": 3, "raw": 1},
        "seconds": 0.5,
        "quality": identical(12, "HU"),
    }
    return InstanceRow.from_facts(facts | changes)


def report(*rows: InstanceRow, **more: Any) -> StudyReport:
    return build(
        {"study_instance_uid": "1.2"},
        rows,
        completeness=more.pop("completeness", STABLE),
        created_at="2024-03-04T10:26:00Z",
        library_version="0.1.0",
        **more,
    )


KEPT = InstanceRow(
    "9.1", "9", "kept", 500, 500, modality="SR", reason="no-pixel-data", reason_text="No pixels."
)


def test_sums_are_those_of_the_rows() -> None:
    made = report(
        coded(1),
        coded(2, quality=Quality("measured", 4095, 2.0, 69.2, 50.0, 400.0, 0.9, 3, 3.0, "HU", 2)),
        KEPT,
    )
    totals = made.totals
    assert (totals.instances, totals.bytes_before, totals.bytes_after) == (3, 2500, 1300)
    assert totals.ratio == pytest.approx(2500 / 1300)
    assert totals.bits_per_pixel == 2.0 and totals.seconds == 1.0
    assert totals.tile_shares() == {"neural": 0.75, "raw": 0.25}
    assert dict(totals.kept) == {"no-pixel-data": 1} and totals.models == ("ab" * 16,)
    assert totals.quality["mse"] == 1.0 and totals.quality["max_error"] == 3
    assert [series.series_instance_uid for series in made.series] == ["1.2.3", "9"], "without a number last"
    assert made.series[0].totals.bytes_after == 800


def test_an_instance_that_waits_counts_with_its_original() -> None:
    totals = report(
        coded(1), coded(2, state="received", bytes_after=None, quality=None, payload_bytes=None)
    ).totals
    assert totals.bytes_after == 1400 and totals.waiting == 1 and totals.pixels == 400
    assert "1 object not coded yet" in statement(totals)


def test_deleted_instances_count_nowhere_but_as_deleted() -> None:
    totals = report(coded(1), coded(2, state="deleted")).totals
    assert (totals.instances, totals.bytes_before) == (2, 1000) and "1 object deleted." in statement(totals)


def test_lossless_says_that_figures_follow_from_the_digest() -> None:
    said = statement(report(coded(1), coded(2)).totals)
    assert "2 images coded without loss" in said and "not computed" in said and "digests" in said


def test_bounded_never_reads_as_lossless() -> None:
    said = statement(report(coded(1), coded(2, exact="bounded", quality=within(4, 12))).totals)
    assert "1 image coded without loss" in said and "by more than 4." in said and "marked as lossy" in said


def test_a_coded_instance_without_recorded_quality_is_admitted() -> None:
    assert "no quality was recorded" in statement(report(coded(1, quality=None)).totals)


@pytest.mark.parametrize(
    "decision", [STABLE, Completeness(False, associations_open=2), Completeness(True, source="files")]
)
def test_no_report_claims_that_a_study_is_complete(decision: Completeness) -> None:
    said = decision.sentence()
    assert (
        "no claim that the study is complete" in said or "Still growing" in said and "2 associations" in said
    )


def test_how_stability_was_decided_is_said() -> None:
    said = STABLE.sentence()
    for part in ("2024-03-04 10:25:00 UTC", "3 associations closed", "60 s"):
        assert part in said


def full() -> StudyReport:
    conflict = Conflict("1.2.3.2", "2024-03-04T10:00:00Z", "AE", 12, "ff" * 32)
    figure = draw(FrameSample("1.2.3", "1.2.3.1", 1, "worst", "CT", np.zeros((8, 8)), Window(0, 1)))
    return report(coded(1), coded(2, conflicts=(conflict,)), KEPT, figures=[figure], notes=["A note."])


def test_json_has_one_documented_shape(checkout: Any) -> None:
    documented = (checkout / "docs" / "report.md").read_text(encoding="utf-8")
    data = json.loads(json.dumps(full().to_json(), allow_nan=False))
    assert (data["schema"], data["schema_version"]) == ("dicomnn-study-report", 1)
    assert len(data["conflicts"]) == 1 and data["notes"] == ["A note."]

    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value))
        if not isinstance(value, dict):
            return set()
        counters = {"states", "tiles", "tile_shares", "profiles", "kept"}
        return set(value) | set().union(*(keys(inner) for key, inner in value.items() if key not in counters))

    assert sorted(key for key in keys(data) if f"`{key}`" not in documented) == []


def test_a_row_survives_json() -> None:
    for series in full().series:
        for row in series.instances:
            assert InstanceRow.from_facts(json.loads(json.dumps(row.to_json()))) == row


def test_pictures_are_of_coded_images_only() -> None:
    waiting = coded(6, state="received", quality=None, payload_bytes=None)
    made = report(*map(coded, (1, 2, 3)), coded(4, payload_bytes=150), coded(5), KEPT, waiting)
    assert [(choice.sop_instance_uid, choice.frame, choice.role) for choice in pictures_to_draw(made)] == [
        ("1.2.3.4", 1, "hardest"),
        ("1.2.3.3", 1, "middle"),
    ]
