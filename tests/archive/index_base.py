"""What the parts of the index's suite share."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from dicomnn.archive import Index, Work
from tests.archive.conftest import Clock


class IndexBase:
    @pytest.fixture
    def make_index(self, clock: Clock) -> Callable[..., Index]:
        """Opens the index of this test with the clock of this test; the same one when called again."""
        raise NotImplementedError

    @pytest.fixture
    def index(self, make_index: Callable[..., Index]) -> Index:
        return make_index()

    @staticmethod
    def take(index: Index, seconds: float = 60.0) -> Work:
        (work,) = index.lease("worker", seconds)
        return work

    @staticmethod
    def finish(index: Index, work: Work, name: str | None = None, size: int = 3, **more: Any) -> bool:
        name = name or secrets.token_hex(16)
        return index.coded(work, name, object_sha256="c" * 64, object_size=size, **more)
