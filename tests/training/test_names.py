"""The same scanner under several spellings is one scanner; nobody's patient ID ties strangers together."""

from __future__ import annotations

import pytest

from dicomnn.training.images.names import device_of, digest_of, group_of, patient_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("SIEMENS", "Prisma_fit"), ("Siemens Healthineers", "MAGNETOM Prisma Fit")),
        (("SIEMENS", "Emotion"), ("SIEMENS", "SOMATOM Emotion")),
        (("TOSHIBA", "Galan 3T"), ("CANON_MEC", "Galan 3T")),
        (("GE MEDICAL SYSTEMS", "LightSpeed VCT"), ("General Electric", "LIGHTSPEED  VCT")),
        (("Philips", "Intera"), ("Philips Medical Systems", "Intera")),
        (("FUJIFILM Corporation", ""), ("Fuji Photo Film Co.,Ltd.", "")),
    ],
)
def test_spellings_of_one_scanner_are_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert device_of(*one, "a") == device_of(*other, "b")


def test_different_models_stay_different() -> None:
    models = ["Sensation 16", "Sensation 64", "Emotion", "Emotion Duo", "Skyra", "Prisma", "Prisma_fit"]
    assert len({device_of("SIEMENS", model, "") for model in models}) == len(models)


def test_an_unnamed_scanner_is_that_of_its_source() -> None:
    assert device_of("", "", "north") == "?north" != device_of("", "", "south")


@pytest.mark.parametrize("text", ["", "0", "ANON", "Anonymized", "anonymous ", "UNKNOWN", "test"])
def test_ids_that_stand_for_nobody_name_no_patient(text: str) -> None:
    assert patient_of(text, "", "", "") == ""


def test_a_patient_is_the_same_in_every_spelling_and_readable_in_none() -> None:
    assert (
        patient_of("AB-12 ", "", "x", "")
        == patient_of("ab-12", "", "y", "")
        != patient_of("ab-12", "else", "", "")
    )
    assert patient_of("", "", "Doe^Jane", "19700101") == patient_of("anon", "", "doe^jane", "19700101") != ""
    assert len(patient_of("AB-12", "", "", "")) == 16
    assert digest_of("", "") == ""


def test_modalities_that_look_alike_are_one_group() -> None:
    assert {group_of(name) for name in ("CR", "dx", "MG", "XA", "RTIMAGE", "IO")} == {"XR"}
    assert (group_of("CT"), group_of("MR"), group_of("PT"), group_of("??")) == ("CT", "MR", "NM", "OT")
