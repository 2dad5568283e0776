"""A DICOM peer for the tests that sends and receives data sets as bytes, and makes small ones itself.

Not the node's code: if both sides shared a mistake, no test would see it.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.dimse_primitives import C_STORE

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, JPEG_LS, J2K = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
JPEG = "1.2.840.10008.1.2.4.50"
CT, MR, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.88.33"
STUDY_GET, PATIENT_GET = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.1.3"
LONG = {"OB", "OW", "SQ", "UN", "UT"}
CHECKOUT = Path(__file__).resolve().parent.parent.parent


def element(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT) -> bytes:
    """One data element of an uncompressed transfer syntax; no padding is added."""
    order = ">" if syntax == BIG else "<"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", len(value)) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(order + "HI", 0, len(value)) + value
    return head + vr.encode() + struct.pack(order + "H", len(value)) + value


def text(value: str) -> bytes:
    return value.encode("ascii") + b" " * (len(value) % 2)


def uid(value: str) -> bytes:
    return value.encode("ascii") + b"\0" * (len(value) % 2)


@dataclass(frozen=True)
class Item:
    """One object as it goes over the wire."""

    sop_class: str
    instance: str
    syntax: str
    data: bytes = field(repr=False)


def image(number: int, *, study: str = "1.2.826.9.1", series: str = "1.2.826.9.1.1", rows: int = 16,
          columns: int = 16, frames: int = 1, syntax: str = EXPLICIT, sop_class: str = CT, seed: int = 0,
          instance: str | None = None, in_data_set: str | None = None, extra: bytes = b"") -> Item:
    """A small image whose bytes a re-encoder would change: group lengths, odd order of private bytes,
    trailing padding. Pixels are noise on a ramp, from ``seed`` and ``number``."""
    instance = instance or f"{series}.{number}"
    order = ">" if syntax == BIG else "<"

    def us(value: int) -> bytes:
        return struct.pack(order + "H", value)

    state = (seed * 7919 + number * 104729 + 12345) & 0xFFFFFFFF
    pixels = bytearray()
    for index in range(rows * columns * frames):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        pixels += struct.pack(order + "H", (index % columns * 20 + (state >> 16) % 16) & 0x0FFF)
    body = [
        element(0x00080000, "UL", struct.pack(order + "I", 62), syntax),     # a group length that lies
        element(0x00080016, "UI", uid(sop_class), syntax),
        element(0x00080018, "UI", uid(in_data_set or instance), syntax),
        element(0x00080020, "DA", b"20240102", syntax),
        element(0x00080060, "CS", b"CT", syntax),
        element(0x00100010, "PN", text("Doe^Jane"), syntax),
        element(0x00100020, "LO", text("P-1"), syntax),
        element(0x0020000D, "UI", uid(study), syntax),
        element(0x0020000E, "UI", uid(series), syntax),
        element(0x00200013, "IS", text(str(number)), syntax),
        element(0x00280002, "US", us(1), syntax),
        element(0x00280004, "CS", text("MONOCHROME2"), syntax),
        *([element(0x00280008, "IS", text(str(frames)), syntax)] if frames > 1 else []),
        element(0x00280010, "US", us(rows), syntax),
        element(0x00280011, "US", us(columns), syntax),
        element(0x00280100, "US", us(16), syntax),
        element(0x00280101, "US", us(12), syntax),
        element(0x00280102, "US", us(11), syntax),
        element(0x00280103, "US", us(0), syntax),
        extra,
        element(0x7FE00010, "OW", bytes(pixels), syntax),
        element(0xFFFCFFFC, "OB", b"\0\0\0\1", syntax),
    ]
    return Item(sop_class, instance, syntax, b"".join(body))


# ------------------------------------------------------------------ sending
def entity(title: str = "PEER", timeout: float = 30.0, pdu: int = 65536) -> AE:
    ae = AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout
    ae.connection_timeout = 10
    ae.maximum_pdu_size = pdu
    return ae


@contextlib.contextmanager
def connected(port: int, contexts: list[Any], *, title: str = "PEER", roles: list[Any] | None = None,
              handlers: list[Any] | None = None, called: str = "DICOMNN", pdu: int = 65536,
              timeout: float = 30.0) -> Iterator[Any]:
    assoc = entity(title, timeout, pdu).associate("127.0.0.1", port, ae_title=called, contexts=contexts,
                                             ext_neg=roles or [], evt_handlers=handlers or [])
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def store_raw(assoc: Any, item: Item, message_id: int = 1, *, command_uid: str | None = None,
              command_class: str | None = None, timeout: float = 60.0) -> tuple[int | None, str]:
    """One C-STORE with the bytes as they are: (status, comment); (None, '') when no answer came."""
    contexts = [c for c in assoc.accepted_contexts
                if str(c.abstract_syntax) == item.sop_class and str(c.transfer_syntax[0]) == item.syntax]
    assert contexts, "the context was not accepted"
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = UID(command_class or item.sop_class)
    request.AffectedSOPInstanceUID = UID(command_uid or item.instance)
    request.Priority = 2
    request.DataSet = io.BytesIO(item.data)
    assoc._reactor_checkpoint.clear()
    try:
        # Twice: the flag is still up for a moment when the reactor just goes on, and then takes our answer.
        for _ in range(2):
            while not assoc._is_paused and assoc.is_alive():
                time.sleep(0.001)
            time.sleep(0.002)
        assoc.dimse.send_msg(request, contexts[0].context_id)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                _, answer = assoc.dimse.msg_queue.get(timeout=0.1)
            except queue.Empty:
                if assoc.acse.is_aborted() or not assoc.dul.is_alive():
                    return None, ""
                continue
            if answer is None:           # pynetdicom's way of saying that the association is gone
                return None, ""
            return answer.Status, str(answer.ErrorComment or "")
        return None, ""
    finally:
        assoc._reactor_checkpoint.set()


def contexts_for(items: list[Item]) -> list[Any]:
    return [build_context(c, t) for c, t in sorted({(i.sop_class, i.syntax) for i in items})]


def send(port: int, items: list[Item], **options: Any) -> list[int | None]:
    """All items over one association; their statuses."""
    with connected(port, contexts_for(items), **options) as assoc:
        assert assoc.is_established, "no association"
        seconds = options.get("timeout", 60.0)
        return [store_raw(assoc, item, number % 65535 + 1, timeout=seconds)[0]
                for number, item in enumerate(items)]


# ------------------------------------------------------------------ getting
@dataclass
class Got:
    """What a C-GET brought. final: its last status; counts and failed UIDs of the last answer."""

    items: list[Item] = field(default_factory=list)
    final: int | None = None
    counts: dict[str, int | None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    pending: list[dict[str, int | None]] = field(default_factory=list)
    comment: str = ""

    @property
    def by_uid(self) -> dict[str, Item]:
        return {item.instance: item for item in self.items}


def identifier(level: str, **keys: str | list[str]) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def get(port: int, query: Dataset, pairs: list[tuple[str, str | list[str]]], *, model: str = STUDY_GET,
        answer: Callable[[Item], int] = lambda item: 0, cancel_after: int | None = None,
        title: str = "PEER", pdu: int = 65536, timeout: float = 30.0) -> Got:
    """C-GET with one context per pair (class, syntax or syntaxes)."""
    got = Got()

    def arrived(event: Any) -> int:
        request = event.request
        item = Item(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID),
                    str(event.context.transfer_syntax), request.DataSet.getvalue())
        got.items.append(item)
        if cancel_after is not None and len(got.items) == cancel_after:
            event.assoc.send_c_cancel(1, query_model=model)
        return answer(item)

    contexts = [build_context(model)] + [build_context(c, t) for c, t in pairs]
    roles = [build_role(c, scp_role=True) for c in sorted({c for c, _ in pairs})]
    with connected(port, contexts, roles=roles, handlers=[(evt.EVT_C_STORE, arrived)], title=title,
                   pdu=pdu, timeout=timeout) as assoc:
        assert assoc.is_established, "no association"
        for status, failed in assoc.send_c_get(query, model):
            if "Status" not in status:
                break
            counts = {name: status.get(f"NumberOf{name}Suboperations")
                      for name in ("Remaining", "Completed", "Failed", "Warning")}
            if status.Status == 0xFF00:
                got.pending.append(counts)
                continue
            got.final, got.counts = status.Status, counts
            got.comment = str(status.get("ErrorComment", ""))
            if failed is not None and "FailedSOPInstanceUIDList" in failed:
                value = failed.FailedSOPInstanceUIDList
                got.failed = [value] if isinstance(value, str) else list(value or [])
    return got


def get_study(port: int, study: str, pairs: list[tuple[str, str | list[str]]], **options: Any) -> Got:
    return get(port, identifier("STUDY", StudyInstanceUID=study), pairs, **options)


# ------------------------------------------------------------------ the node as a process
class NodeProcess:
    """``dicomnn serve`` on a free port of this machine. Its log is kept in ``log``."""

    def __init__(self, archive: Path, *options: str, config: str = "", prefix: tuple[str, ...] = (),
                 environment: dict[str, str] | None = None) -> None:
        self.archive = archive
        archive.parent.mkdir(parents=True, exist_ok=True)
        command = [*prefix, sys.executable, "-c", "from dicomnn.cli import main; main()", "serve",
                   "--archive", str(archive), "--port", "0", "--http-port", "0", *options]
        if config:
            path = archive.parent / f"{archive.name}.toml"
            path.write_text(config)
            command += ["--config", str(path)]
        self._log_path = archive.parent / f"{archive.name}.log"
        self._log_file = open(self._log_path, "ab")
        path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log_file, env=env)
        self.ready = self._read_ready()
        self.port = int(self.ready.split()[1].rsplit(":", 1)[1])

    def _read_ready(self) -> str:
        lines: queue.Queue[bytes] = queue.Queue()
        assert self.process.stdout is not None
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        line = lines.get(timeout=60).decode()
        assert line.startswith("READY "), (line, self.log)
        return line

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Of the node itself, not of a program that was put in front of it."""
        import json

        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                return int(json.loads((self.archive / "node.json").read_text())["pid"])
            time.sleep(0.05)
        raise AssertionError("no heartbeat")

    def kill(self) -> None:
        os.kill(self.process.pid, 9)
        self.process.wait()
        self._close()

    def stop(self, seconds: float = 30.0) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._close()

    def _close(self) -> None:
        self._log_file.close()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.stop()


def wait_for(condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The condition's first true value within ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen in {seconds} s: {what}")
