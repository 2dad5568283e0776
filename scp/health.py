"""A small HTTP listener of its own for whoever watches the node: /metrics, /healthz and /readyz.

It reads nothing but the request line, answers nothing but counts and names of checks, and has nothing to do
with the web server: it still answers when that, or the index, is in trouble.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from dicomnn.errors import ConfigurationError

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class Health:
    """alive: the process goes on (else: restart it). checks: what it needs to serve, by name."""

    alive: bool
    checks: Mapping[str, bool]

    @property
    def ready(self) -> bool:
        return self.alive and all(self.checks.values())


class HealthServer:
    """Listens from its making; `serve` answers until `close`.

    exposition: (text of the metrics, its content type).

    Raises
    ------
    ConfigurationError
        The address or port cannot be used.
    """

    def __init__(self, address: tuple[str, int], exposition: Callable[[], tuple[bytes, str]],
                 health: Callable[[], Health]) -> None:
        try:
            self._server = _Server(address, _handler(exposition, health))
        except OSError as error:
            raise ConfigurationError(
                f"[metrics] cannot listen on {address[0]} port {address[1]}: {error.strerror or error}",
                cure="Stop the program that uses the port, or choose another 'port' in [metrics].") from error
        host, port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{port}"

    def serve(self) -> None:
        self._server.serve_forever(0.2)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.warning("health-request-failed", peer=str(client_address[0]))


def _handler(exposition: Callable[[], tuple[bytes, str]],
             health: Callable[[], Health]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS
        server_version, sys_version = "dicomnn", ""

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            try:
                if path == "/metrics":
                    self._answer(HTTPStatus.OK, *exposition())
                elif path == "/healthz":
                    now = health()
                    self._tell(now.alive, {"alive": now.alive})
                elif path == "/readyz":
                    now = health()
                    self._tell(now.ready, {"ready": now.ready, "checks": dict(now.checks)})
                else:
                    self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /healthz, /readyz\n", "text/plain")
            except Exception as error:  # noqa: BLE001 - whoever watches must hear of it
                log.error("health-failed", path=path, exc_info=error)
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"failed; see the log\n", "text/plain")

        do_HEAD = do_GET

        def _tell(self, good: bool, facts: dict[str, Any]) -> None:
            code = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(code, json.dumps(facts).encode() + b"\n", "application/json")

        def _answer(self, code: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not into standard error: who watches asks every few seconds."""

    return Handler
