"""C-STORE in and C-GET out with real sockets and a real node process; nothing is coded here."""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.pdu_primitives import P_DATA

from tests.scp.peer import (
    BIG,
    CT,
    EXPLICIT,
    IMPLICIT,
    PATIENT_GET,
    SR,
    Item,
    NodeProcess,
    connected,
    contexts_for,
    get,
    get_study,
    identifier,
    image,
    send,
    store_raw,
    wait_for,
)

STUDY = "1.2.826.9.1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with NodeProcess(folder / "archive", "--workers", "-1",
                     config="[study]\nquiet_seconds = 1\n[node]\nmax_associations_per_peer = 8\n") as running:
        yield running


def objects_in(archive: Path) -> list[Path]:
    return [p for p in (archive / "objects").rglob("*") if p.is_file()]


def temporary_files(archive: Path) -> list[Path]:
    return [p for p in (archive / "incoming").rglob("*") if p.is_file() and p.name != "lock"]


def test_echo_is_answered(node: NodeProcess) -> None:
    with connected(node.port, [build_context("1.2.840.10008.1.1")]) as assoc:
        assert assoc.send_c_echo().Status == 0


def test_every_uncompressed_syntax_comes_back_byte_for_byte(node: NodeProcess) -> None:
    study = f"{STUDY}.10"
    items = [image(n, study=study, series=f"{study}.{n}", syntax=syntax)
             for n, syntax in enumerate((IMPLICIT, EXPLICIT, BIG), 1)]
    assert send(node.port, items) == [0, 0, 0]
    got = get_study(node.port, study, [(i.sop_class, i.syntax) for i in items])
    assert got.final == 0 and got.counts["Completed"] == 3 and not got.failed
    assert got.by_uid == {i.instance: i for i in items}


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", "1.2.3.4.5.6.7", "1.2.840.10008.1.2.4.90"])
def test_what_nobody_can_decode_comes_back_as_it_came(node: NodeProcess, syntax: str) -> None:
    study = f"{STUDY}.11.{syntax[-2:].strip(chr(46))}"
    plain = image(1, study=study, series=f"{study}.1")
    end = plain.data.index(b"\xe0\x7f\x10\x00")
    body = plain.data[:end] + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" \
        + b"\xfe\xff\x00\xe0" + struct.pack("<I", 6) + b"\xff\xd8abcd" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    item = Item(CT, plain.instance, syntax, body)
    assert send(node.port, [item]) == [0]
    assert get_study(node.port, study, [(CT, syntax)]).items == [item]


def test_a_private_storage_class_is_stored_and_given_back(node: NodeProcess) -> None:
    study = f"{STUDY}.12"
    item = image(1, study=study, series=f"{study}.1", sop_class="1.3.6.1.4.1.99999.7.1")
    assert send(node.port, [item]) == [0]
    assert get_study(node.port, study, [(item.sop_class, EXPLICIT)]).items == [item]


def test_a_service_that_is_not_storage_is_not_taken_for_storage(node: NodeProcess) -> None:
    print_management = "1.2.840.10008.5.1.1.9"
    with connected(node.port, [build_context(print_management), build_context(CT)]) as assoc:
        assert {str(c.abstract_syntax) for c in assoc.accepted_contexts} == {CT}


