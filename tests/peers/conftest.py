"""A running node for the peers, which knows each of them as a destination."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from demo.node import RunningNode, free_port
from tests.peers.orthanc import Orthanc
from tests.peers.programs import PEERS, Ports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def ports() -> Ports:
    """Where the peers listen, or will."""
    return Ports({name: free_port() for name in (*PEERS, "ORTHANC-HTTP")})


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, ports: Ports) -> Iterator[RunningNode]:
    """`dicomnn serve` with its workers, on a free loopback port."""
    destinations = "".join(
        f'[[destinations]]\nae_title = "{name}"\nhost = "127.0.0.1"\nport = {ports[name]}\n'
        for name in PEERS)
    fast = '[coding]\neffort = "fast"\n'
    running = RunningNode(tmp_path_factory.mktemp("node"), fast + destinations)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory, node: RunningNode, ports: Ports) -> Iterator[Orthanc]:
    """Orthanc that knows the node as ``node``."""
    if shutil.which("Orthanc") is None:
        pytest.skip("not installed: Orthanc (Debian: orthanc)")
    running = Orthanc(tmp_path_factory.mktemp("orthanc"), ports["ORTHANC"], ports["ORTHANC-HTTP"],
                      node.address.port)
    yield running
    running.stop()


# ------------------------------------------------------------------ a browser
@pytest.fixture(scope="module")
def pages_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with a user of each role; for a browser."""
    from tests.web_app.browsing import add_user

    running = RunningNode(tmp_path_factory.mktemp("pages"), '[coding]\neffort = "fast"\n')
    running.start()
    for name, role in (("ada", "administrator"), ("carl", "contributor"), ("vera", "viewer")):
        add_user(running, name, role)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from tests.web_app.browsing import browser

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
