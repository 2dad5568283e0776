"""An archive with the made studies behind Flask's own client, and a node with a real HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from dicomnn.flow.code import Coder
from dicomnn.flow.file_in import FileIn, Sender
from dicomnn.flow.ingest import Ingest, Outcome, Policy
from dicomnn.flow.opening import Place, open_archive
from dicomnn.flow.query import Search
from dicomnn.flow.retrieve import Retrieval
from scp.web.factory import create_app
from scp.web.services import Services, WebLimits
from tests.scp.peer import NodeProcess


@dataclass
class Web:
    """An archive and the application over it."""

    services: Services
    client: FlaskClient

    def put(self, data: bytes, **sender: Any) -> Outcome:
        file = FileIn(self.services.ingest, Sender("test", **sender))
        for start in range(0, len(data), 100_000):
            file.write(data[start:start + 100_000])
        return file.finish()

    def code_all(self, effort: str = "fast") -> None:
        coder = Coder(self.services.archive, effort=effort)
        while works := self.services.archive.index.lease("test", 60.0):
            for work in works:
                coder.code(work)

    def get(self, path: str, accept: str | None = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept is not None:
            sent["Accept"] = accept
        return self.client.get("/dicom-web" + path, headers=sent)

    def found(self, path: str) -> list[dict[str, Any]]:
        """What a search finds."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.data)
        return answer.get_json(force=True)

    def paths(self, modality: str) -> list[str]:
        """Of the instances of the longest series of a modality, in order."""
        series = max(self.found(f"/series?Modality={modality}"), key=lambda row: value(row, "00201209"))
        above = f"/studies/{value(series, '0020000D')}/series/{value(series, '0020000E')}/instances"
        rows = sorted(self.found(above), key=lambda row: value(row, "00200013"))
        return [f"{above}/{value(row, '00080018')}" for row in rows]


def value(found: dict[str, Any], tag: str) -> Any:
    """The first value of an element in JSON, None where there is none."""
    values = found.get(tag, {}).get("Value") or [None]
    return values[0]


@pytest.fixture(scope="session")
def make_web() -> Iterator[Callable[..., Web]]:
    """make_web(folder, policy=..., limit=..., ...) opens an empty archive and an application over it."""
    opened: list[Services] = []

    def make(folder: Path, *, policy: Policy | None = None, limit: int = 50000, cache_bytes: int = 64 << 20,
             **more: Any) -> Web:
        archive = open_archive(Place(str(folder / "archive")))
        services = Services(archive, Ingest(archive, policy or Policy()), Search(archive, limit),
                            Retrieval(archive), limits=WebLimits(cache_bytes=cache_bytes), **more)
        opened.append(services)
        return Web(services, create_app(services).test_client())

    yield make
    for services in opened:
        services.close()
        services.archive.close()


@pytest.fixture(scope="session")
def web(make_web: Callable[..., Web], tmp_path_factory: pytest.TempPathFactory,
        sample_files: list[Path]) -> Web:
    """The made studies, all coded. Tests read from it; who writes makes an archive of his own."""
    made = make_web(tmp_path_factory.mktemp("web"))
    for path in sample_files:
        made.put(path.read_bytes())
    made.code_all()
    return made


@pytest.fixture
def empty(make_web: Callable[..., Web], tmp_path: Path) -> Web:
    return make_web(tmp_path)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A real node; its HTTP server's address is in `web_of`."""
    with NodeProcess(tmp_path_factory.mktemp("node") / "archive", "--workers", "-1") as running:
        yield running


def web_of(node: NodeProcess) -> str:
    """URL of DICOMweb of a running node."""
    return node.ready.split(" web=")[1].split()[0] + "/dicom-web"
