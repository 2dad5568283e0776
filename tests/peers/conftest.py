"""A running node for the peers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.node import RunningNode


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """`dicomnn serve` with its workers, on a free loopback port."""
    running = RunningNode(tmp_path_factory.mktemp("node"))
    running.start()
    yield running
    running.stop()
