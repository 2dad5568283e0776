"""Each process's corner of the folder for temporary files, and the removal of those of dead processes."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from pathlib import Path


class Session:
    """This process's corner of ``incoming``: a folder whose lock file is held while it lives."""

    def __init__(self, incoming: Path) -> None:
        self.folder = incoming / secrets.token_hex(8)
        self.folder.mkdir()
        # flock, not a process number: numbers are used again and differ between containers.
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def sweep(incoming: Path, *, stale_after: float, now: float) -> list[str]:
    """Remove sessions whose process has died and which nobody touched for ``stale_after`` seconds."""
    swept = []
    for folder in sorted(incoming.iterdir()):
        try:
            newest = max(p.stat().st_mtime for p in (folder, *folder.rglob("*")))
            if newest > now - stale_after:
                continue
            with open(folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            swept.append(folder.name)
        except BlockingIOError:
            continue                       # its process lives, however old the files are
        except FileNotFoundError:
            # either another process sweeps at the same time, or a session that died before its lock was made
            if not (folder / "lock").exists():
                shutil.rmtree(folder, ignore_errors=True)
    return swept
