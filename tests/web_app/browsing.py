"""A browser on a node's pages: what tests and the script of the screenshots do with their hands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from demo.node import COMMAND, RunningNode

CHROMIUM = os.environ.get("DICOMNN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "seven green lamps"
PATIENCE = 120_000  # milliseconds, for coding


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    assert CHROMIUM, "no Chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


def address_of(node: RunningNode) -> str:
    return f"http://127.0.0.1:{node.web_port}"


def add_user(node: RunningNode, name: str, role: str) -> None:
    """On the command line, while the node runs."""
    subprocess.run(
        [*COMMAND, "users", "add", name, "--role", role, "--password-stdin", "--archive", str(node.archive)],
        input=PASSWORD + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


def sign_in(page: Page, node: RunningNode, name: str, password: str = PASSWORD) -> None:
    page.goto(f"{address_of(node)}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def upload(page: Page, node: RunningNode, files: list[Path], **fields: str) -> None:
    """Choose files, fill in what is asked for pictures, send, and wait until all is compressed."""
    page.goto(f"{address_of(node)}/upload")
    page.locator("#files").set_input_files([str(file) for file in files])
    for name, value in fields.items():
        if name == "profile" and value.startswith("lossy:"):
            figure, promised = value.removeprefix("lossy:").split("=")
            page.locator('input[name="profile"][value="lossy"]').check()
            page.locator('select[name="figure"]').select_option(figure)
            page.locator('input[name="value"]').fill(promised)
        elif name == "profile":
            page.locator(f'input[name="profile"][value="{value}"]').check()
        else:
            page.locator(f'[name="{name}"]').fill(value)
    page.locator("#send").click()
    page.locator('#upload[data-finished="yes"]').wait_for(timeout=PATIENCE)


def open_study(page: Page, node: RunningNode, uid: str) -> None:
    """The study's page, with a frame drawn."""
    page.goto(f"{address_of(node)}/studies/{uid}")
    page.locator("#viewer[data-shown]").wait_for(timeout=PATIENCE)
