"""STOW-RS: each file is judged for itself, the good ones are kept, and bad input has a clear answer."""

from __future__ import annotations

import http.client
import io
import socket
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnn.errors import StoreFull
from dicomnn.flow.ingest import Policy
from scp.web.dicomweb.multipart import Malformed, Reader
from tests.scp.objects import made
from tests.scp.peer import NodeProcess, image, wait_for
from tests.web.bodies import BOUNDARY, STOW, multipart, part10
from tests.web.conftest import Web, value, web_of

STORED, FAILED, OTHER = "00081199", "00081198", "0008119A"
REASON, WARNING = "00081197", "00081196"


def post(web: Web, body: bytes, path: str = "/studies", **headers: str) -> Any:
    return web.client.post("/dicom-web" + path, data=body, headers={**STOW, **headers})


def items(answer: Any, tag: str) -> list[dict[str, Any]]:
    return answer.get_json(force=True).get(tag, {}).get("Value", [])


def test_what_is_stored_is_named_and_comes_back_byte_for_byte(empty: Web, sample_files: list[Path]) -> None:
    sent = {str(path): path.read_bytes() for path in sample_files[:4]}
    answer = post(empty, multipart(sent.values()))
    assert answer.status_code == 200 and len(items(answer, STORED)) == 4
    assert answer.content_type == "application/dicom+json"
    for item in items(answer, STORED):
        got = empty.client.get(value(item, "00081190"), headers={"Accept": "application/dicom; "
                                                                           "transfer-syntax=*"})
        assert got.data in sent.values() and value(item, "00081155").encode() in got.data
    again = post(empty, multipart(sent.values()))
    assert again.status_code == 200 and len(empty.found("/instances")) == 4, "the same again is no second one"
    row = empty.services.archive.index.get(value(items(answer, STORED)[0], "00081155"))
    assert row.source == "stow-rs" and row.state.value == "received"


