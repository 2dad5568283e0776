"""What tests in a real browser look at on a page and in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom

RAMP = np.add.outer(np.arange(96) * 600, np.arange(128) * 7).astype(np.uint16)
SERIOUS = ("serious", "critical")

if TYPE_CHECKING:
    from playwright.sync_api import Page


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


def judged(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is now."""
    from axe_playwright_python.sync_playwright import Axe

    result = Axe().run(page).response
    return [
        f"{entry['id']}: {[node['target'] for node in entry['nodes']][:3]}"
        for entry in result["violations"]
        if entry["impact"] in SERIOUS
    ]


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
