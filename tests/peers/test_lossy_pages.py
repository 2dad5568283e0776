"""What a real browser shows of loss: promises, marks, the worst frame, the seed's codec."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from demo.node import RunningNode

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

from playwright.sync_api import Page, expect  # noqa: E402

from tests.peers.pages import RAMP, judged, marked_pixels, sign_out, uid_of  # noqa: E402
from tests.web_app.browsing import (  # noqa: E402
    CHROMIUM,
    PATIENCE,
    address_of,
    open_study,
    sign_in,
    upload,
)
from tests.web_app.conftest import small  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not CHROMIUM, reason="not installed: Chromium (Debian: chromium)"),
]


def test_a_lossy_study_is_called_lossy_and_shows_what_is_left_of_its_original(
    page: Page, pages_node: RunningNode, sample_data: Path
) -> None:
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, [sample_data / "mr_multiframe" / "mr_enhanced.dcm"], profile="bounded:2")
    open_study(page, pages_node, uid_of(sample_data / "mr_multiframe" / "mr_enhanced.dcm"))
    expect(page.locator("#statement")).to_contain_text("Lossy.")
    expect(page.locator("#decoded-title")).to_have_text("Reconstruction, lossy")
    page.locator("#worst").click()
    expect(page.locator("#difference-words")).to_contain_text("Amplified")
    said = page.locator("#decoded").get_attribute("data-mark") or ""
    assert said.startswith("lossy ") and said.endswith(":1")
    expect(page.get_by_role("img", name=f"Reconstruction, {said}", exact=True)).to_be_visible()
    assert marked_pixels(page, "decoded") > 30 and marked_pixels(page, "original") == 0
    page.locator("#closer").click(click_count=4)
    assert marked_pixels(page, "decoded") > 30, "the mark stays, however one zooms"
    page.goto(f"{address_of(pages_node)}/studies?q=DEMO-0007")
    expect(page.locator(".tag.lossy")).to_have_count(1)


def test_a_promise_is_chosen_with_a_warning_and_told_with_its_worst_frame(
    page: Page, pages_node: RunningNode, sample_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.dcm"
    path.write_bytes(
        small(
            sample_data,
            "ct_head",
            StudyInstanceUID="2.25.4711",
            SOPInstanceUID="2.25.4712",
            SeriesInstanceUID="2.25.4713",
            PatientID="P-4711",
        )[1]
    )
    sign_in(page, pages_node, "carl")
    page.goto(f"{address_of(pages_node)}/upload")
    expect(page.locator("#lossy-note")).to_be_hidden()
    expect(page.get_by_label("What is promised")).to_be_hidden()
    page.get_by_label("Lossy, with a promised figure").check()
    expect(page.locator("#lossy-note")).to_contain_text("fine texture may go, and the original goes for good")
    expect(page.get_by_label("At least")).to_have_value("5")
    page.get_by_label("What is promised").select_option("ssim")
    expect(page.get_by_label("At least")).to_have_value("0.98")
    page.get_by_text("How far guidelines go").click()
    expect(page.locator(".caps")).to_contain_text("CT of the head 5 : 1 at most")
    assert judged(page) == []

    upload(page, pages_node, [path], profile="lossy:ratio=4")
    open_study(page, pages_node, "2.25.4711")
    panel = page.locator("#quality")
    expect(panel).to_contain_text("1 image: ratio at least 4:1")
    expect(panel).to_contain_text("Promise kept on every frame")
    assert marked_pixels(page, "decoded") > 30
    page.get_by_role("button", name="Show the worst frame and its difference").click()
    expect(page.locator("#difference")).to_be_focused()
    expect(page.locator("#difference-words")).to_contain_text("Amplified")
    page.locator('#again select[name="profile"]').select_option("lossy")
    expect(page.locator("#again .promise-choice")).to_be_visible()
    expect(page.locator("#lossy-note")).to_be_visible()
    assert judged(page) == []


def test_a_refused_promise_says_why_where_it_was_asked_for_and_the_panel_comes_by_itself(
    page: Page, pages_node: RunningNode, sample_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.dcm"
    path.write_bytes(
        small(
            sample_data,
            "ct_head",
            StudyInstanceUID="2.25.4721",
            SOPInstanceUID="2.25.4722",
            SeriesInstanceUID="2.25.4723",
            PatientID="P-4721",
        )[1]
    )
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, [path], profile="lossy:ratio=12")
    expect(page.locator("#message-list")).to_contain_text("ratio at least 12:1 was refused")
    expect(page.locator("#message-list")).to_contain_text("Royal College of Radiologists")
    open_study(page, pages_node, "2.25.4721")
    expect(page.locator("#quality")).to_contain_text("Refused; coded without loss")
    page.locator('#again select[name="profile"]').select_option("bounded:2")
    expect(page.locator("#again .promise-choice")).to_be_hidden()
    page.get_by_role("button", name="Compress again").click()
    bounded = "no stored value changes by more than 2"
    expect(page.locator("#quality")).to_contain_text(bounded, timeout=PATIENCE)


def test_what_came_lossy_is_marked_too(page: Page, pages_node: RunningNode, tmp_path: Path) -> None:
    photo = tmp_path / "scan.jpg"
    photo.write_bytes(imagecodecs.jpeg8_encode((RAMP >> 8).astype(np.uint8), level=80))
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, [photo], patient_name="Roe^Kim", patient_id="P-91")
    page.locator("#studies-made a").click()
    page.locator("#viewer[data-shown]").wait_for(timeout=PATIENCE)
    expect(page.locator("#original-words")).to_contain_text("Compressed with loss before it came")
    assert marked_pixels(page, "original") > 30


def test_the_seeds_codec_is_shown_to_compare_with(
    page: Page, pages_node: RunningNode, sample_data: Path
) -> None:
    files = sorted((sample_data / "ct_head").glob("*.dcm"))[:1]
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, files)
    sign_out(page)
    sign_in(page, pages_node, "vera")
    open_study(page, pages_node, uid_of(files[0]))
    page.locator("#see-seed").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "The seed's codec, to compare with", timeout=PATIENCE
    )
    expect(page.locator(".warn")).to_contain_text("For comparison only")
    for name in ("original", "latent", "decompressed", "ours"):
        assert page.locator(f"#seed-{name}").evaluate("picture => picture.naturalWidth") > 0, name
    page.get_by_label("Resized to").focus()
    page.keyboard.type("128")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#seed-original")).to_have_attribute("width", "128")
    expect(page.locator("#seed-figures tbody tr").first).to_contain_text("dB")
    page.get_by_role("link", name="Back to the study").click()
    page.locator("#viewer[data-shown]").wait_for(timeout=PATIENCE)
