"""The node: listener, workers and housekeeping, started and stopped together."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import structlog
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import ConfigurationError, DicomnnError
from dicomnn.flow.accounts import Accounts
from dicomnn.flow.attachments import Attachments
from dicomnn.flow.ingest import Arrival, Ingest
from dicomnn.flow.opening import Archive, open_archive
from dicomnn.flow.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnn.flow.query import Search
from dicomnn.flow.redescribe import redescribe
from dicomnn.flow.retrieve import Retrieval
from scp import heartbeat
from scp.attachments import AttachmentServer, read_secret
from scp.config import Config
from scp.dimse.accept import NodeAssociation, NodeServer, Peer, Service, request_handler
from scp.dimse.contexts import VERIFICATION
from scp.dimse.find import ONLINE, Find, serve_find
from scp.dimse.get import serve_get
from scp.dimse.move import Mover, serve_move
from scp.dimse.store import open_arrival, serve_store
from scp.dimse.stream import StoreRequest
from scp.health import Health, HealthServer
from scp.loopback import is_loopback
from scp.pool import WorkerPool
from scp.settings import (
    destinations_of,
    forwarder_settings,
    limits_of,
    place_of,
    policy_of,
    syntaxes_of,
    worker_settings,
)
from scp.tally import Tally
from scp.web.factory import create_app
from scp.web.server import WebServer
from scp.web.services import Services, WebLimits

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS = 0.5
DRAIN_SECONDS = 5.0
REDESCRIBE_PAUSE = 30.0
REMEMBER_SECONDS = 60.0
STALLED_SECONDS = 60.0          # without a round of housekeeping


class Node:
    """One running node. `start` returns when peers can connect; `stop` when all is at rest."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.archive: Archive
        self._server: NodeServer | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._started = 0.0
        self._token_lock = threading.Lock()
        self._beaten = 0.0
        self.tally = Tally()
        self._health: HealthServer | None = None
        self.workers: WorkerPool | None = None
        self.web: WebServer | None = None
        self.services: Services | None = None
        self.forwarder: WorkerPool | None = None
        self._attachments: AttachmentServer | None = None

    # ------------------------------------------------------------------ life
    def start(self) -> None:
        """Open the archive, start workers, listen.

        Raises
        ------
        ConfigurationError
            The address or port cannot be used.
        StoreFailed, IndexFailed
            The archive cannot be opened.
        """
        self.archive = open_archive(place_of(self.config))
        # A node that was killed could not close its associations; their studies would never be stable.
        self._owner = f"{socket.gethostname()}:{self.config.folder}"
        try:
            self.archive.index.forget_associations(self._owner)
            self._ingest = Ingest(self.archive, policy_of(self.config), self._owner)
            self._retrieval = Retrieval(self.archive)
            self._mover = Mover(self._retrieval, self.config.node.ae_title, limits_of(self.config),
                                {d.ae_title: d for d in destinations_of(self.config)})
            query = self.config.query
            search = Search(self.archive, query.max_answers, tell_coded=query.coded_availability != ONLINE)
            self._find = Find(search, self.config.node.ae_title, query.coded_availability)
            if self.config.web.port >= 0:
                self.web = self._web(search)
            self._watch_health()
            self._listen_for_plugin()
            self._listen()
        except BaseException:
            if self._health is not None:
                self._health.close()
            if self._attachments is not None:
                self._attachments.stop()
            self.archive.close()
            raise
        self._started, self._beaten = time.time(), time.monotonic()
        if self.config.worker_count:
            self.workers = WorkerPool(worker_settings(self.config), self.config.worker_count)
            self.workers.start()
        if self.web is not None:
            self.web.start()
        self._start_forwarder()
        self._spawn(self._housekeeping, "housekeeping")
        self._spawn(self._redescribe, "redescribe")
        log.info("started", address=self.address, web=self.web_address or None,
                 archive=str(self.config.folder), workers=self.config.worker_count)

    def _web(self, search: Search) -> WebServer:
        web = self.config.web
        if not is_loopback(web.bind) and not Accounts(self.archive).any():
            raise ConfigurationError(
                f"listening for HTTP on {web.bind} without users would let anybody read and store",
                cure="Add one first: dicomnn users add NAME --role administrator. Or listen on 127.0.0.1.")
        services = self.services = Services(
            self.archive, self._ingest, search, self._retrieval, self.config.node.ae_title,
            self.config.query.coded_availability, WebLimits(web.max_upload, web.cache_bytes),
            tuple(web.origins.split()), self.config.lossy.caps)
        return WebServer(create_app(services), web.bind, web.port, threads=web.threads,
                         max_upload=web.max_upload, scratch=self.archive.store.scratch,
                         trusted_proxy=web.trusted_proxy)

    def _listen_for_plugin(self) -> None:
        plugin = self.config.plugin
        if plugin.listen:
            self._attachments = AttachmentServer(
                Attachments(self.archive, policy_of(self.config)), plugin.listen,
                read_secret(Path(plugin.secret_file)), plugin.max_bytes)
            log.info("plugin", address=self._attachments.address)

    def _listen(self) -> None:
        node = self.config.node
        ae = AE(node.ae_title)
        # pynetdicom counts half-open connections too; the limit itself is checked by NodeAcse.
        ae.maximum_associations = 4 * node.max_associations
        ae.maximum_pdu_size = node.max_pdu
        ae.require_called_aet = node.require_called_ae_title
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.network_timeout = node.network_timeout
        ae.add_supported_context(VERIFICATION)
        service = Service(
            limits=limits_of(self.config),
            peers=tuple(Peer(p.ae_title, p.address or None, syntaxes_of(p.compress))
                        for p in self.config.peers) or (Peer(),),
            open_sink=self._open_sink, serve=self._serve,
            closed=self._association_closed, tally=self.tally)
        try:
            server = NodeServer(ae, (node.bind, node.port), node.ae_title, ae.supported_contexts,
                                               request_handler=request_handler(service))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {node.bind} port {node.port}: {error.strerror}",
                cure="Stop the program that uses the port, or choose another --port.") from error
        ae._servers.append(server)
        self._ae, self._server = ae, server
        self._spawn(lambda: server.serve_forever(0.2), "listener")

    def _watch_health(self) -> None:
        """Metrics and health, if they are wanted; prometheus_client is loaded only then."""
        section = self.config.metrics
        if section.enabled:
            from scp.metrics import exposition

            self._health = HealthServer((section.bind, section.port), exposition(self), self.health)
            self._spawn(self._health.serve, "health")

    def health(self) -> Health:
        """How it is just now."""
        free = self.archive.store.free_bytes()
        listening = any(thread.name == "listener" and thread.is_alive() for thread in self._threads)
        checks = {
            "listener": listening and not self._stopping.is_set(),
            "index": self._answers(),
            "space": free is None or free >= self.config.storage.minimum_free_bytes,
            "workers": self.workers is None or bool(self.workers.pids),
            "forwarder": self.forwarder is None or bool(self.forwarder.pids)}
        return Health(alive=time.monotonic() - self._beaten < STALLED_SECONDS, checks=checks)

    def _answers(self) -> bool:
        try:
            self.archive.index.stable_studies(0.0, 1)
        except DicomnnError:
            return False
        return True

    @property
    def associations(self) -> int:
        """Open ones."""
        return len(self._ae.active_associations) if self._server is not None else 0

    def _spawn(self, target: Any, name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def port(self) -> int:
        """The port that is really used."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"dicom://{self.config.node.ae_title}@{self.config.node.bind}:{self.port}"

    @property
    def web_address(self) -> str:
        """URL of the HTTP server, '' without one."""
        return self.web.address if self.web is not None else ""

    def stop(self) -> None:
        """Take no new associations, let the running ones finish for a moment, stop the workers."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self.web is not None and self.services is not None:
            self.web.stop()
            self.services.close()
        if self._server is not None:
            with contextlib.suppress(Exception):
                self._server.shutdown()
        if self._attachments is not None:
            self._attachments.stop()
        end = time.monotonic() + DRAIN_SECONDS
        while self._ae.active_associations and time.monotonic() < end:
            time.sleep(0.05)
        for assoc in self._ae.active_associations:
            with contextlib.suppress(Exception):
                assoc.abort()
        if self._health is not None:
            self._health.close()
        for pool in (self.workers, self.forwarder):
            if pool is not None:
                pool.stop()
        for thread in self._threads:
            thread.join(timeout=5.0)
        with contextlib.suppress(OSError):
            heartbeat.remove(self.config.folder)
        self.archive.close()
        log.info("stopped")

    def wait(self) -> None:
        """Until `stop` is called from another thread or a signal handler sets the event."""
        while not self._stopping.wait(0.5):
            pass

    # ------------------------------------------------------------------ associations
    def _open_sink(self, assoc: NodeAssociation, request: StoreRequest) -> Arrival:
        return open_arrival(self._ingest, assoc, request, self._association_token(assoc))

    def _association_token(self, assoc: NodeAssociation) -> str:
        """Told to the index at the first object only: echoes and retrieves touch no study."""
        with self._token_lock:
            token = assoc.facts.get("token")
            if token is None:
                token = self.archive.index.association_opened(
                    calling_ae=assoc.calling_ae, peer_address=assoc.peer_address, owner=self._owner)
                assoc.facts["token"] = token
            return str(token)

    def _association_closed(self, assoc: NodeAssociation) -> None:
        token = assoc.facts.pop("token", None)
        if token is None:
            return
        try:
            self.archive.index.association_closed(str(token))
        except DicomnnError as error:
            log.warning("association-not-closed", reason=str(error))

    def _serve(self, assoc: NodeAssociation, message: Any, context: PresentationContext) -> bool:
        if isinstance(message, StoreRequest):
            serve_store(self._ingest, assoc, message, context)
        elif isinstance(message, C_FIND):
            serve_find(self._find, assoc, message, context)
        elif isinstance(message, C_GET):
            serve_get(self._retrieval, assoc, message, context, assoc.peer.compress)
        elif isinstance(message, C_MOVE):
            serve_move(self._mover, assoc, message, context)
        else:
            return False        # C-ECHO is pynetdicom's own
        return True

    # ------------------------------------------------------------------ the rest
    def _housekeeping(self) -> None:
        beat = remembered = 0.0
        while not self._stopping.wait(HOUSEKEEPING_SECONDS):
            self._beaten = time.monotonic()
            try:
                while self.archive.release_due() and not self._stopping.is_set():
                    pass
                if time.monotonic() - beat > heartbeat.BEAT_SECONDS:
                    beat = time.monotonic()
                    self._heartbeat()
                    self._start_forwarder()
                if time.monotonic() - remembered > REMEMBER_SECONDS:
                    remembered = time.monotonic()
                    self.archive.index.remember()
            except Exception as error:  # noqa: BLE001 - tried again in a moment
                log.error("housekeeping-failed", exc_info=error)

    def _start_forwarder(self) -> None:
        """With rules at once; without any when a person asked for something to be sent."""
        if self.forwarder is None and self.config.destinations and not self._stopping.is_set() and (
                self.config.forward or self.archive.index.forwarding.any_open()):
            self.forwarder = WorkerPool(forwarder_settings(self.config), 1, "scp.forwarder")
            self.forwarder.start()

    def _redescribe(self) -> None:
        """What an older version indexed is read again, once, beside everything else."""
        while not self._stopping.is_set():
            try:
                done = redescribe(self.archive, self._stopping.is_set)
                if done:
                    log.info("attributes-read-again", instances=done)
                return
            except Exception as error:  # noqa: BLE001 - tried again in a while
                log.error("attributes-not-read", exc_info=error)
                self._stopping.wait(REDESCRIBE_PAUSE)

    def _heartbeat(self) -> None:
        """For `dicomnn status` and `dicomnn recode`."""
        heartbeat.write(self.config.folder, {
            "address": self.address, "web": self.web_address, "started_at": self._started,
            "workers": self.config.worker_count, "associations": self.associations,
            "metrics": self._health.url if self._health else None})
