"""What is lossy is called so: marks, what was promised and reached, why another profile was applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dicomnn.dicom.mark import lettered
from scp.web.factory import create_app
from tests.web_app.conftest import Site, Visitor, small
from tests.web_app.test_studies import files, study_of


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


def has_mark(png: bytes, words: str) -> bool:
    picture = np.asarray(imagecodecs.png_decode(png))
    box = lettered(words.upper()) * 255
    scale = max(1, min(picture.shape[:2]) // 256)
    box = box.repeat(scale, 0).repeat(scale, 1)
    corner = picture[-box.shape[0]:, -box.shape[1]:]
    return np.array_equal(corner if corner.ndim == 2 else corner[..., 0], box)


def test_pictures_of_a_lossy_object_are_marked_and_its_values_are_not(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, small(sample_data, "ct_head"), profile="bounded:4")
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    at = f"/studies/{study}/instances/{one.sop_instance_uid}"
    loss = visitor.get(f"{at}/image.json").json["loss"]  # type: ignore[index]
    assert loss.startswith("lossy ") and loss.endswith(":1")
    assert has_mark(visitor.get(f"{at}/kept/1/decoded.png").data, loss)
    assert not has_mark(visitor.get(f"{at}/kept/1/original.png").data, loss)
    exact = visitor.get(f"{at}/frames/1.png")
    assert f"-{loss.replace(' ', '-').replace(':', '-')}.png" in exact.headers["Content-Disposition"]
    frame = visitor.get(f"{at}/frames/1.bin")
    values = np.frombuffer(frame.data, {"u16": "<u2", "i16": "<i2"}[frame.headers["X-Kind"]])
    values = values.astype(np.int32) + (32768 if frame.headers["X-Kind"] == "i16" else 0)
    assert np.array_equal(np.asarray(imagecodecs.png_decode(exact.data)).ravel(), values)


def test_what_came_exact_has_no_mark(site: Site, visitor: Visitor, ct: bytes) -> None:
    study = study_of(visitor, ("a.dcm", ct))
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    assert visitor.get(f"/studies/{study}/instances/{one.sop_instance_uid}/image.json").json["loss"] == ""  # type: ignore[index]


# ---------------------------------------------------------------------- promises
def upload_promised(visitor: Visitor, given: tuple[str, bytes], figure: str, value: str) -> tuple[str, str]:
    """(upload, study), with the fields of the form."""
    answer = visitor.client.post(
        "/uploads",
        json={"profile": "lossy", "figure": figure, "value": value},
        headers={"X-Form-Key": visitor.key},
    )
    assert answer.status_code == 201, answer.text
    made = answer.json["id"]  # type: ignore[index]
    return made, visitor.send(made, *given).json["studies"][0]  # type: ignore[index]


@pytest.mark.parametrize(("figure", "value", "words"), [
    ("ratio", "4", "ratio at least 4:1"), ("psnr", "55.5", "PSNR at least 55.5 dB"),
    ("ssim", "0.97", "SSIM in the window at least 0.97"),
])  # fmt: skip
def test_a_promised_figure_is_chosen_kept_and_told_on_the_studys_page(
    site: Site, visitor: Visitor, sample_data: Path, figure: str, value: str, words: str
) -> None:
    upload, study = upload_promised(visitor, small(sample_data, "ct_head"), figure, value)
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    assert one.facts["exact"] == "lossy" and one.facts["lossy"]["promise"] == f"{figure}={value}"
    page = visitor.get(f"/studies/{study}").text
    for text in (words, "Promise kept on every frame", "Highest allowed", "CT of the head", "JPEG 2000",
                 "Noise power", "Show the worst frame and its difference"):
        assert text in page, text
    assert f'data-uid="{one.sop_instance_uid}" data-frame="1"' in page
    at = f"/studies/{study}/instances/{one.sop_instance_uid}"
    assert visitor.get(f"{at}/kept/1/difference.png").data.startswith(b"\x89PNG")
    assert visitor.get(f"/uploads/{upload}.json").json["remarks"] == []  # type: ignore[index]


def test_of_many_frames_the_one_that_is_worst_by_the_promised_figure_keeps_its_pictures(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    _, study = upload_promised(visitor, small(sample_data, "mr_multiframe"), "ratio", "3")
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    worst = one.facts["lossy"]["worst_frame"]
    assert worst not in (one.facts["quality"]["worst_frame"], 3), "it tells nothing else: take another image"
    at = f"/studies/{study}/instances/{one.sop_instance_uid}"
    for frame in (worst, one.facts["quality"]["worst_frame"], 3):
        assert visitor.get(f"{at}/kept/{frame}/difference.png").data.startswith(b"\x89PNG")
    assert f'data-frame="{worst}"' in visitor.get(f"/studies/{study}").text


def test_a_refused_promise_names_the_guideline_where_the_person_looks(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    upload, study = upload_promised(visitor, small(sample_data, "ct_head"), "ratio", "12")
    assert visitor.get(f"/uploads/{upload}.json").json["remarks"] == []  # type: ignore[index] # not done yet
    site.code_all()
    (remark,) = visitor.get(f"/uploads/{upload}.json").json["remarks"]  # type: ignore[index]
    assert "1 image: ratio at least 12:1 was refused" in remark["message"]
    assert "Royal College of Radiologists" in remark["message"] and "lossless" in remark["message"]
    for page in (visitor.get(f"/studies/{study}").text, visitor.get(f"/studies/{study}/quality").text):
        assert "Refused; coded without loss" in page and "Royal College of Radiologists" in page
        assert "Show the worst frame" not in page


def test_compress_again_takes_a_promised_figure_too(site: Site, visitor: Visitor, sample_data: Path) -> None:
    study = study_of(visitor, small(sample_data, "ct_head"))
    site.code_all()
    told = {"profile": "lossy", "figure": "ratio", "value": "4.0", "effort": "fast"}
    done = visitor.post(f"/studies/{study}/again", **told)
    assert done.status_code == 303
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    assert one.facts["lossy"]["promise"] == "ratio=4" and one.facts["exact"] == "lossy"
    assert "a person" in visitor.get(f"/studies/{study}/quality").text


@pytest.mark.parametrize(("figure", "value"), [
    ("ratio", ""), ("ratio", "0.5"), ("ssim", "1.2"), ("psnr", "-3"), ("size", "4"), ("ratio", "4;psnr=2"),
])  # fmt: skip
def test_a_promise_that_is_none_is_refused_before_anything_is_sent(
    visitor: Visitor, sample_data: Path, figure: str, value: str
) -> None:
    told = {"profile": "lossy", "figure": figure, "value": value}
    answer = visitor.client.post("/uploads", json=told, headers={"X-Form-Key": visitor.key})
    assert answer.status_code == 400 and answer.json["error"]  # type: ignore[index]
    study = study_of(visitor, small(sample_data, "ct_head"))
    assert visitor.post(f"/studies/{study}/again", **told).status_code == 400


def test_the_forms_say_how_far_the_guidelines_of_this_site_go(
    site: Site, visitor: Visitor, ct: bytes
) -> None:
    study = study_of(visitor, ("a.dcm", ct))
    for page in (visitor.get("/upload").text, visitor.get(f"/studies/{study}").text):
        assert "<strong>CT of the body</strong> <span>5 : 1 at most</span>" in page
        assert "none approves a codec like this one" in page
    adopted = Visitor(create_app(replace(site.services, caps="drg-2008")).test_client())
    assert "<strong>CT of the body</strong> <span>8 : 1 at most</span>" in adopted.get("/upload").text


def test_a_bounded_study_tells_its_bound(site: Site, visitor: Visitor, sample_data: Path) -> None:
    study = study_of(visitor, *files(sample_data, "mr_multiframe"), profile="bounded:2")
    site.code_all()
    page = visitor.get(f"/studies/{study}").text
    (one,) = site.archive.index.instances(study=study)
    assert "no stored value changes by more than 2" in page
    assert f'data-frame="{one.facts["quality"]["worst_frame"]}"' in page


def test_a_study_without_loss_has_no_such_panel(site: Site, visitor: Visitor, ct: bytes) -> None:
    study = study_of(visitor, ("a.dcm", ct))
    site.code_all()
    assert 'data-from="/studies/' + study + '/quality" hidden' in visitor.get(f"/studies/{study}").text
    assert visitor.get(f"/studies/{study}/quality").text.strip() == ""
