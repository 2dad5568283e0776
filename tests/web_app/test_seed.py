"""The seed's codec on a page: real bytes, said to be for comparison, and nothing of it stays."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from dicomnn.dicom.mark import lettered, lossy_words, marked
from dicomnn.report.reading import grouped
from dicomnn.seed.codec import triple as seed
from tests.web_app.conftest import Site, Visitor, small
from tests.web_app.test_studies import study_of


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


def address(data: bytes, frame: int = 1) -> str:
    found = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return f"/studies/{found.StudyInstanceUID}/instances/{found.SOPInstanceUID}/seed/{frame}"


def picture(page: str, name: str) -> np.ndarray:
    found = re.search(rf'id="seed-{name}" src="data:image/png;base64,([^"]+)"', page)
    assert found, name
    return np.asarray(imagecodecs.png_decode(base64.b64decode(found[1])))


def row(page: str, name: str) -> list[str]:
    found = re.search(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', page, re.DOTALL)
    assert found, name
    return re.findall(r'<td class="number">([^<]*)</td>', found[1])


def test_the_page_shows_what_the_seeds_codec_makes_of_the_image(
    visitor: Visitor, ct: bytes
) -> None:
    visitor.upload(("a.dcm", ct))
    values = pydicom.dcmread(io.BytesIO(ct)).pixel_array
    for kernel, side in ((3, 256), (2, 128)):
        page = visitor.get(f"{address(ct)}?filters={kernel}&side={side}").text
        made = seed.triple(seed.square(values, side), seed.shown_model(kernel))
        lossy = marked(made.decompressed, lossy_words([made.metrics.ratio]))
        for name, expected in (("original", made.original), ("latent", made.latent), ("decompressed", lossy)):
            assert np.array_equal(picture(page, name), expected)
        shown = row(page, f"Seed&#39;s codec, filters {kernel}×{kernel}")
        figures = made.metrics
        assert shown == [grouped(len(made.coded)), f"{figures.ratio:.2f}", f"{figures.mse:.6f}",
                         f"{figures.psnr:.2f} dB", f"{figures.psnr_255:.2f} dB", f"{figures.ssim:.4f}"]
        assert "For comparison only." in page and "never stores" in page


def test_our_codec_stands_beside_it_on_the_same_picture_at_no_more_bytes(
    site: Site, visitor: Visitor, ct: bytes
) -> None:
    visitor.upload(("a.dcm", ct))
    page = visitor.get(address(ct)).text
    made = seed.triple(seed.square(pydicom.dcmread(io.BytesIO(ct)).pixel_array, 256), seed.shown_model(3))
    first, *_ = seed.beside(made, site.archive.shelf.newest())
    assert first.metrics.coded_bytes <= len(made.coded)
    assert np.array_equal(picture(page, "ours"), first.decoded)
    assert row(page, f"Ours, {first.profile}")[0] == grouped(first.metrics.coded_bytes)
    assert row(page, "Ours, lossless")[2:4] == ["0", "exact"]


def test_looking_changes_nothing_in_the_archive_and_is_on_record(
    site: Site, ct: bytes
) -> None:
    viewer, contributor = site.signed_in("viewer"), site.signed_in("contributor")
    contributor.upload(("a.dcm", ct))
    site.code_all()
    before = list(site.archive.index.instances())
    assert viewer.get(address(ct)).status_code == 200
    assert list(site.archive.index.instances()) == before
    deeds = site.accounts.deeds(5)
    assert any(deed.action == "compare with the seed's codec" and deed.who == "one-viewer" for deed in deeds)


def test_an_image_that_is_lossy_already_is_marked_here_too(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, small(sample_data, "ct_head"), profile="bounded:4")
    site.code_all()
    (instance,) = site.archive.index.instances(study=study)
    page = visitor.get(f"/studies/{study}/instances/{instance.sop_instance_uid}/seed/1").text
    said = re.search(r"\((lossy [0-9.]+:1) already\)", page)
    assert said
    box = lettered(said[1].upper()) * 255
    assert np.array_equal(picture(page, "original")[-box.shape[0]:, -box.shape[1]:], box)


def test_without_the_model_the_page_says_how_to_make_it(
    visitor: Visitor, ct: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.upload(("a.dcm", ct))
    monkeypatch.setattr(seed, "SHOWN", tmp_path)
    seed.shown_model.cache_clear()
    page = visitor.get(address(ct))
    assert page.status_code == 200 and "make seed" in page.text and "shown-3x3" in page.text
    (tmp_path / "shown-3x3.npz").write_bytes(b"no model")
    assert "no model of the seed" in visitor.get(address(ct)).text


def test_what_it_cannot_take_is_said(visitor: Visitor, ct: bytes) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    colour = ("c.png", bytes(imagecodecs.png_encode(rgb)))
    study = visitor.upload(colour, patient_name="A", patient_id="B")[0]["studies"][0]
    uid = visitor.get(f"/studies/{study}/view.json").json["series"][0]["instances"][0]["uid"]  # type: ignore[index]
    page = visitor.get(f"/studies/{study}/instances/{uid}/seed/1")
    assert page.status_code == 422 and "grey" in page.text
    visitor.upload(("a.dcm", ct))
    assert visitor.get(address(ct) + "?filters=5").status_code == 400
    assert visitor.get(address(ct) + "?side=x").status_code == 400
    assert visitor.get(address(ct, frame=9)).status_code in (400, 404, 422)