def test_series_and_instances_can_be_fetched_in_both_models(node: NodeProcess) -> None:
    study = f"{STUDY}.13"
    items = [image(n, study=study, series=f"{study}.{1 + n % 2}") for n in range(1, 5)]
    assert send(node.port, items) == [0] * 4
    by_series = get(node.port, identifier("SERIES", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.2"),
                    [(CT, EXPLICIT)])
    assert set(by_series.by_uid) == {i.instance for i in items if i.instance.startswith(f"{study}.2.")}
    wanted = [items[0].instance, items[3].instance]
    by_list = get(node.port, identifier("IMAGE", SOPInstanceUID=wanted), [(CT, EXPLICIT)], model=PATIENT_GET)
    assert set(by_list.by_uid) == set(wanted)
    by_patient = get(node.port, identifier("STUDY", PatientID="P-1", StudyInstanceUID=study),
                     [(CT, EXPLICIT)], model=PATIENT_GET)
    assert len(by_patient.items) == 4
    of_another_patient = get(node.port, identifier("STUDY", PatientID="nobody", StudyInstanceUID=study),
                             [(CT, EXPLICIT)], model=PATIENT_GET)
    assert of_another_patient.final == 0 and of_another_patient.items == []


def test_nothing_found_is_a_success_with_no_suboperations(node: NodeProcess) -> None:
    got = get_study(node.port, "1.2.3.4.5.99", [(CT, EXPLICIT)])
    assert got.final == 0 and got.items == [] and got.counts["Completed"] == 0


@pytest.mark.parametrize("query", [
    identifier("STUDY"), identifier("NONSENSE", StudyInstanceUID="1.2"),
    identifier("STUDY", StudyInstanceUID="1.*"), identifier("PATIENT", PatientID="P-1"),
    identifier("SERIES", StudyInstanceUID="1.2"),
])
def test_a_wrong_identifier_is_refused_with_a900(node: NodeProcess, query: object) -> None:
    assert get(node.port, query, [(CT, EXPLICIT)]).final == 0xA900  # type: ignore[arg-type]


def test_a_peer_that_lacks_the_syntax_gets_the_other_little_endian_one(node: NodeProcess) -> None:
    import pydicom

    study = f"{STUDY}.14"
    item = image(1, study=study, series=f"{study}.1", syntax=EXPLICIT)
    assert send(node.port, [item]) == [0]
    (got,) = get_study(node.port, study, [(CT, IMPLICIT)]).items
    assert got.syntax == IMPLICIT and got.data != item.data
    read = pydicom.dcmread(io.BytesIO(got.data), force=True)
    sent = pydicom.dcmread(io.BytesIO(item.data), force=True)
    assert read.PixelData == sent.PixelData and read.SOPInstanceUID == item.instance


def test_what_the_peer_cannot_take_fails_alone_and_is_named(node: NodeProcess) -> None:
    study = f"{STUDY}.15"
    taken = [image(n, study=study, series=f"{study}.1") for n in (1, 2)]
    other_class = image(3, study=study, series=f"{study}.1", sop_class=SR)
    assert send(node.port, [*taken, other_class]) == [0, 0, 0]
    got = get_study(node.port, study, [(CT, EXPLICIT)])
    assert got.final == 0xB000 and got.failed == [other_class.instance]
    assert got.counts["Completed"] == 2 and got.counts["Failed"] == 1
    assert set(got.by_uid) == {i.instance for i in taken}


def test_a_refusal_by_the_peer_counts_as_failed_and_a_warning_as_warned(node: NodeProcess) -> None:
    study = f"{STUDY}.16"
    items = [image(n, study=study, series=f"{study}.1") for n in (1, 2, 3)]
    send(node.port, items)
    statuses = {items[0].instance: 0xA700, items[1].instance: 0xB000}
    got = get_study(node.port, study, [(CT, EXPLICIT)], answer=lambda item: statuses.get(item.instance, 0))
    assert got.final == 0xB000 and got.failed == [items[0].instance]
    assert (got.counts["Completed"], got.counts["Failed"], got.counts["Warning"]) == (1, 1, 1)
    assert got.counts["Remaining"] is None
    assert [p["Remaining"] for p in got.pending] == [2, 1]


def test_a_cancelled_get_stops_and_says_how_many_remained(node: NodeProcess) -> None:
    study = f"{STUDY}.17"
    items = [image(n, study=study, series=f"{study}.1") for n in range(1, 13)]
    send(node.port, items)
    got = get_study(node.port, study, [(CT, EXPLICIT)], cancel_after=2)
    assert got.final == 0xFE00 and 2 <= len(got.items) < 12
    assert got.counts["Remaining"] == 12 - len(got.items)


def test_the_same_object_twice_is_acknowledged_and_kept_once(node: NodeProcess) -> None:
    study = f"{STUDY}.18"
    item = image(1, study=study, series=f"{study}.1")
    assert send(node.port, [item]) == [0]
    before = len(objects_in(node.archive))
    assert send(node.port, [item, item]) == [0, 0]
    assert len(objects_in(node.archive)) == before
    assert get_study(node.port, study, [(CT, EXPLICIT)]).items == [item]


def test_other_content_under_a_known_uid_is_refused_with_0111_and_kept_aside(node: NodeProcess) -> None:
    study = f"{STUDY}.19"
    first = image(1, study=study, series=f"{study}.1", seed=1)
    second = image(1, study=study, series=f"{study}.1", seed=2)
    assert first.instance == second.instance and first.data != second.data
    assert send(node.port, [first, second]) == [0, 0x0111]
    assert get_study(node.port, study, [(CT, EXPLICIT)]).items == [first]
    assert any(second.data == p.read_bytes()[-len(second.data):] for p in objects_in(node.archive))


def test_a_data_set_with_another_uid_than_the_command_is_kept_with_a_warning(node: NodeProcess) -> None:
    study = f"{STUDY}.20"
    item = image(1, study=study, series=f"{study}.1", in_data_set=f"{study}.1.777")
    assert send(node.port, [item]) == [0xB007]
    assert get_study(node.port, study, [(CT, EXPLICIT)]).items == [item]


def test_a_class_that_is_not_the_contexts_is_refused_with_0122(node: NodeProcess) -> None:
    item = image(1, study=f"{STUDY}.21", series=f"{STUDY}.21.1")
    with connected(node.port, contexts_for([item])) as assoc:
        assert store_raw(assoc, item, command_class=SR)[0] == 0x0122
        assert store_raw(assoc, item, 2)[0] == 0


def test_a_data_set_that_cannot_be_parsed_is_kept_as_malformed_and_given_back(node: NodeProcess) -> None:
    item = Item(CT, f"{STUDY}.22.1", EXPLICIT, b"\x08\x00\x16\x00UI\xff\xff this is no data set at all" * 10)
    assert send(node.port, [item]) == [0]
    got = get(node.port, identifier("IMAGE", SOPInstanceUID=item.instance), [(CT, EXPLICIT)])
    assert got.items == [item]


def test_an_empty_data_set_is_refused(node: NodeProcess) -> None:
    item = image(1, study=f"{STUDY}.23", series=f"{STUDY}.23.1")
    with connected(node.port, contexts_for([item])) as assoc:
        context = assoc.accepted_contexts[0].context_id
        command = (b"\0\0\2\0" + struct.pack("<I", 26) + CT.encode() + b"\0"
                   + b"\0\0\0\1\2\0\0\0\1\0" + b"\0\0\x10\1\2\0\0\0\7\0" + b"\0\0\0\7\2\0\0\0\0\0"
                   + b"\0\0\0\x08\2\0\0\0\1\1"
                   + b"\0\0\0\x10" + struct.pack("<I", 4) + b"1.2\0")
        command = b"\0\0\0\0\4\0\0\0" + struct.pack("<I", len(command)) + command
        assoc._reactor_checkpoint.clear()
        pdata = P_DATA()
        pdata.presentation_data_value_list.append((context, b"\3" + command))
        assoc.dul.send_pdu(pdata)
        _, answer = assoc.dimse.msg_queue.get(timeout=10)
        assoc._reactor_checkpoint.set()
        assert answer.Status == 0xA900


def test_an_abort_in_mid_transfer_leaves_nothing_behind(node: NodeProcess) -> None:
    item = image(1, study=f"{STUDY}.24", series=f"{STUDY}.24.1", rows=512, columns=512)
    before = len(objects_in(node.archive))
    with connected(node.port, contexts_for([item])) as assoc:
        from pynetdicom.dimse_messages import C_STORE_RQ
        from pynetdicom.dimse_primitives import C_STORE

        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(CT), UID(item.instance)
        request.DataSet = io.BytesIO(item.data)
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        for pdata, _ in zip(message.encode_msg(assoc.accepted_contexts[0].context_id, 16384), range(9),
                            strict=False):
            assoc.dul.send_pdu(pdata)
        wait_for(lambda: temporary_files(node.archive), what="an arrival on disk")
        assoc.abort()
    wait_for(lambda: not temporary_files(node.archive), what="the leftover removed")
    assert len(objects_in(node.archive)) == before
    assert send(node.port, [item]) == [0]


def test_pdus_of_absurd_length_and_noise_do_not_take_the_node_down(node: NodeProcess) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\0" + struct.pack(">I", 0xFFFFFFF0) + b"x" * 100, b"",
                  b"\x04\0" + struct.pack(">I", 20) + b"\xff" * 20,
                  b"\x01\0" + struct.pack(">I", 80) + b"\0" * 80):
        with socket.create_connection(("127.0.0.1", node.port), timeout=5) as raw:
            raw.sendall(noise)
            raw.settimeout(0.3)
            try:
                raw.recv(1000)
            except OSError:
                pass
    test_echo_is_answered(node)


