"""The node's figures in Prometheus' text form, read at each request from the index's counters and the node's
own.

Labels are states, reason codes, statuses and AE titles: nothing that says anything about a patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dicomnn.archive import Queue, Status
from dicomnn.errors import DicomnnError
from dicomnn.version import library_version

if TYPE_CHECKING:
    from scp.node import Node


def exposition(node: Node) -> Callable[[], tuple[bytes, str]]:
    """What gives the page of one node, and its content type."""
    registry = CollectorRegistry()
    registry.register(_NodeCollector(node))
    ProcessCollector(registry=registry)
    return lambda: (generate_latest(registry), CONTENT_TYPE_LATEST)


def _gauge(name: str, about: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(f"dicomnn_{name}", about, value=value)


def _count(name: str, about: str, value: float) -> Iterator[Metric]:
    yield CounterMetricFamily(f"dicomnn_{name}", about, value=value)


def _by(kind: type[Any], name: str, about: str, labels: list[str],
        values: Mapping[Any, float | None]) -> Iterator[Metric]:
    family = kind(f"dicomnn_{name}", about, labels=labels)
    for key, value in sorted(values.items()):
        if value is not None:
            family.add_metric([key] if isinstance(key, str) else list(key), value)
    yield family


class _NodeCollector(Collector):
    def __init__(self, node: Node) -> None:
        self._node = node

    def describe(self) -> Iterator[Metric]:
        return iter(())         # registering must not ask the index

    def collect(self) -> Iterator[Metric]:
        yield from _by(GaugeMetricFamily, "info", "Version of the running node", ["version"],
                       {library_version(): 1})
        try:
            status, queues = self._node.archive.index.status(), self._node.archive.index.forwarding.queues()
        except DicomnnError:
            yield from _gauge("index_up", "1 when the index answers", 0)
        else:
            yield from _gauge("index_up", "1 when the index answers", 1)
            yield from _archive(status)
            yield from _forward(queues)
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        node = self._node
        associations, answers = node.tally.now()
        yield from _gauge("associations", "Open associations that peers began", node.associations)
        yield from _by(CounterMetricFamily, "associations_begun", "Requests for an association, by outcome",
                       ["outcome"], {"opened": 0, "refused": 0, **associations})
        yield from _by(CounterMetricFamily, "dimse_answers", "Final answers, by service and status",
                       ["service", "status"], answers)
        yield from _gauge("workers", "Worker processes that run",
                          len(node.workers.pids) if node.workers else 0)
        yield from _gauge("store_free_bytes", "Space left where the objects are",
                          node.archive.store.free_bytes())
        yield from _gauge("store_minimum_free_bytes", "With less, C-STORE is answered A700",
                          node.config.storage.minimum_free_bytes)


def _archive(status: Status) -> Iterator[Metric]:
    states = {"waiting": status.backlog, "coding": status.coding, "coded": status.coded,
              "kept": status.kept_total, "deleted": status.deleted}
    yield from _by(GaugeMetricFamily, "instances", "Instances by state", ["state"], states)
    yield from _by(GaugeMetricFamily, "instances_kept", "Instances kept as received, by reason", ["reason"],
                   status.kept)
    yield from _by(GaugeMetricFamily, "coding_given_up", "Instances whose coding was given up, by error code",
                   ["code"], status.failures)
    yield from _gauge("coding_retrying", "Instances to be tried again", status.retrying)
    yield from _gauge("backlog_instances", "Instances that wait for a worker or are with one",
                      status.backlog + status.coding)
    oldest = status.oldest_backlog
    yield from _gauge("backlog_oldest_seconds", "Age of the longest waiting one",
                      max(0.0, time.time() - oldest) if oldest is not None else 0.0)
    yield from _count("received_bytes", "Bytes of every object accepted", status.bytes_received)
    yield from _gauge("coded_before_bytes", "Bytes of the coded instances, as received", status.bytes_before)
    yield from _gauge("coded_after_bytes", "Bytes of the coded instances, as they are", status.bytes_after)
    yield from _gauge("saved_bytes", "The difference", status.bytes_before - status.bytes_after)
    yield from _gauge("store_bytes", "Bytes of all objects in the store", status.bytes_store)
    yield from _gauge("index_bytes", "Bytes of the index", status.bytes_index)
    yield from _gauge("releases_waiting", "Objects that wait to be deleted", status.releases_waiting)
    yield from _count("conflicts", "Objects that came under a UID that was taken", status.conflicts)
    yield from _count("duplicates", "Objects that came again", status.duplicates)


def _forward(queues: list[Queue]) -> Iterator[Metric]:
    now, label = time.time(), ["destination"]
    yield from _by(GaugeMetricFamily, "forward_instances", "Deliveries by destination and state",
                   [*label, "state"], {(q.destination, leg.value): count for q in queues
                                       for leg, count in q.counts.items()})
    yield from _by(GaugeMetricFamily, "forward_open", "Deliveries that are not over", label,
                   {q.destination: q.open for q in queues})
    yield from _by(GaugeMetricFamily, "forward_oldest_seconds", "Age of the oldest of them", label,
                   {q.destination: max(0.0, now - q.oldest) if q.oldest else 0.0 for q in queues})
    yield from _by(GaugeMetricFamily, "forward_overdue", "1 when its deadline has passed", label,
                   {q.destination: float(q.deadline is not None and q.deadline < now) for q in queues})
    yield from _by(GaugeMetricFamily, "forward_on_hold", "1 when a person holds the destination", label,
                   {q.destination: float(q.held) for q in queues})
    yield from _by(GaugeMetricFamily, "forward_failures_in_a_row", "Failures of the destination itself",
                   label, {q.destination: q.failures for q in queues})
    failed = {(q.destination, code): count for q in queues for code, count in q.failed_tries.items()}
    yield from _by(CounterMetricFamily, "forward_failed_tries", "Failed tries, by error code",
                   [*label, "code"], failed)
