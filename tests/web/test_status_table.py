"""Every error has its HTTP status and, for what was sent, its Failure Reason."""

from __future__ import annotations

import pytest

from dicomnn.errors import DicomnnError
from scp.dimse.status import store_status
from scp.web import status
from tests.scp.test_status_table import error_classes


def test_every_error_code_has_a_row_and_every_row_an_error() -> None:
    assert {kind.code for kind in error_classes()} == set(status.TABLE)


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.code)
def test_no_error_is_told_as_success_and_reasons_are_those_of_c_store(kind: type[DicomnnError]) -> None:
    assert 400 <= status.http_status(kind("x")) < 600
    reason = status.failure_reason(kind("x"))
    assert reason & 0xF000 in (0xA000, 0xC000) or 0x0100 <= reason < 0x0200
    if kind.code not in ("instance-not-found", "identifier-invalid"):
        assert reason == store_status(kind("x")) or reason == status.PROCESSING


def test_only_the_nodes_own_trouble_tells_a_client_to_try_again() -> None:
    again = {kind.code for kind in error_classes() if status.http_status(kind("x")) == 503}
    assert again == {"archive", "store-full", "store-failed", "index-failed"}
    assert status.http_status(OSError("disk")) == 503 and status.http_status(ValueError("a bug")) == 500