def test_garbage_inside_an_association_ends_that_association_alone(node: NodeProcess) -> None:
    item = image(1, study=f"{STUDY}.25", series=f"{STUDY}.25.1")
    with connected(node.port, contexts_for([item])) as good:
        for fragment in (b"\3" + b"\xff" * 40, b"\0" + b"data set without a command", b"\3"):
            with connected(node.port, contexts_for([item])) as bad:
                pdata = P_DATA()
                pdata.presentation_data_value_list.append((bad.accepted_contexts[0].context_id, fragment))
                bad.dul.send_pdu(pdata)
                wait_for(lambda bad=bad: not bad.is_established, 10, "the bad association to end")
        assert store_raw(good, item)[0] == 0


def test_more_associations_than_allowed_are_rejected_for_now(node: NodeProcess) -> None:
    import contextlib

    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(node.port, [build_context(CT)])) for _ in range(8)]
        assert all(a.is_established for a in held)
        with connected(node.port, [build_context(CT)]) as one_more:
            assert one_more.is_rejected
    wait_for(lambda: _can_connect(node.port), 10, "a free place")


def _can_connect(port: int) -> bool:
    with connected(port, [build_context(CT)]) as assoc:
        return bool(assoc.is_established)


def test_many_senders_at_once_lose_nothing(node: NodeProcess) -> None:
    from concurrent.futures import ThreadPoolExecutor

    study = f"{STUDY}.26"
    groups = [[image(n, study=study, series=f"{study}.{s}") for n in range(1, 11)] for s in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda group: send(node.port, group), groups))
    assert statuses == [[0] * 10] * 4
    got = get_study(node.port, study, [(CT, EXPLICIT)])
    assert got.final == 0 and got.by_uid == {i.instance: i for group in groups for i in group}


