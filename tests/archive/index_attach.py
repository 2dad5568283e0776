"""Part of the index's suite: names that another archive gave to bytes."""

from __future__ import annotations

import hashlib

import pytest

from dicomnn.archive import Attached, Attachment, Index, State
from dicomnn.archive.records import ATTACHED
from dicomnn.errors import InUse
from tests.archive.conftest import Clock, arrived
from tests.archive.index_base import IndexBase


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def attach(index: Index, uuid: str, uid: str = "1.2.3", content: bytes = b"original", *,
           name: str | None = None, prefix: bytes = b"DICM", profile: str = "lossless") -> Attached:
    """A file: ``prefix`` and a data set; the object stands for both."""
    received = arrived(uid, content=content, name=name, source=ATTACHED, profile=profile, calling_ae="",
                       attributes={"modality": "CT", "patient_id": "P1", "study_instance_uid": "1.9",
                                   "series_instance_uid": "1.9.1", "sop_class_uid": "1.1"})
    whole = prefix + content
    named = Attachment(uuid, 1, "file", len(whole), digest_of(whole), uid, received.digest, prefix)
    return index.attach(named, received)


def blob(index: Index, uuid: str, content: bytes = b"{}", name: str = "f" * 32) -> Attached:
    return index.attach(Attachment(uuid, 2, "object", len(content), digest_of(content), object_name=name,
                                   object_size=len(content)))


def released(index: Index) -> set[str]:
    return {release.object_name for release in index.due_releases()}


class AttachSuite(IndexBase):
    def test_an_attached_file_is_an_instance_that_waits_for_a_worker(self, index: Index,
                                                                     clock: Clock) -> None:
        attached = attach(index, "u1")
        assert (attached.kind, attached.drop) == ("new", None)
        assert index.get("1.2.3").state is State.RECEIVED
        found = index.attachment("u1")
        assert found is not None
        assert (found.form, found.received_uid, found.prefix, found.received_at) == (
            "file", "1.2.3", b"DICM", clock.now)
        assert index.attachment("u2") is None
        assert index.status().attachments == 1

    def test_saying_it_again_changes_nothing_and_other_bytes_are_refused(self, index: Index) -> None:
        attach(index, "u1", name="a" * 32)
        again = attach(index, "u1", name="b" * 32)
        assert (again.kind, again.drop) == ("same", "b" * 32)
        other = attach(index, "u1", content=b"other", name="c" * 32)
        assert (other.kind, other.drop) == ("taken", "c" * 32)
        assert released(index) == {"b" * 32, "c" * 32}
        assert list(index.conflicts()) == []
        assert attach(index, "u1", name="a" * 32).drop is None, "its own object, whose answer was lost"

    def test_a_data_set_under_two_names_is_stored_once_and_goes_with_the_last(self, index: Index) -> None:
        attach(index, "u1", name="a" * 32)
        second = attach(index, "u2", name="b" * 32, prefix=b"other meta")
        assert second.drop == "b" * 32
        index.released(["b" * 32])
        assert index.detach("u1")
        assert index.get("1.2.3").state is State.RECEIVED and not released(index)
        assert index.detach("u2")
        assert index.get("1.2.3").state is State.DELETED
        assert released(index) == {"a" * 32}
        assert not index.detach("u2")
        assert index.status().attachments == 0

    def test_what_also_arrived_by_another_way_stays_when_the_name_goes(self, index: Index) -> None:
        attach(index, "u1", "1.1")
        assert index.receive(arrived("1.1")).kind == "same"
        index.receive(arrived("1.2"))
        assert attach(index, "u2", "1.2").kind == "new"
        index.detach("u1")
        index.detach("u2")
        assert {i.sop_instance_uid for i in index.instances()} == {"1.1", "1.2"}
        assert index.get("1.1").calling_ae == "CT1"

    def test_other_content_under_the_uid_takes_the_place_when_the_first_name_goes(self, index: Index) -> None:
        attach(index, "u1", name="a" * 32)
        self.finish(index, self.take(index), name="c" * 32)
        index.released(["a" * 32])
        attach(index, "u2", content=b"modified", name="b" * 32)
        assert [record.object_name for record in index.conflicts()] == ["b" * 32]
        assert index.get("1.2.3").state is State.CODED
        index.detach("u1")
        instance = index.get("1.2.3")
        assert (instance.state, instance.object_name, instance.digest) == (
            State.RECEIVED, "b" * 32, digest_of(b"modified"))
        assert list(index.conflicts()) == [] and index.status().conflicts == 0
        assert released(index) == {"c" * 32}
        assert self.take(index).object_name == "b" * 32

    def test_a_conflict_record_that_only_a_name_refers_to_goes_with_it(self, index: Index) -> None:
        index.receive(arrived("1.2.3"))
        attach(index, "u1", content=b"modified", name="b" * 32)
        attach(index, "u2", content=b"other", name="d" * 32)
        index.receive(arrived("1.2.3", content=b"other"))          # and from somebody else too
        index.detach("u1")
        index.detach("u2")
        assert [record.object_name for record in index.conflicts()] == ["d" * 32]
        assert "b" * 32 in released(index)
        assert index.get("1.2.3").digest == digest_of(b"original")

    @pytest.mark.parametrize("policy", ["never", "always"])
    def test_the_names_own_content_is_never_coded_with_another_profile(self, policy: str, make_index) -> None:  # type: ignore[no-untyped-def]
        index = make_index(policy=policy)
        attach(index, "u1", "1.1")
        index.receive(arrived("1.1", profile="bounded:2"))
        assert index.get("1.1").profile == "lossless"
        index.receive(arrived("1.2", profile="bounded:2"))
        attach(index, "u2", "1.2", name="e" * 32)
        own = index.attachment("u2")
        assert own is not None
        assert (own.form, own.object_name) == ("object", "e" * 32)

    def test_an_object_of_its_own_is_named_and_released(self, index: Index) -> None:
        blob(index, "u1")
        assert list(index.object_names()) == [("f" * 32, 2, "attachment")]
        assert index.referrer("f" * 32) == "attachment"
        assert index.status().bytes_store == 2
        index.detach("u1")
        assert released(index) == {"f" * 32}
        index.released(["f" * 32])
        assert index.status().bytes_store == 0

    def test_the_beginning_of_a_file_keeps_its_content(self, index: Index) -> None:
        attach(index, "u1")
        head = Attachment("u2", 3, "head", 5, digest_of(b"DICMo"), "1.2.3", digest_of(b"original"), b"DICM")
        assert index.attach(head).kind == "new"
        index.detach("u1")
        assert index.get("1.2.3").state is State.RECEIVED
        index.detach("u2")
        assert index.get("1.2.3").state is State.DELETED
        assert index.attach(head).kind == "gone"

    def test_an_instance_that_a_name_refers_to_cannot_be_deleted_here(self, index: Index) -> None:
        attach(index, "u1")
        with pytest.raises(InUse, match="1.2.3"):
            index.delete("1.2.3", reason="r", by="b")
        index.detach("u1")
        attach(index, "u2")
        assert index.get("1.2.3").state is State.RECEIVED

    def test_pages_give_every_name_once(self, index: Index) -> None:
        for number in range(5):
            attach(index, f"u{number}", f"1.{number}")
        assert [item.uuid for item in index.attachments(page=2)] == [f"u{n}" for n in range(5)]
        assert [item.uuid for item in index.attachments_of("1.3")] == ["u3"]
