"""Metrics and health of a running node, over HTTP."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from demo.node import free_port
from scp import heartbeat
from scp.health import Health, HealthServer
from tests.scp.forwarding import QUICK, destination, rule
from tests.scp.peer import NodeProcess, connected, contexts_for, image, send, store_raw, wait_for

METRICS = "[metrics]\nenabled = true\nport = 0\n"


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def url_of(node: NodeProcess) -> str:
    beat = wait_for(lambda: heartbeat.read(node.archive), 20, "a heartbeat")
    return str(beat["metrics"])


def figures(url: str) -> dict[tuple[str, ...], float]:
    code, page = ask(f"{url}/metrics")
    assert code == 200
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page) for sample in family.samples}


def test_metrics_tell_what_came_in_what_waits_and_what_could_not_be_sent(tmp_path: Path) -> None:
    items = [image(n, study="1.2.826.9.90") for n in (1, 2)]
    config = METRICS + QUICK + destination("FAR", free_port()) + rule("FAR")
    with NodeProcess(tmp_path / "archive", "--workers", "-1", config=config) as node:
        url = url_of(node)
        assert set(send(node.port, items)) == {0}
        assert set(send(node.port, items[:1])) == {0}
        wait_for(lambda: figures(url).get(("dicomnn_forward_failures_in_a_row", "FAR"), 0) > 1, 30)
        now = figures(url)
        size = sum(len(item.data) for item in items)
        assert now["dicomnn_dimse_answers_total", "C-STORE", "0000"] == 3
        assert now["dicomnn_instances", "waiting"] == now["dicomnn_backlog_instances",] == 2
        assert now["dicomnn_received_bytes_total",] >= size and now["dicomnn_duplicates_total",] == 1
        assert now["dicomnn_associations_begun_total", "opened"] == 2
        assert now["dicomnn_forward_instances", "FAR", "waiting"] == now["dicomnn_forward_open", "FAR"] == 2
        assert now["dicomnn_forward_failed_tries_total", "no-association", "FAR"] >= 2
        assert now["dicomnn_store_free_bytes",] > 0 and now["process_open_fds",] > 0
        _, page = ask(f"{url}/metrics")
        assert "Doe" not in page and "P-1" not in page and "1.2.826" not in page


def test_a_node_that_cannot_take_anything_is_alive_and_not_ready(tmp_path: Path) -> None:
    config = METRICS + "[storage]\nminimum_free_bytes = 1000000000000000\n"
    with NodeProcess(tmp_path / "archive", "--workers", "-1", config=config) as node:
        url = url_of(node)
        assert ask(f"{url}/healthz")[0] == 200
        code, page = ask(f"{url}/readyz")
        checks = json.loads(page)["checks"]
        assert code == 503 and not checks["space"] and checks["listener"] and checks["index"]
        item = image(1)
        with connected(node.port, contexts_for([item])) as assoc:
            assert store_raw(assoc, item)[0] == 0xA700
        assert figures(url)["dicomnn_dimse_answers_total", "C-STORE", "A700"] == 1
        assert ask(f"{url}/elsewhere")[0] == 404


def test_without_being_asked_for_nothing_listens(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "archive", "--workers", "-1") as node:
        beat = wait_for(lambda: heartbeat.read(node.archive), 20)
        assert beat["metrics"] is None


def test_a_process_that_stalls_is_not_alive() -> None:
    health = Health(False, {"index": True})
    stalled = HealthServer(("127.0.0.1", 0), lambda: (b"", "text/plain"), lambda: health)
    thread = threading.Thread(target=stalled.serve, daemon=True)
    thread.start()
    try:
        assert ask(f"{stalled.url}/healthz")[0] == 503 and ask(f"{stalled.url}/readyz")[0] == 503
    finally:
        stalled.close()
        thread.join(5)
