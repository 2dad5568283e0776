"""The HTTP listener: waitress in threads of the node's process.

A request's body is taken whole before it is answered, beyond half a MiB into a nameless file in the store's
own file system; an upload that breaks off leaves nothing. Answers go out as they are made and read.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import waitress
from flask import Flask
from waitress.buffers import FileBasedBuffer, OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

from dicomnn.errors import ConfigurationError

STOP_SECONDS = 5.0
LARGE_ANSWER = 32 << 20      # in memory for one reader; beyond 16 MiB that wait, no more is made


class _Spool(OverflowableBuffer):
    """A body on its way in: large ones into ``folder``, as /tmp may be small, or memory."""

    buf: Any = None

    def __init__(self, overflow: int, folder: Path) -> None:
        super().__init__(overflow)
        self._folder = folder

    def _set_large_buffer(self) -> None:
        before = self.buf
        self.buf = FileBasedBuffer(tempfile.TemporaryFile(dir=self._folder), before)
        if hasattr(before, "close"):
            before.close()
        self.overflowed = True


def _channel(folder: Path) -> type[HTTPChannel]:
    class Parser(HTTPRequestParser):
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.body_rcv is not None:
                self.body_rcv.buf = _Spool(self.adj.inbuf_overflow, folder)

    class Channel(HTTPChannel):
        parser_class = Parser

    return Channel


class WebServer:
    """Listens from the moment it is made; `start` serves until `stop`."""

    def __init__(self, app: Flask, bind: str, port: int, *, threads: int, max_upload: int,
                 scratch: Path, trusted_proxy: str = "") -> None:
        """``scratch``: folder for bodies on their way in. Raises ConfigurationError when the address or port
        cannot be used."""
        proxy: dict[str, Any] = {} if not trusted_proxy else {
            "trusted_proxy": trusted_proxy,
            "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"}}
        try:
            self._server: Any = waitress.create_server(
                app, host=bind, port=port, threads=threads, max_request_body_size=max_upload, ident="dicomnn",
                outbuf_overflow=LARGE_ANSWER, channel_timeout=120,
                clear_untrusted_proxy_headers=True, **proxy)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {bind} port {port} for HTTP: {error.strerror}",
                cure="Stop the program that uses the port, or choose another --http-port.") from error
        self._bind = bind
        self._server.channel_class = _channel(scratch)
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that is really used."""
        return int(self._server.effective_port)

    @property
    def address(self) -> str:
        host = f"[{self._bind}]" if ":" in self._bind else self._bind
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no new requests and end those that wait; what is being sent gets a moment."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=STOP_SECONDS)
        self._server.close()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)
