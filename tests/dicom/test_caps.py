"""Caps of the lossy profiles: each row of the table, each refusal with the guideline that it names."""

from __future__ import annotations

import pytest

from dicomnn.dicom.attributes import Attributes
from dicomnn.dicom.caps import DRG, STRICTEST, cap_of


def about(modality: str, part: str | None = None, **more: str) -> Attributes:
    return Attributes(modality=modality, body_part_examined=part, **more)  # type: ignore[arg-type]


ROWS = [
    ("CT", "HEAD", 5, 5, "Röntgengesellschaft"),
    ("CT", "BRAIN", 5, 5, "Röntgengesellschaft"),
    ("CT", "CHEST", 5, 8, "Radiologists"),
    ("CT", "Abdomen ", 5, 8, "Radiologists"),
    ("CT", "CSPINE", 5, 5, "Radiologists"),
    ("MR", None, 5, 7, "Radiologists"),
    ("CR", "CHEST", 10, 10, "Röntgengesellschaft"),
    ("DX", "HAND", 10, 10, "Röntgengesellschaft"),
    ("XA", None, 6, 6, "Röntgengesellschaft"),
    ("RF", None, 6, 6, "Röntgengesellschaft"),
    ("US", None, 8, 8, "Canadian"),
]


@pytest.mark.parametrize(("modality", "part", "strictest", "drg", "whose"), ROWS)
def test_each_row_has_its_cap_and_says_whose_it_is(
    modality: str, part: str | None, strictest: float, drg: float, whose: str
) -> None:
    found = cap_of(about(modality, part), "psnr", 40.0)
    assert (found.ratio, found.reason, found.table) == (strictest, "", STRICTEST)
    assert whose in found.guideline and found.region
    adopted = cap_of(about(modality, part), "psnr", 40.0, DRG)
    assert (adopted.ratio, adopted.reason, adopted.table) == (drg, "", DRG)
    assert strictest == drg or "adopted by this site" in adopted.guideline


def test_a_rule_above_the_cap_is_refused_and_one_at_the_cap_is_not() -> None:
    assert cap_of(about("CT", "CHEST"), "ratio", 5.0).reason == ""
    refused = cap_of(about("CT", "CHEST"), "ratio", 5.5)
    assert refused.reason == "lossy-above-cap" and "BFCR(06)4" in refused.why and "5:1" in refused.why
    assert cap_of(about("CT", "CHEST"), "ratio", 8.0, DRG).reason == ""
    assert cap_of(about("CT", "HEAD"), "ratio", 8.0, DRG).reason == "lossy-above-cap"


@pytest.mark.parametrize(
    ("attributes", "reason", "words"),
    [
        (about("CR"), "lossy-body-part", "21 CFR 900.12"),
        (about("DX", ""), "lossy-body-part", "21 CFR 900.12"),
        (about("CR", "BREAST"), "lossy-forbidden", "21 CFR 900.12"),
        (about("DX", "LEFT BREAST"), "lossy-forbidden", "21 CFR 900.12"),
        (about("OT", "CHEST"), "lossy-no-cap", "OT"),
        (about("XC"), "lossy-no-cap", "no guideline"),
        (about("CT", "PELVIS", study_description="RT Planning CT"), "lossy-forbidden", "RCR 2008"),
        (about("CT", "CHEST", series_description="Bestrahlungsplanung"), "lossy-forbidden", "RCR 2008"),
        (about("CT", "CHEST", protocol_name="CT_SIM_LUNG"), "lossy-forbidden", "planning"),
        (about("MR", image_type="DERIVED\\PRIMARY\\DIFFUSION\\ADC"), "lossy-forbidden", "ADC"),
        (about("MR", image_type="DERIVED\\SECONDARY\\T1 MAP"), "lossy-forbidden", "measure"),
    ],
)
def test_what_is_refused_names_the_guideline(attributes: Attributes, reason: str, words: str) -> None:
    found = cap_of(attributes, "psnr", 40.0)
    assert (found.reason, found.ratio) == (reason, None)
    assert words in found.why


def test_where_the_caps_differ_by_body_part_an_image_without_one_is_refused() -> None:
    assert cap_of(about("CT"), "ratio", 5.0).ratio == 5.0
    refused = cap_of(about("CT"), "ratio", 5.0, DRG)
    assert refused.reason == "lossy-body-part" and "Body Part Examined" in refused.why


@pytest.mark.parametrize(("unit", "refused"), [("cm/s", True), ("HU", False), ("US", False), ("", False)])
def test_values_with_a_unit_of_measurement_stay_exact(unit: str, refused: bool) -> None:
    assert (cap_of(about("MR"), "psnr", 40.0, rescale_type=unit).reason == "lossy-forbidden") is refused


@pytest.mark.parametrize("text", ["Head and neck routine", "Chest 5 mm soft", "Art. pulmonalis", "START"])
def test_an_ordinary_description_is_not_taken_for_planning(text: str) -> None:
    assert cap_of(about("CT", "CHEST", series_description=text), "psnr", 40.0).reason == ""
