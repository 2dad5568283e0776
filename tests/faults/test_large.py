"""One 512 MiB multi-frame object: received, coded and returned with node and workers under 1.5 GiB each."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.faults.campaign import wait_idle, workers_of
from tests.scp.peer import CT, EXPLICIT, Item, NodeProcess, get_study, image, send

LIMIT = 1536 << 20
STUDY = "1.2.826.9.50"


def large(frames: int, rows: int, columns: int, noisy_every: int) -> Item:
    """Mostly flat frames (so that coding takes minutes, not hours), every n-th with noise."""
    plain = image(1, study=STUDY, series=f"{STUDY}.1", rows=rows, columns=columns, frames=2)
    start = plain.data.index(b"\xe0\x7f\x10\x00")
    number = b"\x28\0\x08\0IS\4\0" + f"{frames:<4}".encode()
    head = plain.data[:start].replace(b"\x28\0\x08\0IS\2\0002 ", number)
    assert len(head) == start + 2
    random = np.random.default_rng(1)
    noise = (1000 + random.normal(0, 5, (rows, columns))).astype("<u2").tobytes()
    flat = np.full((rows, columns), 7, "<u2").tobytes()
    pixels = b"".join(noise if n % noisy_every == 0 else flat for n in range(frames))
    return Item(CT, plain.instance, EXPLICIT,
                head + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", len(pixels)) + pixels)


def peak(pid: int) -> int:
    """Largest resident size of a process, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_half_a_gigabyte_passes_with_little_memory(tmp_path: Path) -> None:
    item = large(1024, 512, 512, 128)
    assert len(item.data) > 512 << 20
    config = "[coding]\neffort = \"fast\"\n[study]\nquiet_seconds = 1\n[node]\nnetwork_timeout = 600\n"
    with NodeProcess(tmp_path / "archive", "--workers", "1", config=config) as node:
        assert send(node.port, [item], pdu=131072, timeout=900.0) == [0]
        idle = wait_idle(tmp_path / "archive", 2400)
        assert idle.returncode == 0, (idle.stderr, node.log[-2000:])
        status = json.loads(idle.stdout)
        assert status["coded"] == 1 and status["bytes_store"] < len(item.data) // 10
        (worker,) = workers_of(node)
        worker_peak, received_peak = peak(worker), peak(node.pid)
        (got,) = get_study(node.port, STUDY, [(CT, EXPLICIT)], pdu=131072, timeout=900.0).items
        assert got.data == item.data
        node_peak = peak(node.pid)
        print(f"peaks in MiB: node {received_peak >> 20} receiving, {node_peak >> 20} sending; "
              f"worker {worker_peak >> 20}")
        assert node_peak < LIMIT and worker_peak < LIMIT
