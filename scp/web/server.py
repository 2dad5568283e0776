"""The HTTP listener: waitress in threads of the node's process."""

from __future__ import annotations

import threading
from typing import Any

import waitress
from flask import Flask

from dicomnn.errors import ConfigurationError

STOP_SECONDS = 5.0


class WebServer:
    """Listens from the moment it is made; `start` serves until `stop`."""

    def __init__(self, app: Flask, bind: str, port: int, *, threads: int, max_upload: int) -> None:
        """Raises ConfigurationError when the address or port cannot be used."""
        try:
            self._server: Any = waitress.create_server(
                app, host=bind, port=port, threads=threads, max_request_body_size=max_upload, ident="dicomnn",
                channel_timeout=120, clear_untrusted_proxy_headers=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {bind} port {port} for HTTP: {error.strerror}",
                cure="Stop the program that uses the port, or choose another --http-port.") from error
        self._bind = bind
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
