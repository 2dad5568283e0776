"""``dicomnn serve``: run the node."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import click


@click.command("serve")
@click.option("--config", "config_path", type=click.Path(path_type=Path),
              help="TOML file; every key has a default.")
@click.option("--archive", type=click.Path(path_type=Path),
              help="Folder of the archive; made when it is not there.")
@click.option("--bind", help="Address to listen on (default 127.0.0.1: this machine only).")
@click.option("--port", type=int, help="TCP port (default 11112; 0 takes a free one).")
@click.option("--ae-title", help="The node's AE title (default DICOMNN).")
@click.option("--http-port", type=int,
              help="TCP port of the pages and of DICOMweb (default 8080; 0 takes a free one, -1: no HTTP).")
@click.option("--workers", type=int, help="Worker processes (default: one per CPU core; -1: none).")
def command(config_path: Path | None, archive: Path | None, bind: str | None, port: int | None,
            ae_title: str | None, http_port: int | None, workers: int | None) -> None:
    """Receive, code and give back studies over DICOM until SIGTERM or Ctrl-C.

    Prints one line, beginning with READY, when peers can connect.
    """
    from scp import logs
    from scp.config_read import load
    from scp.node import Node

    config = load(config_path)
    config = _override(config, "archive", path=None if archive is None else str(archive))
    config = _override(config, "node", bind=bind, port=port, ae_title=ae_title)
    config = _override(config, "web", port=http_port)
    config = _override(config, "coding", workers=workers)
    logs.configure(config.log.level, config.log.json)
    node = Node(config)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: asked.append(received))
    node.start()
    try:
        click.echo(f"READY {node.address} archive={config.folder} workers={config.worker_count}"
                   + (f" web={node.web_address}" if node.web_address else ""))
        while not asked:
            time.sleep(0.2)
    finally:
        node.stop()


def _override(config: Any, section: str, **values: Any) -> Any:
    given = {key: value for key, value in values.items() if value is not None}
    return config.with_(section, **given) if given else config
