"""Every error has its DIMSE status, and the statuses keep the promises of PS3.4 B.2.3 and C.4.3."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomnn import errors
from dicomnn.errors import DicomnnError
from scp.dimse import status


def error_classes(kind: type[DicomnnError] = DicomnnError) -> Iterator[type[DicomnnError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_classes(child)


def test_every_error_code_has_a_row_and_every_row_an_error() -> None:
    assert {kind.code for kind in error_classes()} == set(status.TABLE)


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.code)
def test_no_error_is_told_as_success_or_warning(kind: type[DicomnnError]) -> None:
    for code in (status.store_status(kind("x")), status.retrieve_status(kind("x"))):
        assert code & 0xF000 in (0xA000, 0xC000) or 0x0100 <= code < 0x0200


def test_only_the_nodes_own_trouble_tells_a_sender_to_retry() -> None:
    retry = {kind.code for kind in error_classes() if status.store_status(kind("x")) & 0xFF00 == 0xA700}
    assert retry == {"archive", "store-full", "store-failed", "index-failed"}
    assert status.store_status(OSError("disk")) == 0xA700 == status.store_status(MemoryError())
    assert status.store_status(ValueError("a bug")) == 0x0110


def test_an_unknown_subclass_is_the_nodes_own_fault() -> None:
    class Later(DicomnnError):
        code = "of-a-later-version"

    assert status.store_status(Later("x")) == 0x0110 and status.retrieve_status(Later("x")) == 0xC001


@pytest.mark.parametrize("text", ["a" * 200, "line\r\nbreak\x00", "ümläut", "", "back\\slash"])
def test_a_comment_is_one_short_line_of_ascii(text: str) -> None:
    comment = status.comment(text)
    assert len(comment) <= 64 and comment.isascii() and comment.isprintable() and "\\" not in comment