def test_a_large_object_keeps_the_nodes_memory_flat(node: NodeProcess) -> None:
    def resident() -> int:
        status = Path(f"/proc/{node.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024

    study = f"{STUDY}.27"
    plain = image(1, study=study, series=f"{study}.1", rows=16, columns=16)
    end = plain.data.index(b"\xe0\x7f\x10\x00")
    size = 96 << 20
    item = Item(CT, plain.instance, EXPLICIT,
                plain.data[:end] + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", size) + bytes(size))
    before = resident()
    assert send(node.port, [item], pdu=131072) == [0]
    got = get_study(node.port, study, [(CT, EXPLICIT)], pdu=131072)
    assert got.items[0].data == item.data
    assert resident() - before < size // 3


def test_the_log_has_no_patient_data(node: NodeProcess) -> None:
    time.sleep(0.1)
    assert "stored" in node.log and "Doe" not in node.log and "P-1" not in node.log


def test_sigterm_stops_the_node_cleanly(tmp_path: Path) -> None:
    item = image(1)
    with NodeProcess(tmp_path / "archive", "--workers", "1") as running:
        assert send(running.port, [item]) == [0]
        assert running.stop() == 0
    with NodeProcess(tmp_path / "archive", "--workers", "-1") as again:
        assert get_study(again.port, STUDY, [(CT, EXPLICIT)]).items == [item]
    assert "Traceback" not in again.log
