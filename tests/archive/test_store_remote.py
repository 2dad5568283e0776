"""The fsspec store on two file systems."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnn.archive.remote import FsspecStore
from dicomnn.archive.store import Store, open_store
from dicomnn.errors import StoreFailed
from tests.archive.conftest import put
from tests.archive.store_suite import Hook, StoreSuite


class RemoteSuite(StoreSuite):
    def fail_with(self, store: Store, hook: Hook, error: OSError) -> None:
        def broken(local: Path, key: str) -> None:
            raise error

        assert isinstance(store, FsspecStore)
        store.put_file = broken  # type: ignore[method-assign]


class TestMemoryStore(RemoteSuite):
    @pytest.fixture
    def store(self, tmp_path: Path, hook: Hook) -> Iterator[Store]:
        with open_store(f"memory://bucket-{secrets.token_hex(4)}/prefix", hook=hook) as store:
            assert isinstance(store, FsspecStore)
            yield store


class TestFileUrlStore(RemoteSuite):
    @pytest.fixture
    def store(self, tmp_path: Path, hook: Hook) -> Iterator[Store]:
        with FsspecStore(f"file://{tmp_path}/store", hook=hook) as store:
            yield store


def test_an_upload_that_arrives_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FsspecStore(f"file://{tmp_path}/store") as store:
        def short(local: Path, key: str) -> None:
            store.put_bytes(key, local.read_bytes()[:-1])

        monkeypatch.setattr(store, "put_file", short)
        with pytest.raises(StoreFailed, match="fewer bytes"):
            put(store, b"whole")
        assert list(store.entries()) == []


def test_staging_is_gone_when_the_store_is_closed() -> None:
    store = open_store(f"memory://bucket-{secrets.token_hex(4)}")
    scratch = store.scratch
    put(store, b"x")
    store.close()
    assert not scratch.exists()
