"""An archive per test, quickly: the migrated empty index is made once and copied."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnn.archive import Archive, Received, open_archive, open_index
from dicomnn.archive.store import Store


class Clock:
    """Seconds since 1970 that move only when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "empty.sqlite"
    open_index(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def new_archive(tmp_path: Path, empty_index: Path) -> Callable[..., Archive]:
    """Open the archive of this test (the same one when called again)."""

    def opened(**options: object) -> Archive:
        path = tmp_path / "archive" / "index" / "index.sqlite"
        if not path.exists():
            path.parent.mkdir(parents=True)
            shutil.copy(empty_index, path)
        return open_archive(tmp_path / "archive", **options)  # type: ignore[arg-type]

    return opened


def put(store: Store, data: bytes) -> str:
    with store.create() as incoming:
        incoming.write(data)
        return incoming.commit()


def arrived(uid: str = "1.2.3", *, content: bytes = b"original", name: str | None = None,
            **more: object) -> Received:
    """What a receiver hands to the index; ``content`` stands for data set and object alike."""
    digest = hashlib.sha256(content).hexdigest()
    values: dict[str, object] = {
        "study_instance_uid": "1.9", "series_instance_uid": "1.9.1",
        "attributes": {"modality": "CT", "patient_id": "P1"}, "calling_ae": "CT1"}
    return Received(sop_instance_uid=uid, digest=digest, object_name=name or secrets.token_hex(16),
                    object_sha256=digest, object_size=len(content), **{**values, **more})  # type: ignore[arg-type]


def store_and_receive(archive: Archive, uid: str, content: bytes, **more: object) -> str:
    """The whole way in; the receipt's kind."""
    return archive.receive(arrived(uid, content=content, name=put(archive.store, content), **more)).kind
