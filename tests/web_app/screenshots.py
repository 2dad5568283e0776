"""``python -m tests.web_app.screenshots OUT``: every page at 1280 and 1920 pixels, from sample_data alone."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
from playwright.sync_api import Page
from pydicom import dcmread

from demo.node import RunningNode
from tests.web_app.browsing import PATIENCE, add_user, address_of, browser, open_study, sign_in, upload

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
CHEST = str(dcmread(SAMPLES / "ct_thorax" / "ct_01.dcm", stop_before_pixels=True).StudyInstanceUID)
FRAMES = str(dcmread(SAMPLES / "mr_multiframe" / "mr_enhanced.dcm", stop_before_pixels=True).StudyInstanceUID)
SIZES = ((1280, 800), (1920, 1080))


DOCUMENTS = {"studies": "studies-1280.png", "study": "chest-1280.png"}  # the README's two


def main(out: Path, documents: Path | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        node = RunningNode(Path(folder), '[coding]\neffort = "fast"\n')
        node.start()
        try:
            add_user(node, "maria", "administrator")
            with browser() as started:
                page = started.new_page(viewport={"width": 1280, "height": 800})
                page.on("console", lambda message: print("console:", message.text))
                page.on("pageerror", lambda error: print("error:", error))
                page.goto(f"{address_of(node)}/")
                page.screenshot(path=out / "sign_in-1280.png")
                sign_in(page, node, "maria")
                fill(page, node, Path(folder))
                for width, height in SIZES:
                    page.set_viewport_size({"width": width, "height": height})
                    shoot(page, node, out, width)
        finally:
            node.stop()
    for name, source in DOCUMENTS.items() if documents is not None else ():
        shutil.copyfile(out / source, documents / f"{name}.png")


def fill(page: Page, node: RunningNode, folder: Path) -> None:
    """A few studies and a picture."""
    picture = folder / "curve.png"
    values = np.add.outer(np.arange(300) * 90, np.arange(400) * 60).astype(np.uint16)
    picture.write_bytes(imagecodecs.png_encode(values))
    for name in ("ct_thorax", "mr_brain", "dx_chest"):
        upload(page, node, sorted((SAMPLES / name).glob("*.dcm")))
    upload(page, node, sorted((SAMPLES / "ct_head").glob("*.dcm")), profile="bounded:2")
    upload(page, node, sorted((SAMPLES / "mr_multiframe").glob("*.dcm")), profile="lossy:ssim=0.98")
    upload(page, node, sorted((SAMPLES / "mr_flow_bigendian").glob("*.dcm")), profile="lossy:ratio=12")
    upload(page, node, [picture, SAMPLES / "README.md"], patient_name="Phantom^Picture", patient_id="DEMO-9")


def shoot(page: Page, node: RunningNode, out: Path, width: int) -> None:
    if page.url.endswith("/upload"):
        page.screenshot(path=out / f"uploaded-{width}.png", full_page=True)
    page.goto(f"{address_of(node)}/studies")
    page.screenshot(path=out / f"studies-{width}.png")
    uids = [row.get_attribute("data-uid") for row in page.locator("#studies tr[data-uid]").all()]
    for place, uid in enumerate(uids):
        assert uid is not None
        open_study(page, node, uid)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out / f"study{place}-{width}.png", full_page=place < 2)
    open_study(page, node, CHEST)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=out / f"chest-{width}.png")
    page.locator("#base").click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=out / f"codes-{width}.png", full_page=True)
    page.locator("#see-seed").click()
    page.locator("#seed-figures").wait_for(timeout=PATIENCE)
    page.screenshot(path=out / f"seed-{width}.png", full_page=True)
    open_study(page, node, FRAMES)
    page.locator(".see-frame").click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=out / f"promised-{width}.png", full_page=True)
    page.goto(f"{address_of(node)}/upload")
    page.get_by_label("Lossy, with a promised figure").check()
    page.get_by_text("How far guidelines go").click()
    page.screenshot(path=out / f"upload_lossy-{width}.png", full_page=True)
    for name in ("upload", "node", "account", "users", "audit"):
        page.goto(f"{address_of(node)}/{name}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out / f"{name}-{width}.png", full_page=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