def test_a_single_file_may_come_as_the_body(empty: Web) -> None:
    answer = empty.client.post("/dicom-web/studies", data=part10(image(1)),
                               headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200 and len(empty.found("/instances")) == 1


def test_bad_files_are_refused_one_by_one_and_the_rest_is_kept(empty: Web) -> None:
    good = part10(image(1))
    bad = [b"<!DOCTYPE html><html><script>alert(1)</script></html>", b"", b"\0" * 300,
           b"\0" * 128 + b"DICM" + b"\xff" * 500, good[:150], b"%PDF-1.4" * 100]
    answer = post(empty, multipart([bad[0], good, *bad[1:], part10(image(2))]))
    assert answer.status_code == 202
    assert len(items(answer, STORED)) == 2 and len(items(answer, OTHER)) == len(bad)
    assert {value(item, REASON) for item in items(answer, OTHER)} == {0xC000}
    warnings = answer.headers.getlist("Warning")
    assert len(warnings) == len(bad) and "part 1:" in warnings[0] and "<" not in "".join(warnings)
    assert len(empty.found("/instances")) == 2
    nothing = post(empty, multipart(bad[:1]))
    assert nothing.status_code == 409 and not items(nothing, STORED)


def test_many_files_are_told_in_their_order_and_doubles_are_stored_once(empty: Web) -> None:
    files = [part10(image(number % 40 + 1)) for number in range(60)]
    answer = post(empty, multipart([*files[:30], b"no DICOM", *files[30:]]))
    assert answer.status_code == 202 and len(items(answer, OTHER)) == 1
    told = [value(item, "00081155") for item in items(answer, STORED)]
    assert told == [image(number % 40 + 1).instance for number in range(60)]
    assert len(empty.found("/instances")) == 40


def test_a_file_that_is_cut_off_is_kept_as_it_came(empty: Web) -> None:
    whole = part10(image(1))
    answer = post(empty, multipart([whole[:-100]]))
    assert answer.status_code == 200, "like over DIMSE: it says what it is"
    (item,) = items(answer, STORED)
    got = empty.client.get(value(item, "00081190"),
                           headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert got.data == whole[:-100]


def test_a_study_takes_only_what_belongs_to_it(empty: Web) -> None:
    own, other = image(1, study="1.2.3"), image(2, study="1.2.4")
    answer = post(empty, multipart([part10(own), part10(other)]), "/studies/1.2.3")
    assert answer.status_code == 202
    assert value(answer.get_json(force=True), "00081190").endswith("/studies/1.2.3")
    (failed,) = items(answer, FAILED)
    assert value(failed, "00081155") == other.instance and value(failed, REASON) == 0xA900
    assert len(empty.found("/instances")) == 1
    assert post(empty, multipart([part10(own)]), "/studies/abc").status_code == 400


@pytest.mark.parametrize(("status", "http"), [("refuse", 409), ("warn", 202)])
def test_a_uid_that_other_content_has_taken_is_a_conflict(
        make_web: Callable[..., Web], tmp_path: Path, status: str, http: int) -> None:
    web = make_web(tmp_path, policy=Policy(conflict_status=status))
    assert post(web, multipart([part10(image(1))])).status_code == 200
    answer = post(web, multipart([part10(image(1, seed=5))]))
    assert answer.status_code == http and "taken by other content" in answer.headers["Warning"]
    found = items(answer, FAILED if status == "refuse" else STORED)
    assert value(found[0], REASON if status == "refuse" else WARNING) == (0x0111 if http == 409 else 0xB000)


def test_a_full_store_asks_to_try_again_later(make_web: Callable[..., Web], tmp_path: Path) -> None:
    web = make_web(tmp_path, policy=Policy(minimum_free_bytes=1 << 60))
    answer = post(web, multipart([part10(image(1))]))
    assert answer.status_code == 503 and value(items(answer, FAILED)[0], REASON) == 0xA700
    assert StoreFull.code == "store-full"


@pytest.mark.parametrize(("content_type", "status"), [
    ("text/html", 415), ("multipart/form-data; boundary=x", 415), ("application/json", 415),
    ('multipart/related; type="application/dicom+json"; boundary=x', 415),
    ('multipart/related; type="application/dicom"', 400),
    ('multipart/related; type="application/dicom"; boundary=other', 400),
    (f'multipart/related; boundary={BOUNDARY}', 200), (STOW["Content-Type"], 200),
    (f'multipart/related; type=application/dicom; boundary="{BOUNDARY}"', 200),
])
def test_what_a_request_must_be(empty: Web, content_type: str, status: int) -> None:
    answer = post(empty, multipart([part10(image(1))]), **{"Content-Type": content_type})
    assert answer.status_code == status, answer.data


def test_a_body_that_breaks_off_keeps_what_was_whole(empty: Web) -> None:
    body = multipart([part10(image(1)), part10(image(2))], end=False)
    answer = post(empty, body[:-300])
    assert answer.status_code == 202 and len(items(answer, STORED)) == 1
    assert "breaks off" in answer.headers["Warning"] or "ends within" in answer.headers["Warning"]
    assert len(empty.found("/instances")) == 1
    for nothing in (b"", b"--" + BOUNDARY.encode() + b"--\r\n", b"nothing of that kind" * 9999):
        assert post(empty, nothing).status_code == 400


def test_only_json_answers_are_there(empty: Web) -> None:
    assert post(empty, multipart([part10(image(1))]), Accept="application/dicom+xml").status_code == 406
    assert len(empty.found("/instances")) == 0, "nothing is stored when the answer cannot be read"


def test_the_uids_of_a_file_never_become_a_path(empty: Web, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.parent.iterdir())
    for uid in ("../../../../evil", "/etc/passwd", "..\\..\\evil", "1.2.3/../../evil"):
        item = made("1.2.3.4", study=uid, series=uid, PatientID="../../../evil")
        answer = post(empty, multipart([part10(item).replace(b"1.2.3.4", uid.encode()[:7].ljust(7, b"_"))]))
        assert answer.status_code in (200, 202, 409)
    assert sorted(path for path in tmp_path.parent.iterdir()) == before
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or "passwd" in path.name]


def test_a_study_that_is_being_sent_to_is_not_stable(empty: Web) -> None:
    index = empty.services.archive.index
    with empty.services.ingest.visit(peer_address="127.0.0.1") as token:
        empty.put(part10(image(1)), association=token)
        assert not list(index.stable_studies(0.0))
    assert [study for study in index.stable_studies(0.0)]


# ------------------------------------------------------------------ the parser alone
@dataclass
class Chunks:
    """A body that comes in pieces of its own choosing."""

    data: bytes
    sizes: list[int]

    def read(self, size: int = -1, /) -> bytes:
        take = self.sizes.pop(0) if self.sizes else len(self.data)
        found, self.data = self.data[:take], self.data[take:]
        return found


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(st.integers(1, 40), max_size=60),
       st.booleans())
