"""What a report says of lossy profiles: nothing is lost on the way to JSON, nothing unknown is claimed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from dicomnn.coded.lossy_record import LossyRecord
from dicomnn.report.html import render
from dicomnn.report.loss import Loss, sentences, summed
from dicomnn.report.study import Completeness, InstanceRow, build, statement

KEPT: dict[str, Any] = {
    "promise": "psnr=50", "kind": "psnr", "value": 50.0, "outcome": "kept", "applied": "lossy:psnr=50",
    "asked_by": "rule 1 (modality CT)", "reached_worst": 50.2, "reached_mean": 51.0, "worst_frame": 3,
    "ratio_bits_stored": 4.6, "ratio_bytes": 6.2, "highest_ratio": 4.9, "cap": 5.0, "caps": "strictest",
    "region": "CT of the body", "guideline": "<RCR>", "worst_frame_bytes": 1000, "jpeg2000_bytes": 1250,
    "noise_before": 40.0, "noise_after": 30.0, "later": "a key of a later version",
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "promise": "ratio=9", "kind": "ratio", "value": 9.0, "outcome": "refused", "applied": "lossless",
    "reason": "lossy-above-cap", "reason_text": "above <b>5:1</b>", "cap": 5.0,
}  # fmt: skip


def row(number: int, lossy: dict[str, Any], exact: str) -> InstanceRow:
    return InstanceRow.from_facts({
        "sop_instance_uid": f"1.2.{number}", "series_instance_uid": "1", "state": "coded",
        "bytes_before": 900, "bytes_after": 100, "rows": 8, "columns": 8, "frames": 4, "exact": exact,
        "lossy": lossy, "instance_number": number,
    })  # fmt: skip


def test_the_record_of_an_object_and_the_reports_have_the_same_names() -> None:
    assert [entry.name for entry in fields(Loss)] == [entry.name for entry in fields(LossyRecord)]
    told = row(1, KEPT, "lossy").to_json()["lossy"]
    assert {name: told[name] for name in KEPT if name != "later"} == {
        name: value for name, value in KEPT.items() if name != "later"}  # fmt: skip
    assert told["window_low"] is None and told["reason"] == "" and "later" not in told
    assert Loss.from_json({"promise": "psnr=50"}) is None


def test_the_study_counts_what_was_kept_and_refused_and_says_so() -> None:
    report = build({"study_instance_uid": "1.2"}, [row(1, KEPT, "lossy"), row(2, REFUSED, "data-set")],
                   completeness=Completeness(True), created_at="", library_version="0")  # fmt: skip
    assert report.totals.lossy == {"asked": 2, "kept": 1, "escalated": 0, "refused": 1, "highest_ratio": 4.9}
    said = statement(report.totals)
    assert "1 image keeps a promised figure" in said and "4.9:1" in said and "refused" in said
    assert "within the bound" not in said
    page = render(report)
    for words in ("PSNR at least 50 dB", "50.20 dB, frame 3 (51.00 dB)", "1250 bytes, 1.25 times ours",
                  "75 % left", "5 : 1", "&lt;RCR&gt;", "above &lt;b&gt;5:1",
                  "rule 1 (modality CT)"):  # fmt: skip
        assert words in page, words
    assert "exactly" not in page.split("<h2>")[0]


@pytest.mark.parametrize(("highest", "said"), [(4.9, "4.9:1"), (5.0, "5:1"), (5.0138, "5.02:1")])
def test_the_highest_ratio_is_never_told_as_less_than_it_is(highest: float, said: str) -> None:
    (sentence,) = sentences({"kept": 2, "highest_ratio": highest})
    assert f"no frame above {said} of the bits stored" in sentence


def test_without_a_lossy_profile_nothing_is_said() -> None:
    report = build({"study_instance_uid": "1.2"}, [InstanceRow("1", "1", "kept", 5)],
                   completeness=Completeness(True), created_at="", library_version="0")  # fmt: skip
    assert report.to_json()["series"][0]["instances"][0]["lossy"] is None and summed([None])["asked"] == 0
    assert sentences(report.totals.lossy) == [] and "Lossy profiles" not in render(report)
