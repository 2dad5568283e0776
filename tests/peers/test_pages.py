"""The pages in a real browser (Chromium, driven by Playwright), and axe-core's judgement of each of them."""

from __future__ import annotations

import os
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from demo.node import RunningNode

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

from playwright.sync_api import Page, expect  # noqa: E402

from tests.peers.pages import RAMP, judged, uid_of  # noqa: E402
from tests.web_app.browsing import (  # noqa: E402
    CHROMIUM,
    PATIENCE,
    address_of,
    open_study,
    sign_in,
    upload,
)

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not CHROMIUM, reason="not installed: Chromium (Debian: chromium)"),
]


def ct_series(sample_data: Path) -> list[Path]:
    """A real CT series where the collection is beside the checkout, else the made one."""
    shared = Path(os.environ.get("DICOMNN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    for folder in sorted(shared.glob("*/")) if shared.is_dir() else []:
        found = [path for path in sorted(folder.rglob("*.dcm"))[:400] if _is_ct(path)]
        if len(found) >= 4:
            return found[:6]
    return sorted((sample_data / "ct_thorax").glob("*.dcm"))


def _is_ct(path: Path) -> bool:
    try:
        header = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["Modality", "BitsAllocated", "SamplesPerPixel"]
        )
        return header.get("Modality") == "CT" and header.file_meta.TransferSyntaxUID in (
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
        )
    except (pydicom.errors.InvalidDicomError, AttributeError, OSError):
        return False


def test_a_person_uploads_compares_and_takes_it_back(
    page: Page, pages_node: RunningNode, sample_data: Path, tmp_path: Path
) -> None:
    series = sorted((sample_data / "ct_thorax").glob("*.dcm"))
    picture = tmp_path / "curve.png"
    picture.write_bytes(imagecodecs.png_encode(RAMP))
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, [*series, picture], patient_name="Doe^Jane", patient_id="P-77")
    expect(page.locator("#outcome")).to_contain_text(f"{len(series) + 1} stored")
    expect(page.locator("#studies-made li")).to_have_count(2)
    assert page.locator("#coded").evaluate("bar => bar.value === bar.max")

    open_study(page, pages_node, uid_of(series[0]))
    viewer = page.locator("#viewer")
    assert viewer.get_attribute("data-exact") == "data-set"
    expect(page.locator("#difference-words")).to_contain_text("No value differs")
    expect(page.locator("#original-words")).to_contain_text("proven by SHA-256")

    # Another window: the picture changes, linked in both panes.
    before = page.locator("#decoded").screenshot()
    page.locator("#preset").select_option(label="Lung")
    expect(viewer).to_have_attribute("data-window", "-600/1500")
    page.wait_for_function(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => true)"
    )
    assert page.locator("#decoded").screenshot() != before

    # The hardest frame is one click away, and the keys walk through the frames.
    worst = viewer.get_attribute("data-worst")
    page.locator("#worst").click()
    expect(page.locator("#frame-words")).to_contain_text(f"{worst} of {len(series)}")
    page.locator("#decoded").focus()
    page.keyboard.press("Home")
    expect(page.locator("#frame-words")).to_contain_text(f"1 of {len(series)}")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#frame-words")).to_contain_text(f"2 of {len(series)}")
    page.locator("#decoded").hover()
    page.mouse.wheel(0, 100)
    expect(page.locator("#frame-words")).to_contain_text(f"3 of {len(series)}")
    page.keyboard.press("m")
    expect(page.locator("#magnify")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("b")
    expect(page.locator("#codes-words")).to_contain_text("no picture in this layer")

    # What is taken back are the very bytes.
    shown = (viewer.get_attribute("data-shown") or "").split()[0]
    with page.expect_download() as download:
        page.locator("#get-restored").click()
    sent = {uid_of(path, "SOPInstanceUID"): path.read_bytes() for path in series}
    assert Path(download.value.path()).read_bytes() == sent[shown]

    page.goto(f"{address_of(pages_node)}/studies?q=P-77")
    page.get_by_role("link", name="Doe, Jane").click()
    page.locator("#viewer[data-shown]").wait_for(timeout=PATIENCE)
    with page.expect_download() as download:
        page.locator("#get-png").click()
    assert np.array_equal(imagecodecs.png_decode(Path(download.value.path()).read_bytes()), RAMP)

    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{address_of(pages_node)}/sign-in")
    page.goto(f"{address_of(pages_node)}/studies")
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_real_ct_series_comes_back_with_its_bytes(
    page: Page, pages_node: RunningNode, sample_data: Path
) -> None:
    series = ct_series(sample_data)
    sign_in(page, pages_node, "carl")
    upload(page, pages_node, series)
    open_study(page, pages_node, uid_of(series[0]))
    shown = (page.locator("#viewer").get_attribute("data-shown") or "").split()[0]
    with page.expect_download() as download:
        page.locator("#get-restored").click()
    assert Path(download.value.path()).read_bytes() in [path.read_bytes() for path in series]
    assert shown in {uid_of(path, "SOPInstanceUID") for path in series}


def test_bad_files_are_named_and_the_rest_is_kept(
    page: Page, pages_node: RunningNode, sample_data: Path, tmp_path: Path
) -> None:
    html, cut, colour = tmp_path / "page.dcm", tmp_path / "cut.dcm", tmp_path / "deep.png"
    html.write_text("<html><script>window.evil = 1</script></html>" * 20)
    good = sorted((sample_data / "mr_brain").glob("*.dcm"))[:2]
    cut.write_bytes(good[0].read_bytes()[:700])
    colour.write_bytes(imagecodecs.png_encode(np.dstack([RAMP] * 3)))
    sign_in(page, pages_node, "carl")
    upload(
        page, pages_node, [html, good[0], cut, colour, good[1]], patient_name="Doe^Jane", patient_id="P-77"
    )
    expect(page.locator("#outcome")).to_contain_text("2 stored, 3 failed")
    messages = page.locator("#message-list").inner_text()
    for words in (
        "page.dcm was not stored. It is neither DICOM nor a picture",
        "cut.dcm was not stored",
        "16 bits per channel",
        "What to do",
    ):
        assert words in messages
    assert page.evaluate("window.evil") is None


def test_a_stopped_upload_keeps_what_had_arrived(
    page: Page, pages_node: RunningNode, sample_data: Path, tmp_path: Path
) -> None:
    small, large = sorted((sample_data / "ct_head").glob("*.dcm"))[0], tmp_path / "large.zip"
    large.write_bytes(b"PK\3\4" + os.urandom(60 << 20))
    sign_in(page, pages_node, "carl")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Network.enable")
    cdp.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000},
    )
    page.goto(f"{address_of(pages_node)}/upload")
    page.locator("#files").set_input_files([str(small), str(large)])
    page.locator("#send").click()
    expect(page.locator("#studies-made li")).to_have_count(1, timeout=PATIENCE)
    page.locator("#stop").click()
    expect(page.locator("#outcome")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(page.locator("#outcome")).to_contain_text("1 stored")
    expect(page.locator("#message-list")).to_contain_text("Stopped before it was sent")
    page.goto(f"{address_of(pages_node)}/studies?q=DEMO-0002")
    expect(page.locator("#studies tr[data-uid]")).to_have_count(1)


def test_a_viewer_cannot_upload(page: Page, pages_node: RunningNode) -> None:
    sign_in(page, pages_node, "vera")
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    expect(page.get_by_role("link", name="Upload")).to_have_count(0)
    page.goto(f"{address_of(pages_node)}/upload")
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()


def test_a_wrong_password_ten_times_is_slowed_down(page: Page, pages_node: RunningNode) -> None:
    for _ in range(10):
        sign_in(page, pages_node, "vera", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("Too many wrong passwords")
    sign_in(page, pages_node, "vera")
    expect(page.get_by_role("alert")).to_contain_text("Too many wrong passwords")


def test_axe_finds_nothing_serious_on_any_page(
    page: Page, pages_node: RunningNode, sample_data: Path
) -> None:
    home = address_of(pages_node)
    found = {}

    def judge(name: str) -> None:
        found[name] = judged(page)

    page.goto(f"{home}/sign-in")
    judge("sign-in")
    sign_in(page, pages_node, "ada")
    series = sorted((sample_data / "dx_chest").glob("*.dcm"))
    upload(page, pages_node, [*series, Path(__file__)])
    judge("upload, done")
    page.locator('input[name="profile"][value="bounded:1"]').check()
    judge("upload, lossy")
    open_study(page, pages_node, uid_of(series[0]))
    page.keyboard.press("b")
    expect(page.locator("#codes-words")).not_to_be_empty()
    page.get_by_text("Who did what").click()
    judge("study")
    page.locator("#see-seed").click()
    expect(page.locator("#seed-figures")).to_be_visible(timeout=PATIENCE)
    judge("seed's codec")
    for name in (
        "studies",
        "studies?q=nothing-like-this",
        "upload",
        "node",
        "users",
        "audit",
        "account",
        "nowhere",
    ):
        page.goto(f"{home}/{name}")
        judge(name)
    page.goto(f"{home}/account")
    page.get_by_label("What for").fill("test")
    page.get_by_role("button", name="Make a token").click()
    judge("new token")
    # The report forbids every script, axe's too: its text is judged on an empty page.
    report = page.request.get(f"{home}/studies/{uid_of(series[0])}/report.html").text()
    page.goto("about:blank")
    page.set_content(report)
    judge("report")
    assert {name: problems for name, problems in found.items() if problems} == {}
