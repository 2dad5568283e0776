"""A running node for the peers, which knows each of them as a destination."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from demo.node import RunningNode, free_port
from tests.peers.orthanc import Orthanc
from tests.peers.programs import PEERS, Ports


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
