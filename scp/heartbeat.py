"""A running node's sign of life in the archive's folder: that it runs, and where it listens."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

FILE = "node.json"
BEAT_SECONDS = 2.0
ALIVE_SECONDS = 10.0


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Beat once; ``facts`` are about this process. Raises OSError."""
    target = folder / FILE
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps({"pid": os.getpid(), "time": time.time(), **facts}))
    os.replace(temporary, target)


def remove(folder: Path) -> None:
    """The last thing that a node does. Raises OSError."""
    (folder / FILE).unlink()


def read(folder: Path) -> dict[str, Any] | None:
    """What the node that runs on this folder now says of itself, None when none does."""
    try:
        beat = json.loads((folder / FILE).read_text("utf-8"))
        if time.time() - float(beat["time"]) > ALIVE_SECONDS:
            return None
        os.kill(int(beat["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    told = ("pid", "address", "web", "started_at", "workers", "associations", "metrics")
    return {key: beat.get(key) for key in told}
