"""Under strace: fsync(file), rename, fsync(folder), index commit, and only then the response."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scp.peer import NodeProcess, image, send

NUMBER = 5
CALL = re.compile(r"^(\d+)\s+[\d:.]+\s+(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+[\d:.]+\s+<\.\.\. (\w+) resumed>(.*)$")


@dataclass(frozen=True)
class Call:
    """One system call that has returned, in the order of returning."""

    name: str
    text: str


def calls(trace: Path) -> Iterator[Call]:
    open_calls: dict[tuple[str, str], str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        if found := RESUMED.match(line):
            yield Call(found[2], open_calls.pop((found[1], found[2]), "") + found[3])
        elif found := CALL.match(line):
            if "<unfinished ...>" in found[3]:
                open_calls[found[1], found[2]] = found[3].replace("<unfinished ...>", "")
            else:
                yield Call(found[2], found[3])


def steps(trace: Path) -> list[str]:
    """The story of the trace in words: file-sync, rename, folder-sync, commit, response."""
    story = []
    for call in calls(trace):
        path = (re.search(r"<([^>]*)>", call.text) or [None, ""])[1]
        if call.name in ("rename", "renameat", "renameat2") and "/objects/" in call.text:
            story.append("rename")
        elif call.name in ("fsync", "fdatasync") and path.endswith(".part"):
            story.append("file-sync")
        elif call.name in ("fsync", "fdatasync") and re.search(r"/objects/../..$", path):
            story.append("folder-sync")
        elif call.name in ("fsync", "fdatasync") and "-wal" in path:
            story.append("commit")
        elif call.name == "sendto" and r"\4\0" in call.text and r"\0\0\0\1\2\0\0\0\1\200" in call.text:
            story.append("response")         # P-DATA with Command Field 8001H, C-STORE-RSP
    return story


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: strace)")
def test_an_instance_is_durable_before_its_response_leaves(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    prefix = ("strace", "-f", "-y", "-tt", "-s", "400", "-o", str(trace),
              "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,sendto")
    with NodeProcess(tmp_path / "archive", "--workers", "-1", prefix=prefix) as node:
        assert send(node.port, [image(n) for n in range(1, NUMBER + 1)]) == [0] * NUMBER
        import os
        import signal

        os.kill(node.pid, signal.SIGTERM)
        node.process.wait(timeout=30)
    story = steps(trace)
    assert story.count("response") == NUMBER, story
    since_last: list[str] = []
    for step in story:
        if step != "response":
            since_last.append(step)
            continue
        wanted = iter(since_last)
        assert all(any(step == there for there in wanted)
                   for step in ("file-sync", "rename", "folder-sync", "commit")), since_last
        since_last = []
