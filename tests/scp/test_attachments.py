"""The protocol that Orthanc's plugin speaks: for whoever knows the secret, on this machine alone."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dicomnn.errors import ConfigurationError
from dicomnn.flow.attachments import Attachments
from dicomnn.flow.ingest import Policy
from dicomnn.flow.opening import Archive, Place, open_archive
from scp.attachments import AttachmentServer, read_secret

SECRET = b"0123456789abcdef"
Ask = Callable[..., tuple[int, bytes]]


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with open_archive(Place(str(tmp_path / "archive"))) as opened:
        yield opened


@pytest.fixture(params=["tcp", "socket"])
def server(request: pytest.FixtureRequest, tmp_path: Path, archive: Archive) -> Iterator[AttachmentServer]:
    listen = "127.0.0.1:0" if request.param == "tcp" else str(tmp_path / "plugin.sock")
    running = AttachmentServer(Attachments(archive, Policy()), listen, SECRET, max_bytes=1 << 20)
    yield running
    running.stop()


def connection(server: AttachmentServer) -> http.client.HTTPConnection:
    if server.address.startswith("/"):
        return SocketConnection(server.address)
    return http.client.HTTPConnection(server.address, timeout=30)


@pytest.fixture
def ask(server: AttachmentServer) -> Iterator[Ask]:
    kept = connection(server)

    def asked(method: str, path: str, body: bytes | None = None, secret: bytes = SECRET) -> tuple[int, bytes]:
        with suppress(BrokenPipeError):     # refused by its head alone: the answer is there all the same
            kept.request(method, path, body, {"Authorization": "Bearer " + secret.decode()})
        answer = kept.getresponse()
        return answer.status, answer.read()

    yield asked
    kept.close()


def test_what_is_put_is_got_and_deleted_and_each_may_be_said_twice(ask: Ask) -> None:
    content = os.urandom(300_000)
    assert ask("PUT", "/attachments/u1?kind=1024", content)[0] == 201
    assert ask("PUT", "/attachments/u1?kind=1024", content)[0] == 200
    assert ask("PUT", "/attachments/u1?kind=1024", content[:-1])[0] == 409
    assert ask("GET", "/attachments/u1") == (200, content)
    assert ask("DELETE", "/attachments/u1")[0] == 204
    assert ask("DELETE", "/attachments/u1")[0] == 404
    assert ask("GET", "/attachments/u1")[0] == 404
    status, told = ask("GET", "/")
    assert status == 200 and json.loads(told) == {"protocol": "dicomnn.attachments/1"}


def test_a_connection_stays_open_from_one_request_to_the_next(server: AttachmentServer) -> None:
    kept = connection(server)
    kept.connect()
    first = kept.sock
    for _ in range(5):
        kept.request("GET", "/attachments/none", headers={"Authorization": "Bearer " + SECRET.decode()})
        assert kept.getresponse().read()
        assert kept.sock is first
    kept.close()


@pytest.mark.parametrize("secret", [b"", b"0123456789abcdeX", b"0123456789abcdef0"])
@pytest.mark.parametrize(("method", "path", "body"), [
    ("PUT", "/attachments/u1?kind=1", b"x"), ("GET", "/attachments/u1", None), ("GET", "/", None),
    ("DELETE", "/attachments/u1", None)])
def test_whoever_does_not_know_the_secret_gets_nothing(
        ask: Ask, secret: bytes, method: str, path: str, body: bytes | None, archive: Archive) -> None:
    assert ask(method, path, body, secret)[0] == 401
    assert not list(archive.index.attachments())


@pytest.mark.parametrize(("method", "path", "body"), [
    ("PUT", "/attachments/u1", b"x"), ("PUT", "/attachments/u1?kind=x", b"x"),
    ("PUT", "/other/u1?kind=1", b"x"),
    ("PUT", "/attachments/..%2f?kind=1", b"x"), ("PUT", "/attachments/u1?kind=1", bytes(1 << 20) + b"x"),
    ("GET", "/other", None)])
def test_what_is_no_request_is_refused_and_stores_nothing(
        ask: Ask, method: str, path: str, body: bytes | None, archive: Archive) -> None:
    try:
        assert ask(method, path, body)[0] == 400
    except (BrokenPipeError, ConnectionResetError):
        pass                               # refused before it was read to its end
    assert not list(archive.index.attachments()) and not list(archive.store.entries())


def test_a_sender_that_goes_in_the_middle_leaves_nothing(server: AttachmentServer, archive: Archive) -> None:
    going = connection(server)
    going.connect()
    going.sock.sendall(b"PUT /attachments/u1?kind=1 HTTP/1.1\r\nAuthorization: Bearer " + SECRET
                       + b"\r\nContent-Length: 1000\r\n\r\nhalf of it")
    going.sock.shutdown(socket.SHUT_WR)
    assert going.sock.recv(100).startswith(b"HTTP/1.1 400")
    going.close()
    assert not list(archive.index.attachments()) and not list(archive.store.entries())


def test_many_at_once_are_all_kept(server: AttachmentServer, archive: Archive) -> None:
    contents = {f"u{number}": os.urandom(5000) for number in range(24)}
    told: dict[str, Any] = {}

    def put(uuid: str) -> None:
        own = connection(server)
        own.request("PUT", f"/attachments/{uuid}?kind=1024", contents[uuid],
                    {"Authorization": "Bearer " + SECRET.decode()})
        told[uuid] = own.getresponse().status
        own.close()

    threads = [threading.Thread(target=put, args=(uuid,)) for uuid in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(told.values()) == {201} and len(told) == len(contents)
    for uuid, content in contents.items():
        with Attachments(archive, Policy()).give(uuid) as given:
            assert b"".join(given.chunks()) == content


def test_a_secret_that_others_can_read_or_guess_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_secret(path)
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o604)
    with pytest.raises(ConfigurationError, match="anybody"):
        read_secret(path)
    path.chmod(0o640)
    assert read_secret(path) == SECRET
    for content in (b"short\n", b"two lines of text\nand more\n", "ä".encode() * 20):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match="16 ASCII"):
            read_secret(path)


def test_the_socket_of_a_node_that_died_is_taken_over_and_that_of_a_living_one_is_not(
        tmp_path: Path, archive: Archive) -> None:
    path = tmp_path / "plugin.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    attachments = Attachments(archive, Policy())
    running = AttachmentServer(attachments, str(path), SECRET, 1000)
    assert path.stat().st_mode & 0o007 == 0
    with pytest.raises(ConfigurationError, match="cannot listen"):
        AttachmentServer(attachments, str(path), SECRET, 1000)
    running.stop()
    assert not path.exists()
