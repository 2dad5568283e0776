"""What every store promises. A store's own test file inherits `StoreSuite` and gives ``store``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnn.archive.store import PUT_POINTS, Store
from dicomnn.errors import DuplicateConflict, ObjectMissing, StoreFailed, StoreFull
from tests.archive.conftest import put


class Interruption(Exception):
    pass


class Hook:
    """Raises at one point, remembers all."""

    def __init__(self) -> None:
        self.at: str | None = None
        self.error: Exception = Interruption()
        self.seen: list[str] = []

    def __call__(self, point: str) -> None:
        self.seen.append(point)
        if point == self.at:
            raise self.error


class StoreSuite:
    @pytest.fixture
    def hook(self) -> Hook:
        return Hook()

    @pytest.fixture
    def store(self, tmp_path: Path, hook: Hook) -> Iterator[Store]:
        raise NotImplementedError

    def test_a_committed_object_is_read_back_byte_for_byte(self, store: Store) -> None:
        data = bytes(range(256)) * 5000
        with store.create() as incoming:
            for start in range(0, len(data), 65536):
                incoming.write(memoryview(data)[start:start + 65536])
            assert incoming.size == len(data)
            name = incoming.commit()
            assert incoming.sha256 == hashlib.sha256(data).hexdigest()
        with store.open(name) as source:
            assert source.read() == data
            source.seek(1000)
            assert source.read(10) == data[1000:1010]
        assert store.size(name) == len(data)

    def test_names_are_random_and_tell_nothing(self, store: Store) -> None:
        names = {put(store, b"the same") for _ in range(5)}
        assert len(names) == 5
        assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)

    def test_nothing_is_visible_before_commit_or_after_abort(self, store: Store) -> None:
        incoming = store.create()
        incoming.write(b"half")
        assert list(store.entries()) == []
        incoming.abort()
        incoming.abort()
        assert list(store.entries()) == []
        assert [p for p in store.scratch.iterdir() if p.suffix == ".part"] == []

    def test_leaving_the_block_without_commit_aborts(self, store: Store) -> None:
        with pytest.raises(ZeroDivisionError), store.create() as incoming:
            incoming.write(b"half")
            raise ZeroDivisionError
        assert list(store.entries()) == []

    def test_a_file_that_another_writer_filled_is_hashed_when_committed(self, store: Store) -> None:
        with store.create() as incoming:
            assert incoming.path is not None
            incoming.path.write_bytes(b"preamble" + b"data set")
            assert incoming.size == 16
            name = incoming.commit()
            assert incoming.sha256 == hashlib.sha256(b"preambledata set").hexdigest()
            assert incoming.sha256_from(8) == hashlib.sha256(b"data set").hexdigest()
        assert store.open(name).read() == b"preambledata set"

    def test_a_writer_may_replace_the_file_it_was_given(self, store: Store) -> None:
        with store.create() as incoming:
            assert incoming.path is not None
            other = incoming.path.with_suffix(".new")
            other.write_bytes(b"replaced")
            other.replace(incoming.path)
            name = incoming.commit()
        assert store.open(name).read() == b"replaced"

    def test_a_file_written_elsewhere_is_taken_over(self, store: Store) -> None:
        foreign = store.scratch / "from-the-network"
        foreign.write_bytes(b"received")
        with store.adopt(foreign) as incoming:
            assert incoming.sha256 == hashlib.sha256(b"received").hexdigest()
            name = incoming.commit()
        assert not foreign.exists()
        assert store.open(name).read() == b"received"

    def test_the_digest_of_the_data_set_alone_is_known_while_writing(self, store: Store) -> None:
        with store.create() as incoming:
            incoming.write(b"meta" * 100)
            incoming.write(b"data set" * 100)
            assert incoming.sha256_from(400) == hashlib.sha256(b"data set" * 100).hexdigest()
            incoming.write(b"!")
            name = incoming.commit()
        assert store.size(name) == 1201

    def test_a_missing_object_is_a_typed_error(self, store: Store) -> None:
        for ask in (store.open, store.size):
            with pytest.raises(ObjectMissing):
                ask("0" * 32)
        with pytest.raises(ObjectMissing), store.pin("0" * 32):
            pass

    @pytest.mark.parametrize("name", [
        "../../etc/passwd", "", "a/b", "0" * 31, "0" * 32 + "/..", "0" * 32 + "\n"])
    def test_no_name_leads_out_of_the_store(self, store: Store, name: str) -> None:
        for ask in (store.open, store.size, store.delete, store.local_path):
            if ask == store.local_path and store.local_path("0" * 32) is None:
                continue
            with pytest.raises(StoreFailed):
                ask(name)

    @pytest.mark.parametrize("model_id", ["../x", "", ".", "a/b", "x" * 129])
    def test_no_model_id_leads_out_of_the_store(self, store: Store, model_id: str) -> None:
        with pytest.raises(StoreFailed):
            store.put_model(model_id, b"")
        with pytest.raises(StoreFailed):
            store.get_model(model_id)

    def test_deleting_twice_is_harmless(self, store: Store) -> None:
        name, other = put(store, b"a"), put(store, b"b")
        store.delete(name, "0" * 32)
        store.delete(name)
        assert [entry.name for entry in store.entries()] == [other]

    def test_a_pinned_object_outlives_its_deletion(self, store: Store) -> None:
        name = put(store, b"pinned")
        with store.pin(name) as path:
            store.delete(name)
            assert path.read_bytes() == b"pinned"
        assert not path.exists()

    def test_entries_come_in_order_of_names_with_sizes(self, store: Store) -> None:
        sizes = {put(store, b"x" * size): size for size in range(1, 8)}
        entries = list(store.entries())
        assert [entry.name for entry in entries] == sorted(sizes)
        assert {entry.name: entry.size for entry in entries} == sizes

    def test_models_are_kept_by_id_and_never_change(self, store: Store) -> None:
        assert store.get_model("abc") is None and store.models() == []
        store.put_model("abc", b"weights")
        store.put_model("abc", b"weights")
        store.put_model("abd", b"others")
        assert store.models() == ["abc", "abd"]
        with pytest.raises(DuplicateConflict):
            store.put_model("abc", b"weightz")
        assert store.get_model("abc") == b"weights"
        assert list(store.entries()) == []

    def test_a_log_gives_back_its_lines(self, store: Store) -> None:
        log = store.open_log("one.jsonl")
        log.append(b"a\nb\n")
        log.append(b"c\n")
        log.close()
        (name,) = store.logs()
        assert list(store.read_log(name)) == [b"a", b"b", b"c"]

    @pytest.mark.parametrize("point", PUT_POINTS)
    def test_a_put_that_fails_at_any_point_leaves_nothing(self, store: Store, hook: Hook, point: str) -> None:
        before = put(store, b"earlier")
        hook.at = point
        with pytest.raises(Interruption):
            put(store, b"interrupted")
        hook.at = None
        assert [entry.name for entry in store.entries()] == [before]
        assert [p for p in store.scratch.iterdir() if p.suffix == ".part"] == []
        assert store.open(put(store, b"later")).read() == b"later"

    def test_every_put_passes_the_points_in_order(self, store: Store, hook: Hook) -> None:
        put(store, b"x")
        assert tuple(hook.seen[-len(PUT_POINTS):]) == PUT_POINTS

    @pytest.mark.parametrize(("number", "expected"), [(28, StoreFull), (122, StoreFull), (5, StoreFailed)])
    def test_a_full_disk_is_told_from_a_broken_one(self, store: Store, hook: Hook, number: int,
                                                   expected: type[Exception]) -> None:
        self.fail_with(store, hook, OSError(number, "made to fail"))
        with pytest.raises(expected):
            put(store, b"x")
        hook.at = None
        assert list(store.entries()) == []

    def fail_with(self, store: Store, hook: Hook, error: OSError) -> None:
        """Let the next put fail with what the system says."""
        hook.at, hook.error = "store.file-synced", error
