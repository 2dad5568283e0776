"""The pages in a real browser (Chromium, driven by Playwright), and axe-core's judgement of each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from demo.node import RunningNode

pytest.importorskip("playwright")
pytest.importorskip("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.web_app.browsing import (  # noqa: E402
    CHROMIUM,
    PATIENCE,
    add_user,
    address_of,
    browser,
    open_study,
    sign_in,
    upload,
)
from tests.web_app.conftest import small  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not CHROMIUM, reason="not installed: Chromium (Debian: chromium)"),
]
RAMP = np.add.outer(np.arange(96) * 600, np.arange(128) * 7).astype(np.uint16)
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def pages_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("pages"), '[coding]\neffort = "fast"\n')
    running.start()
    for name, role in (("ada", "administrator"), ("carl", "contributor"), ("vera", "viewer")):
        add_user(running, name, role)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh browser; what a page's own script does wrong fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    made, faults = context.new_page(), []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on(
        "console",
        lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield made
    context.close()
    assert faults == []


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


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()


def marked_pixels(page: Page, pane: str) -> int:
    """Pixels of the mark's yellow in the lower right corner of a pane, which has no colours of its own."""
    counted = page.locator(f"#{pane}").evaluate(
        """async canvas => {
            for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
            const pen = canvas.getContext("2d"), wide = 90, high = 26;
            const pixels = pen.getImageData(canvas.width - wide, canvas.height - high, wide, high).data;
            let count = 0;
            for (let at = 0; at < pixels.length; at += 4) count += pixels[at] - pixels[at + 2] > 40 ? 1 : 0;
            return count;
        }"""
    )
    return int(counted)


def uid_of(path: Path, keyword: str = "StudyInstanceUID") -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True)[keyword].value)


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
    path.write_bytes(small(sample_data, "ct_head", StudyInstanceUID="2.25.4711", SOPInstanceUID="2.25.4712",
                           SeriesInstanceUID="2.25.4713", PatientID="P-4711")[1])
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
    path.write_bytes(small(sample_data, "ct_head", StudyInstanceUID="2.25.4721", SOPInstanceUID="2.25.4722",
                           SeriesInstanceUID="2.25.4723", PatientID="P-4721")[1])
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


def judged(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is now."""
    result = Axe().run(page).response
    return [
        f"{entry['id']}: {[node['target'] for node in entry['nodes']][:3]}"
        for entry in result["violations"]
        if entry["impact"] in SERIOUS
    ]


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
