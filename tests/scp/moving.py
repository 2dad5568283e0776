"""Objects moved by a node to receivers that take one kind of transfer syntax, and what arrived."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.faults.campaign import wait_idle
from tests.scp.collection import verdict
from tests.scp.peer import (
    EXPLICIT,
    IMPLICIT,
    Item,
    NodeProcess,
    connected,
    contexts_for,
    identifier,
    store_raw,
)
from tests.scp.receiver import Receiver, move

KINDS = {"Implicit LE only": [IMPLICIT], "Explicit LE only": [EXPLICIT], "as received": None}
LIST = 100      # UIDs of one C-MOVE
CONFIG = ('[node]\nmax_associations_per_peer = 64\n[coding]\neffort = "fast"\n[study]\nreports = false\n'
          '[storage]\non_identity_mismatch = "keep"\n[log]\njson = true\n')
Results = dict[tuple[str, str], str]
"""(SOP Instance UID, kind of receiver) -> verdict or 'failed: reason'."""


def reasons(node: NodeProcess, before: int) -> dict[str, str]:
    """Why sub-operations failed since the log had so many lines."""
    found = {}
    for line in node.log.splitlines()[before:]:
        if line.startswith("{") and (event := json.loads(line)).get("event") == "sub-operation-failed":
            found[event["uid"]] = event["reason"]
    return found


def store(node: NodeProcess, wave: list[Item]) -> None:
    pairs = sorted({(i.sop_class, i.syntax) for i in wave})
    for first in range(0, len(pairs), 128):
        group = [i for i in wave if (i.sop_class, i.syntax) in pairs[first:first + 128]]
        with connected(node.port, contexts_for(group)) as assoc:
            for number, item in enumerate(group):
                status, comment = store_raw(assoc, item, number + 1)
                assert status in (0, 0xB007), (item.instance, status, comment)


def moved(wave: list[Item], folder: Path, coded: float | None) -> Results:
    """One wave, in which no UID occurs twice, to all kinds of receivers."""
    results: Results = {}
    with ExitStack() as stack:
        receivers, config = {}, CONFIG
        for number, (kind, taken) in enumerate(KINDS.items()):
            classes: dict[str, list[str]] = defaultdict(list)
            for item in wave:
                there = classes[item.sop_class]
                there += [uid for uid in taken or [item.syntax] if uid not in there]
            receivers[kind] = stack.enter_context(Receiver(list(classes.items())))
            config += receivers[kind].destination(f"KIND{number}")
        workers = "-1" if coded is None else "0"
        node = stack.enter_context(NodeProcess(folder / "archive", "--workers", workers, config=config))
        store(node, wave)
        if coded is not None and wait_idle(folder / "archive", coded).returncode:
            print(f"not all was coded within {coded:g} s", file=sys.stderr)
        by_uid = {item.instance: item for item in wave}
        for number, kind in enumerate(KINDS):
            before = len(node.log.splitlines())
            uids = list(by_uid)
            for first in range(0, len(uids), LIST):
                query = identifier("IMAGE", SOPInstanceUID=uids[first:first + LIST])
                move(node.port, query, to=f"KIND{number}", timeout=600.0)
            failed, came = reasons(node, before), receivers[kind].by_uid
            for uid, item in by_uid.items():
                results[uid, kind] = (verdict(item, came[uid]) if uid in came
                                      else f"failed: {failed.get(uid, 'without a reason')}")
    return results
