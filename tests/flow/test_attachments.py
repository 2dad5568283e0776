"""What another archive keeps with us comes back byte for byte, in every state and under every name."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnn.archive import State, open_archive
from dicomnn.archive.index import INDEX_POINTS
from dicomnn.archive.store import PUT_POINTS
from dicomnn.errors import DuplicateConflict, IdentifierInvalid, InstanceNotFound, RestoreMismatch, StoreFull
from dicomnn.flow.attachments import Attachments
from dicomnn.flow.fsck import Check
from dicomnn.flow.ingest import Policy, ProfileRule
from dicomnn.flow.opening import Archive
from dicomnn.flow.part10 import file_prefix
from tests.flow.conftest import Walks
from tests.scp.peer import BIG, EXPLICIT, IMPLICIT, JPEG_LS, Item, image


class Interrupted(BaseException):
    """Nothing on the way catches it, as nothing catches a kill."""


def as_file(item: Item, *, preamble: bytes = b"II*\0".ljust(128, b"x")) -> bytes:
    """A Part 10 file with a preamble of its own."""
    prefix = file_prefix(item.sop_class, item.instance, item.syntax)
    return preamble + prefix[128:] + item.data


def before_pixels(item: Item, content: bytes) -> bytes:
    return content[:content.index(b"\xe0\x7f\x10\x00")]


def kept(walks: Walks, uuid: str, content: bytes, kind: int = 1) -> str:
    return Attachments(walks.archive, walks.policy).take(uuid, kind, io.BytesIO(content).read, len(content))


def given(walks: Walks, uuid: str) -> bytes:
    with Attachments(walks.archive, walks.policy).give(uuid) as out:
        return b"".join(out.chunks())


def gone(walks: Walks, uuid: str) -> bool:
    done = Attachments(walks.archive, walks.policy).remove(uuid)
    walks.archive.release_due()
    return done


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_a_file_comes_back_byte_for_byte_before_and_after_coding(syntax: str, walks: Walks) -> None:
    content = as_file(image(1, rows=64, columns=64, syntax=syntax))
    assert kept(walks, "u1", content) == "new"
    assert given(walks, "u1") == content
    assert [done.outcome for done in walks.code_all()] == ["coded"]
    walks.archive.release_due()
    assert given(walks, "u1") == content
    assert sum(entry.size for entry in walks.archive.store.entries()) < len(content)


def test_the_beginning_of_a_file_takes_no_space_and_is_read_without_decoding(
        walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    item = image(1, rows=64, columns=64)
    content = as_file(item)
    kept(walks, "u1", content)
    assert kept(walks, "u2", before_pixels(item, content), kind=3) == "new"
    assert walks.objects() == 1
    walks.code_all()
    walks.archive.release_due()
    monkeypatch.setattr("dicomnn.flow.attachments.restore", None)
    assert given(walks, "u2") == before_pixels(item, content)
    assert gone(walks, "u1")
    assert given(walks, "u2") == before_pixels(item, content)
    assert gone(walks, "u2")
    assert walks.objects() == 0


def test_a_beginning_of_something_else_is_kept_on_its_own(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    content = as_file(item)
    kept(walks, "u1", content)
    for number, body in enumerate((before_pixels(item, content)[:-3], content[:-1],
                                   before_pixels(item, content).replace(b"Doe", b"Roe"))):
        kept(walks, f"v{number}", body, kind=3)
        walks.code_all()
        assert given(walks, f"v{number}") == body
    assert walks.objects() >= 4


@pytest.mark.parametrize("content", [b"", b"{}", b"abc" * 5000, bytes(range(256))])
def test_other_attachments_come_back_as_they_are(content: bytes, walks: Walks) -> None:
    kept(walks, "u1", content, kind=1024)
    kept(walks, "u2", content)             # of type DICOM, but no DICOM file
    assert given(walks, "u1") == given(walks, "u2") == content
    assert walks.code_all() == []


def test_a_damaged_attachment_is_an_error_and_not_other_bytes(walks: Walks) -> None:
    kept(walks, "u1", b"abc" * 5000, kind=1024)
    (entry,) = walks.archive.store.entries()
    path = walks.archive.store.local_path(entry.name)
    assert path is not None
    path.chmod(0o600)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(RestoreMismatch):
        given(walks, "u1")


def test_what_a_coded_object_cannot_give_back_exactly_is_not_coded(walks: Walks) -> None:
    content = as_file(Item("1.2.840.10008.5.1.4.1.1.2", "1.2.826.9.1.1.1", JPEG_LS,
                           image(1, rows=64, columns=64).data))
    kept(walks, "u1", content)
    assert walks.code_all() == []
    instance = walks.archive.index.get("1.2.826.9.1.1.1")
    assert (instance.state, instance.reason) == (State.KEPT, "profile-keep")
    assert given(walks, "u1") == content


def test_a_lossy_rule_does_not_reach_attachments_and_a_keeping_one_does(
        open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(profile="bounded:4", rules=(ProfileRule("keep", modality="US"),)))
    content = as_file(image(1, rows=64, columns=64))
    kept(walks, "u1", content)
    walks.code_all()
    assert walks.archive.index.get("1.2.826.9.1.1.1").facts["exact"] == "data-set"
    assert given(walks, "u1") == content


def test_the_same_data_set_from_a_scanner_and_from_the_other_archive_is_stored_once(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all()
    content = as_file(item)
    kept(walks, "u1", content)
    walks.archive.release_due()
    assert walks.objects() == 1
    assert given(walks, "u1") == content
    assert gone(walks, "u1")
    assert walks.take(item) == item


def test_a_modified_file_under_the_same_uid_and_the_first_one_both_come_back(walks: Walks) -> None:
    first, second = as_file(image(1, rows=64, columns=64)), as_file(image(1, rows=64, columns=64, seed=5))
    kept(walks, "u1", first)
    walks.code_all()
    kept(walks, "u2", second)
    assert (given(walks, "u1"), given(walks, "u2")) == (first, second)
    assert gone(walks, "u1")
    with pytest.raises(InstanceNotFound):
        given(walks, "u1")
    assert given(walks, "u2") == second
    assert [done.outcome for done in walks.code_all()] == ["coded"]
    walks.archive.release_due()
    assert given(walks, "u2") == second
    assert walks.objects() == 1


def test_a_name_keeps_its_bytes_whatever_is_said_later(walks: Walks) -> None:
    content = as_file(image(1))
    assert kept(walks, "u1", content) == "new"
    assert kept(walks, "u1", content) == "same"
    with pytest.raises(DuplicateConflict):
        kept(walks, "u1", content + b"\0\0")
    assert given(walks, "u1") == content
    walks.archive.release_due()
    assert walks.objects() == 1


def test_what_ends_early_or_has_no_name_or_no_room_leaves_nothing(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(minimum_free_bytes=1 << 60))
    with pytest.raises(StoreFull):
        kept(walks, "u1", b"content")
    walks.policy = Policy()
    attachments = Attachments(walks.archive, walks.policy)
    for size in (10, 20 << 20):
        with pytest.raises(IdentifierInvalid, match="fewer"):
            attachments.take("u1", 1, io.BytesIO(b"12345").read, size)
    for name in ("../x", "", "a/b", "x" * 65):
        with pytest.raises(IdentifierInvalid):
            kept(walks, name, b"1")
    assert walks.objects() == 0 and not list(walks.archive.index.attachments())


@pytest.mark.parametrize("point", [*PUT_POINTS, *INDEX_POINTS])
def test_whatever_fails_on_the_way_in_the_same_said_again_is_kept_once(point: str, tmp_path: Path) -> None:
    content, failing = as_file(image(1, rows=32, columns=32)), [True]

    def hook(passed: str) -> None:
        if passed == point and failing.pop():
            failing.append(False)
            raise Interrupted(point)

    def opened(**hooks: Callable[[str], None]) -> Walks:
        keys = open_archive(tmp_path / "archive", **hooks)  # type: ignore[arg-type]
        return Walks(Archive(keys.store, keys.index, keys.journal), Policy())

    walks = opened()
    kept(walks, "u0", as_file(image(2)))   # migrations and folders are not what is tried here
    walks.archive.close()
    walks = opened(store_hook=hook, index_hook=hook)
    with pytest.raises(Interrupted):
        kept(walks, "u1", content)
    walks = opened()                       # as after a kill: nothing was closed
    there = walks.archive.index.attachment("u1")
    assert (there is not None) == (point == "index.committed")
    assert kept(walks, "u1", content) == ("same" if there else "new")
    assert given(walks, "u1") == content
    walks.archive.release_due()
    now = time.time() + 7200
    problems = Check(walks.archive, now=now, deep=True).run().problems
    assert {problem.kind for problem in problems} <= {"orphan"} and len(problems) <= 1
    assert Check(walks.archive, now=now, repair=True).run().left == []
    assert given(walks, "u1") == content
    walks.archive.close()


def test_reading_while_workers_swap_the_object_gives_the_same_bytes(walks: Walks) -> None:
    content = as_file(image(1, rows=64, columns=64))
    kept(walks, "u1", content)
    with Attachments(walks.archive, walks.policy).give("u1") as out:
        walks.code_all()
        walks.archive.release_due()
        assert b"".join(out.chunks()) == content
