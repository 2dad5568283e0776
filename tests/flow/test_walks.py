"""From arrival to exact bytes through every state, on real archives and the real codec."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pydicom
import pytest

from dicomnn.archive import State
from dicomnn.errors import IdentifierInvalid, InstanceNotFound, ObjectMissing, StoreFull
from dicomnn.flow.code import Coder, renewed
from dicomnn.flow.ingest import Policy, ProfileRule
from dicomnn.flow.retrieve import Match, NoCommonSyntax, Query, Retrieval
from dicomnn.flow.study import report_folder, study_report, write_due_report
from tests.flow.conftest import Walks
from tests.scp.peer import BIG, CT, EXPLICIT, IMPLICIT, Item, image

STUDY = "1.2.826.9.1"


def test_native_input_is_byte_identical_in_every_state(walks: Walks) -> None:
    items = [image(n, rows=40, columns=300, syntax=syntax)
             for n, syntax in enumerate((EXPLICIT, IMPLICIT, BIG), 1)]
    for item in items:
        assert walks.put(item).kind == "new"
        assert walks.take(item) == item
    (work,) = walks.archive.index.lease("test", 60.0)
    assert walks.archive.index.get(work.sop_instance_uid).state is State.CODING
    assert [walks.take(item) for item in items] == items
    assert Coder(walks.archive, effort="fast").code(work).outcome == "coded"
    assert [d.outcome for d in walks.code_all()] == ["coded", "coded"]
    assert [walks.take(item) for item in items] == items
    assert all(walks.archive.index.get(i.instance).state is State.CODED for i in items)


def test_after_coding_the_store_holds_no_original(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    (original,) = walks.archive.store.entries()
    walks.code_all()
    walks.archive.release_due()
    (only,) = walks.archive.store.entries()
    assert only.name != original.name and only.size < original.size
    assert walks.take(item) == item


def test_a_reader_that_began_before_the_swap_gets_the_right_bytes(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    given = Retrieval(walks.archive).prepare(Match(item.instance, item.sop_class), None)
    walks.code_all()
    walks.archive.release_due()
    with given:
        assert given.source.read(given.size) == item.data


def test_a_name_that_is_gone_makes_the_walk_ask_the_index_again(
        walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    stale = walks.archive.index.get(item.instance)
    walks.code_all()
    walks.archive.release_due()
    answers = [stale, stale]
    fresh = walks.archive.index.get
    monkeypatch.setattr(walks.archive.index, "get", lambda uid: answers.pop() if answers else fresh(uid))
    assert walks.take(item) == item and not answers


def test_retrieval_is_right_while_everything_is_being_swapped(walks: Walks) -> None:
    items = [image(n, rows=48, columns=48) for n in range(1, 13)]
    for item in items:
        walks.put(item)

    def read() -> list[bool]:
        return [walks.take(item) == item for _ in range(4) for item in items]

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(len(items)):
            walks.code_one()
            walks.archive.release_due()
        assert all(all(reader.result()) for reader in readers)


def test_a_peer_without_the_syntax_gets_equal_pixels_in_its_own(walks: Walks) -> None:
    import io

    item = image(1, rows=40, columns=40, syntax=EXPLICIT)
    walks.put(item)
    for _ in range(2):        # as received, then coded
        read = pydicom.dcmread(io.BytesIO(walks.take(item, IMPLICIT).data), force=True)
        sent = pydicom.dcmread(io.BytesIO(item.data), force=True)
        assert read.PixelData == sent.PixelData
        walks.code_all()
    with pytest.raises(NoCommonSyntax):
        walks.take(item, "1.2.840.10008.1.2.4.50")


def test_what_cannot_be_coded_is_kept_with_its_reason_and_comes_back_exact(walks: Walks) -> None:
    plain = image(1, rows=8, columns=8)
    start = plain.data.index(b"\xe0\x7f\x10\x00")
    report = Item(CT, plain.instance, EXPLICIT, plain.data[:start])
    broken = Item(CT, "1.2.826.9.5.2", EXPLICIT, b"\x08\x00\x16\x00UI\xff\xffno data set" * 8)
    deflated = Item(CT, "1.2.826.9.5.3", "1.2.840.10008.1.2.1.99", b"\x03\x00" * 8)
    for item in (report, broken, deflated):
        assert walks.put(item).kind == "new"
    walks.code_all()
    states = {i.sop_instance_uid: (i.state, i.reason) for i in walks.archive.index.instances()}
    assert states[report.instance] == (State.KEPT, "no-pixel-data")
    assert states[broken.instance] == (State.KEPT, "malformed")
    assert states[deflated.instance][0] is State.KEPT
    for item in (report, broken, deflated):
        assert walks.take(item) == item


def test_the_same_bytes_again_are_stored_once(walks: Walks) -> None:
    item = image(1)
    assert [walks.put(item).kind for _ in range(3)] == ["new", "same", "same"]
    assert walks.objects() == 1


def test_other_content_under_the_uid_is_kept_aside_and_the_report_says_so(walks: Walks) -> None:
    first, second = image(1, seed=1), image(1, seed=2)
    assert walks.put(first).kind == "new" and walks.put(second).kind == "conflict"
    walks.code_all()
    walks.archive.release_due()
    assert walks.take(first) == first
    (conflict,) = walks.archive.index.conflicts()
    with walks.archive.store.open(conflict.object_name) as kept:
        assert kept.read().endswith(second.data)
    assert write_due_report(walks.archive, 0.0) == STUDY
    folder = report_folder(walks.archive, STUDY)
    report = json.loads((folder / "report.json").read_text())
    assert [c["digest"] for c in report["conflicts"]] == [conflict.digest]
    assert "taken by other content" in (folder / "report.html").read_text()


def test_a_command_that_names_another_instance_can_be_refused_and_leaves_nothing(
        open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(keep_mismatched=False))
    item = image(1, in_data_set="1.2.826.9.1.1.999")
    with pytest.raises(IdentifierInvalid):
        walks.put(item)
    assert walks.objects() == 0 and not list(walks.archive.store.scratch.glob("*.part"))


def test_a_mismatched_instance_is_kept_under_the_commands_uid(walks: Walks) -> None:
    item = image(1, in_data_set="1.2.826.9.1.1.999")
    assert walks.put(item).mismatch
    walks.code_all()
    assert walks.take(item) == item


def test_a_full_store_says_so_before_anything_is_taken(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(minimum_free_bytes=1 << 60))
    with pytest.raises(StoreFull):
        walks.put(image(1))


def test_rules_choose_the_profile_and_keep_means_keep(open_walks: Callable[..., Walks]) -> None:
    walks = open_walks(Policy(rules=(ProfileRule("keep", ae_title="OTHER"),
                                     ProfileRule("keep", ae_title="PEER", modality="CT"))))
    item = image(1)
    walks.put(item)
    assert [(d.outcome, d.reason) for d in walks.code_all()] == [("kept", "profile-keep")]
    assert walks.take(item) == item


def test_bounded_stays_within_the_bound_gets_a_new_uid_and_is_reported(
        open_walks: Callable[..., Walks]) -> None:
    import io

    walks = open_walks(Policy(profile="bounded:3"))
    item = image(1, rows=96, columns=96)
    walks.put(item)
    assert [d.outcome for d in walks.code_all()] == ["coded"]
    walks.archive.release_due()
    instance = walks.archive.index.get(item.instance)
    assert instance.sop_instance_uid != item.instance == instance.received_uid
    new = Item(CT, instance.sop_instance_uid, EXPLICIT, b"")
    read = pydicom.dcmread(io.BytesIO(walks.take(new).data), force=True)
    sent = pydicom.dcmread(io.BytesIO(item.data), force=True)
    assert read.SOPInstanceUID == instance.sop_instance_uid and read.LossyImageCompression == "01"
    ours, theirs = (np.frombuffer(d.PixelData, "<u2").astype(int) for d in (read, sent))
    assert 1 <= np.abs(ours - theirs).max() <= 3
    report = study_report(walks.archive, STUDY)
    (row,) = report.series[0].instances
    assert row.quality is not None and row.quality.basis == "measured" and 1 <= row.quality.max_error <= 3
    assert report.figures and not report.figures[0].identical


def test_a_failing_instance_is_tried_again_then_kept_and_comes_back(
        open_walks: Callable[..., Walks], monkeypatch: pytest.MonkeyPatch) -> None:
    walks = open_walks(attempts=2, back_off=0.0)
    item = image(1)
    walks.put(item)

    def explode(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("the decoder is in a bad mood")

    monkeypatch.setattr("dicomnn.flow.code.seal", explode)
    assert [d.outcome for d in walks.code_all()] == ["failed", "failed"]
    instance = walks.archive.index.get(item.instance)
    assert (instance.state, instance.reason, instance.error_code) == (State.KEPT, "failed", "RuntimeError")
    assert walks.take(item) == item
    assert walks.archive.index.status().failures == {"RuntimeError": 1}


def test_work_done_twice_is_harmless(walks: Walks) -> None:
    item = image(1, rows=64, columns=64)
    walks.put(item)
    (first,) = walks.archive.index.lease("slow", 0.0)
    (second,) = walks.archive.index.lease("fast", 60.0)
    coder = Coder(walks.archive, effort="fast")
    assert coder.code(second).outcome == "coded"
    assert coder.code(first).outcome in ("lost", "failed")
    walks.archive.release_due()
    assert walks.take(item) == item and walks.objects() == 1


def test_a_lease_is_renewed_while_the_work_runs(walks: Walks) -> None:
    import time

    walks.put(image(1))
    (work,) = walks.archive.index.lease("slow", 0.6)
    with renewed(walks.archive, work, 0.6) as lost:
        time.sleep(1.3)
        assert walks.archive.index.lease("other", 60.0) == [] and not lost.is_set()


def test_a_lost_lease_is_noticed(walks: Walks) -> None:
    walks.put(image(1))
    (work,) = walks.archive.index.lease("slow", 0.0)
    walks.archive.index.lease("other", 60.0)
    with renewed(walks.archive, work, 0.3) as lost:
        assert lost.wait(5.0)


def test_the_archive_alone_can_restore_when_the_package_has_no_models(
        walks: Walks, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicomnn.shelf import Shelf

    item = image(1, rows=256, columns=256)
    walks.put(item)
    walks.code_all("default")
    models = walks.archive.store.models()
    needed = {i.model_id for i in walks.archive.index.instances() if i.model_id}
    assert needed and needed <= set(models)
    monkeypatch.setattr("dicomnn.shelf.default_shelf", lambda extra=None: Shelf([], extra=extra))
    walks.archive._shelf = None
    assert walks.take(item) == item


def test_a_lost_object_is_a_typed_error_that_names_the_instance(walks: Walks) -> None:
    item = image(1)
    walks.put(item)
    walks.archive.store.delete(walks.archive.index.get(item.instance).object_name)
    with pytest.raises(ObjectMissing):
        walks.take(item)
    with pytest.raises(InstanceNotFound):
        walks.take(Item(CT, "1.2.3", EXPLICIT, b""))


def test_a_damaged_object_is_never_given_out(walks: Walks) -> None:
    from dicomnn.errors import DicomnnError

    item = image(1, rows=64, columns=64)
    walks.put(item)
    walks.code_all()
    path = walks.archive.store.local_path(walks.archive.index.get(item.instance).object_name)
    assert path is not None
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(raw)
    with pytest.raises(DicomnnError):
        walks.take(item)


def test_a_report_waits_for_quiet_and_is_written_again_when_the_study_grows(walks: Walks) -> None:
    walks.put(image(1, rows=32, columns=32))
    walks.code_all()
    assert write_due_report(walks.archive, 3600.0) is None
    assert write_due_report(walks.archive, 0.0) == STUDY
    assert write_due_report(walks.archive, 0.0) is None
    path = report_folder(walks.archive, STUDY) / "report.json"
    assert json.loads(path.read_text())["totals"]["instances"] == 1
    walks.put(image(2, rows=32, columns=32))
    walks.code_all()
    assert write_due_report(walks.archive, 0.0) == STUDY
    report = json.loads(path.read_text())
    assert report["totals"]["instances"] == 2 and report["totals"]["quality"]["digest"] == 2
    assert "Stable since" in report["completeness"]["sentence"] and report["completeness"]["stable_since"]


def test_an_open_association_keeps_its_study_from_being_stable(walks: Walks) -> None:
    token = walks.archive.index.association_opened(calling_ae="PEER")
    walks.put(image(1, rows=32, columns=32), association=token)
    walks.code_all()
    assert write_due_report(walks.archive, 0.0) is None
    walks.archive.index.association_closed(token)
    assert write_due_report(walks.archive, 0.0) == STUDY


@pytest.mark.parametrize("uid", ["../../etc", "..", "/abs", "1.2/3", "", "x" * 300, "1.2\n3"])
def test_a_study_uid_from_the_wire_never_leads_out_of_the_reports_folder(walks: Walks, uid: str) -> None:
    folder = report_folder(walks.archive, uid)
    assert folder.parent == walks.archive.reports
    assert folder.resolve().parent == walks.archive.reports.resolve()
    assert folder.name.startswith("other-") and len(folder.name) < 60


def test_matches_agree_with_every_key_of_the_query(walks: Walks) -> None:
    items = [image(n, study=f"{STUDY}.{n % 2}", series=f"{STUDY}.{n % 2}.{n}") for n in range(1, 5)]
    for item in items:
        walks.put(item)
    retrieval = Retrieval(walks.archive)
    assert len(retrieval.matches(Query("STUDY", study_uids=(f"{STUDY}.0", f"{STUDY}.1")))) == 4
    assert len(retrieval.matches(Query("SERIES", study_uids=(f"{STUDY}.1",),
                                       series_uids=(f"{STUDY}.1.1", f"{STUDY}.0.2")))) == 1
    assert len(retrieval.matches(Query("PATIENT", patient_ids=("P-1",)))) == 4
    with pytest.raises(IdentifierInvalid):
        retrieval.matches(Query("STUDY"))


def test_odd_lengths_and_trailing_bytes_survive_coding(walks: Walks) -> None:
    plain = image(1, rows=33, columns=31)
    start = plain.data.index(b"\xe0\x7f\x10\x00")
    pixels = bytes(range(256)) * 8
    pixels = pixels[:33 * 31 * 2]
    longer = pixels + b"PADDING!" * 3
    item = Item(CT, plain.instance, EXPLICIT, plain.data[:start] + b"\xe0\x7f\x10\x00OW\0\0"
                + struct.pack("<I", len(longer)) + longer + b"\xfc\xff\xfc\xffOB\0\0\3\0\0\0abc")
    walks.put(item)
    walks.code_all()
    assert walks.take(item) == item
