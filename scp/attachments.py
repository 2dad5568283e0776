"""What Orthanc's plugin talks to: a few requests over loopback or a socket, for whoever knows the secret.

::

    PUT    /attachments/<uuid>?kind=1   201 durable now, 200 was there already, 409 that name has other bytes
    GET    /attachments/<uuid>          200 exactly the bytes, 404
    DELETE /attachments/<uuid>          204, 404
    GET    /                            200 what this is and which version, as JSON

HTTP/1.1 with Content-Length, connections stay open; ``Authorization: Bearer <secret>`` with each request.
Everything may be said twice. 503 and 507: nothing is lost, say it again later. 500: damaged, see the log.
Bodies of errors are one sentence. docs/orthanc.md has the rest.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import stat
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog

from dicomnn.errors import (
    ConfigurationError,
    DicomnnError,
    DuplicateConflict,
    IdentifierInvalid,
    IndexFailed,
    InstanceNotFound,
    StoreFailed,
    StoreFull,
)
from dicomnn.flow.attachments import Attachments

log = structlog.get_logger(__name__)

PROTOCOL = "dicomnn.attachments/1"
SHORTEST_SECRET = 16
SILENCE = 600.0                 # seconds after which a connection that says nothing is closed
_STATUS: tuple[tuple[type[DicomnnError], int], ...] = (
    (InstanceNotFound, 404), (DuplicateConflict, 409), (IdentifierInvalid, 400), (StoreFull, 507),
    (StoreFailed, 503), (IndexFailed, 503))


def read_secret(path: Path) -> bytes:
    """The secret in a file that only its owner and group can read.

    Raises
    ------
    ConfigurationError
        The file is not there, is open to others, or holds less than 16 characters.
    """
    try:
        mode, secret = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(path)) from error
    if stat.S_IMODE(mode) & 0o007:
        raise ConfigurationError("anybody on this machine can read the secret", subject=str(path),
                                 cure="chmod o-rwx FILE, and write a new secret into it.")
    if len(secret) < SHORTEST_SECRET or not secret.isascii() or b"\n" in secret:
        raise ConfigurationError(f"must hold one line of at least {SHORTEST_SECRET} ASCII characters",
                                 subject=str(path))
    return secret


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: Any, family: socket.AddressFamily,
                 handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family
        self.allow_reuse_address = True
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("attachment-connection-ended", exc_info=True)


class AttachmentServer:
    """Listens until `stop`. ``listen``: '127.0.0.1:11181' (port 0: a free one), or the path of a socket."""

    def __init__(self, attachments: Attachments, listen: str, secret: bytes, max_bytes: int) -> None:
        handler = type("Handler", (_Handler,), {
            "attachments": attachments, "expected": b"Bearer " + secret, "max_bytes": max_bytes})
        self._path = Path(listen) if listen.startswith("/") else None
        try:
            if self._path is not None:
                _remove_stale(self._path)
                self._server = _Server(listen, socket.AF_UNIX, handler)
                os.chmod(listen, 0o660)
            else:
                host, _, port = listen.rpartition(":")
                host = host.strip("[]")
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                self._server = _Server((host, int(port)), family, handler)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {listen}: {error.strerror}",
                cure="Stop the program that uses it, or change 'listen' in [plugin].") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="attachments",
                                        daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        if self._path is not None:
            return str(self._path)
        return "{}:{}".format(*self._server.socket.getsockname()[:2])

    def stop(self) -> None:
        """Take no more connections; requests under way have their answers, or can be said again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _remove_stale(path: Path) -> None:
    """The socket of a node that died; one that somebody answers at stays."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


class _Handler(BaseHTTPRequestHandler):
    attachments: Attachments
    expected: bytes
    max_bytes: int

    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    rbufsize, wbufsize = 1 << 16, 1 << 16

    def setup(self) -> None:
        if self.request.family != socket.AF_UNIX:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    # ------------------------------------------------------------------ requests
    def do_PUT(self) -> None:  # noqa: N802 - the base class's naming
        self._answered(self._put)

    def do_GET(self) -> None:  # noqa: N802
        self._answered(self._get)

    def do_DELETE(self) -> None:  # noqa: N802
        self._answered(self._delete)

    def _put(self) -> None:
        length = self.headers.get("Content-Length") or ""
        kind = parse_qs(urlsplit(self.path).query).get("kind", [""])[0]
        if not length.isdecimal() or not kind.isdecimal():
            raise IdentifierInvalid("a PUT needs Content-Length and ?kind=NUMBER")
        size = int(length)
        if size > self.max_bytes:
            raise IdentifierInvalid(f"{size} bytes are more than {self.max_bytes}, see max_bytes in [plugin]")
        left = [size]

        def read(most: int) -> bytes:
            piece = self.rfile.read(min(most, left[0], 1 << 20))
            left[0] -= len(piece)
            return piece

        done = self.attachments.take(self._uuid(), int(kind), read, size)
        self.close_connection = self.close_connection or left[0] > 0
        self._say(201 if done == "new" else 200)

    def _get(self) -> None:
        if urlsplit(self.path).path == "/":
            self._say(200, json.dumps({"protocol": PROTOCOL}).encode())
            return
        with self.attachments.give(self._uuid()) as given:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(given.size))
            self.end_headers()
            try:
                for chunk in given.chunks():
                    self.wfile.write(chunk)
            except DicomnnError as error:  # too late for a status: the short body tells
                log.error("attachment-cut-off", reason=error.sentence())
                self.close_connection = True

    def _delete(self) -> None:
        self._say(204 if self.attachments.remove(self._uuid()) else 404)

    # ------------------------------------------------------------------ the frame around them
    def _answered(self, request: Any) -> None:
        try:
            said = self.headers.get("Authorization") or ""
            if not hmac.compare_digest(said.encode("latin-1", "replace"), self.expected):
                self.close_connection = True               # its body was not read
                self._say(401, b"the secret is missing or wrong")
                return
            request()
            self.wfile.flush()
        except DicomnnError as error:
            status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
            tell = log.error if status >= 500 else log.info
            tell("attachment-refused", method=self.command, status=status, reason=error.sentence())
            self.close_connection = self.command == "PUT"  # its body may not have been read
            self._say(status, error.sentence().encode("utf-8", "replace"))
        except OSError:
            self.close_connection = True   # the other side went; it says everything again
        except Exception as error:  # noqa: BLE001 - one request must not end the others
            log.error("attachment-failed", method=self.command, exc_info=error)
            self.close_connection = True
            self._say(500, b"see the node's log")

    def _uuid(self) -> str:
        path = urlsplit(self.path).path
        if not path.startswith("/attachments/"):
            raise IdentifierInvalid("there is only /attachments/<uuid>")
        return path.removeprefix("/attachments/")

    def _say(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        with contextlib.suppress(OSError):
            self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass                               # what matters is logged above, without names of patients or files
