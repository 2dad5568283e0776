"""What a person is told of a study's losses: grouped, in words, the worst frame named."""

from __future__ import annotations

from typing import Any

from dicomnn.report.promises import Group, Worst, groups
from dicomnn.report.study import Completeness, InstanceRow, StudyFacts, build

RCR = "Royal College of Radiologists 2008 (BFCR(06)4)"


def row(number: int, loss: dict[str, Any] | None = None, **changes: Any) -> InstanceRow:
    facts: dict[str, Any] = {
        "sop_instance_uid": f"1.2.3.{number}", "series_instance_uid": "1.2.3", "state": "coded",
        "bytes_before": 20_000, "bytes_after": 4_000, "payload_bytes": 3_000, "modality": "CT",
        "instance_number": number, "rows": 100, "columns": 100, "frames": 1, "bits_stored": 12,
        "profile": "lossless", "exact": "data-set",
        "quality": {"basis": "measured", "psnr_db": 60.0 - number, "psnr_window_db": 45.0, "ssim": 0.99,
                    "max_error": 3 + number, "identical": False},
    }  # fmt: skip
    return InstanceRow.from_facts(facts | changes | {"lossy": loss})


def loss(**changes: Any) -> dict[str, Any]:
    return {
        "promise": "ssim=0.98", "kind": "ssim", "value": 0.98, "outcome": "kept",
        "applied": "lossy:ssim=0.98", "asked_by": "rule 1 (modality CT)", "reached_worst": 0.981,
        "reached_mean": 0.985, "worst_frame": 1,
        "window_center": 40.0, "window_width": 400.0, "window_source": "object", "ratio_bits_stored": 4.1,
        "ratio_bytes": 5.5, "highest_ratio": 4.1, "cap": 5.0, "region": "CT of the body", "guideline": RCR,
        "lossless_bytes": 9_000, "worst_frame_bytes": 3_000, "jpeg2000_bytes": 3_600, "noise_before": 20.0,
        "noise_after": 15.0, **changes,
    }  # fmt: skip


def of(*rows: InstanceRow) -> list[Group]:
    return groups(build(StudyFacts("1.2"), list(rows), completeness=Completeness(True),
                        created_at="2024-03-04T10:25:00Z", library_version="0"))


def told(group: Group, name: str) -> str:
    return dict(group.lines).get(name, "")


def test_a_study_without_loss_has_nothing_to_tell() -> None:
    assert of(row(1), row(2, state="received", exact="")) == []


def test_promised_and_reached_stand_with_window_cap_and_what_others_need() -> None:
    lossy = {"exact": "lossy", "profile": "lossy:ssim=0.98"}
    worse = loss(reached_worst=0.9803, noise_after=10.0, ratio_bits_stored=4.5, highest_ratio=4.5)
    (group,) = of(row(1, loss(), **lossy), row(2, worse, **lossy))
    assert (group.images, group.outcome, group.promised) == (2, "kept", "SSIM in the window at least 0.98")
    assert group.worst == Worst("1.2.3.2", 1, "image 2") and group.lossy and group.remark == ""
    assert told(group, "Reached") == "0.9803 in the worst frame (image 2), 0.9850 on average"
    assert told(group, "Seen through") == "center 40, width 400, of the object"
    assert told(group, "Highest allowed") == (
        f"5 : 1 by stored bits for CT of the body; no frame is above 4.50 : 1. Guideline: {RCR}")
    assert told(group, "Ratio") == "4.10 to 4.50 : 1 by stored bits; 5.00 : 1 by bytes of the files"
    assert told(group, "Without loss") == "18.0 kB, 3.00 times as much as now"
    assert told(group, "JPEG 2000") == ("would need 7.20 kB for the same SSIM of the worst frame of each "
                                        "of 2 images: 1.20 times our 6.00 kB")
    assert told(group, "Noise power") == ("20 before, 10 after: 50 % left in the image that lost most, "
                                          "62.5 % on average. What is missing is fine texture")
    assert told(group, "Measured") == "at worst PSNR 58 dB, in the window 45 dB, SSIM 0.99, largest error 5"


def test_where_the_cap_decided_it_is_said() -> None:
    (group,) = of(row(1, loss(highest_ratio=4.99), exact="lossy"))
    assert "this limit, not the promise, decided" in told(group, "Highest allowed")
    (group,) = of(row(1, loss(kind="ratio", promise="ratio=5", value=5.0, highest_ratio=4.99), exact="lossy"))
    assert "decided" not in told(group, "Highest allowed")


def test_a_refusal_names_its_reason_and_the_guideline_and_shows_no_frame() -> None:
    why = f"ratio=12 was asked for, CT of the body may have 5:1 at most: {RCR}"
    (group,) = of(row(1, {"promise": "ratio=12", "kind": "ratio", "value": 12.0, "outcome": "refused",
                          "applied": "lossless", "reason": "lossy-above-cap", "reason_text": why, "cap": 5.0,
                          "region": "CT of the body", "guideline": RCR, "asked_by": "the upload by ann"}))
    assert group.worst is None and not group.lossy and "Refused" in group.title
    assert told(group, "Why").endswith(RCR) and told(group, "Asked by") == "the upload by ann"
    assert told(group, "Reached") == "" and told(group, "JPEG 2000") == ""
    assert "was refused" in group.remark and RCR in group.remark and "lossless" in group.remark


def test_an_escalation_says_what_was_applied_instead_and_what_that_reached() -> None:
    changed = loss(outcome="escalated", applied="bounded:2", reason="promise-not-kept",
                   reason_text="no step keeps it", jpeg2000_bytes=None)
    (group,) = of(row(1, changed, exact="bounded", profile="bounded:2"))
    assert told(group, "Applied") == "bounded:2: no stored value changes by more than 2"
    assert told(group, "Why") == "No step keeps it" and told(group, "Reached") == "0.9810"
    assert group.worst == Worst("1.2.3.1", 1, "image 1") and "Applied: bounded:2" in group.remark


def test_images_with_other_outcomes_are_groups_of_their_own_the_lossy_ones_first() -> None:
    refused = loss(outcome="refused", applied="lossless", reason_text="no")
    found = of(row(1, refused), row(2, loss(), exact="lossy"), row(3, refused),
               row(4, exact="bounded", profile="bounded:4"), row(5))
    assert [(group.images, group.lossy) for group in found] == [(1, True), (1, True), (2, False)]


def test_a_bounded_study_tells_its_bound_and_the_frame_least_like_its_original() -> None:
    quality = {"basis": "measured", "psnr_db": 70.0, "ssim": 0.9, "max_error": 2, "max_error_rescaled": 2.0,
               "unit": "HU", "worst_frame": 3, "identical": False}
    (group,) = of(row(1, exact="bounded", profile="bounded:2", frames=5, quality=quality),
                  row(2, exact="bounded", profile="bounded:2", quality=quality | {"ssim": None}))
    assert group.promised == "no stored value changes by more than 2"
    assert told(group, "Reached") == "largest error 2 (2 HU)"
    assert group.worst == Worst("1.2.3.1", 3, "image 1, frame 3")