def test_parts_are_what_was_put_in_however_the_body_comes(
        files: list[bytes], sizes: list[int], preamble: bool) -> None:
    body = (b"to be passed over\r\n" if preamble else b"") + multipart(files)
    if any(b"--" + BOUNDARY.encode() in data for data in files):
        return
    reader = Reader(Chunks(body, sizes), BOUNDARY)
    if not files and preamble:
        assert list(reader.parts()) == []
        return
    assert [b"".join(pieces) for _, pieces in reader.parts()] == files


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_body_makes_the_parser_fail_otherwise_than_by_saying_so(noise: bytes, place: int) -> None:
    body = multipart([b"x" * 50, b"y" * 50])
    body = body[:place] + noise + body[place + len(noise):]
    try:
        for _, pieces in Reader(io.BytesIO(body), BOUNDARY).parts():
            for _ in pieces:
                pass
    except Malformed:
        pass


# ------------------------------------------------------------------ over a socket
def connection(node: NodeProcess) -> http.client.HTTPConnection:
    address = urllib.parse.urlsplit(web_of(node))
    assert address.hostname is not None
    return http.client.HTTPConnection(address.hostname, address.port, timeout=30)


def instances(node: NodeProcess, study: str) -> int:
    client = connection(node)
    client.request("GET", f"/dicom-web/studies/{study}/instances")
    answer = client.getresponse().read()
    return answer.count(b"00080018")


def test_an_upload_that_is_aborted_leaves_nothing_and_the_node_goes_on(node: NodeProcess) -> None:
    address = urllib.parse.urlsplit(web_of(node))
    body = multipart([part10(image(number, study="1.2.77", rows=256, columns=256)) for number in range(8)])
    with socket.create_connection((address.hostname, address.port)) as raw:
        raw.sendall(b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                    + STOW["Content-Type"].encode() + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        raw.sendall(body[:len(body) * 3 // 4])
    scratch = node.archive
    wait_for(lambda: not list(scratch.rglob("*.part")), what="no file is left")
    assert instances(node, "1.2.77") == 0
    client = connection(node)
    client.request("POST", "/dicom-web/studies", body, STOW)
    assert client.getresponse().status == 200
    assert instances(node, "1.2.77") == 8


def test_a_body_in_chunks_is_taken_and_one_that_is_too_large_refused(tmp_path: Path) -> None:
    config = "[web]\nmax_upload = 1048576\n"
    with NodeProcess(tmp_path / "archive", "--workers", "-1", config=config) as node:
        body = multipart([part10(image(1, study="1.2.78"))])
        client = connection(node)
        client.request("POST", "/dicom-web/studies", iter([body[:10], body[10:900], body[900:]]), STOW,
                       encode_chunked=True)
        assert client.getresponse().status == 200 and instances(node, "1.2.78") == 1
        large = multipart([part10(image(1, rows=1024, columns=600))])
        client = connection(node)
        try:
            client.request("POST", "/dicom-web/studies", large, STOW)
            assert client.getresponse().status == 413
        except (BrokenPipeError, ConnectionResetError):
            pass        # it hung up while we were still sending: as good
        assert instances(node, "1.2.78") == 1


@pytest.mark.parametrize("raw", [
    b"GET /dicom-web/studies HTTP/9.9\r\n\r\n", b"nonsense\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
    b"GET /dicom-web/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dicom-web/studies HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
    b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
])
def test_requests_that_are_none_do_not_bring_the_node_down(node: NodeProcess, raw: bytes) -> None:
    address = urllib.parse.urlsplit(web_of(node))
    with socket.create_connection((address.hostname, address.port), timeout=10) as peer:
        try:
            peer.sendall(raw)
            peer.shutdown(socket.SHUT_WR)
            answer = peer.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    assert b" 200 " not in answer.split(b"\r\n")[0] or b"studies" in raw and b"root:" not in answer
    client = connection(node)
    client.request("GET", "/dicom-web/studies?limit=1")
    assert client.getresponse().status == 200


def test_the_file_meta_of_a_file_is_kept(empty: Web, sample_data: Path) -> None:
    path = next((sample_data / "ct_head").glob("*.dcm"))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER7"
    dataset.preamble = b"II*\0" + b"\7" * 124
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert post(empty, multipart([buffer.getvalue()])).status_code == 200
    where = f"/studies/{dataset.StudyInstanceUID}"
    for _ in range(2):
        got = empty.get(f"{where}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}",
                        "application/dicom; transfer-syntax=*").data
        assert got == buffer.getvalue()
        empty.code_all()
