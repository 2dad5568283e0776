"""The lossy decoder gives the same values in every process, instruction set and number of threads."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicomnn.codec.lossy.payload import VERSION

FOLDER = Path(__file__).resolve().parent.parent / "golden" / f"lossy-{VERSION}"

SCRIPT = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
sys.modules["torch"] = None
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy.payload import decode_one, parse
folder, threads = Path(sys.argv[1]), int(sys.argv[2])
models = lambda model_id: LossyModel((folder / "models" / model_id / "model.bin").read_bytes())
for name in sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "models"):
    payload = (folder / name / "payload.bin").read_bytes()
    with ThreadPoolExecutor(threads) as pool:
        frames = pool.map(lambda n: decode_one(payload, models, n), range(parse(payload).frames))
        print(name, hashlib.sha256(b"".join(frame.astype("<u2").tobytes() for frame in frames)).hexdigest())
"""


@pytest.mark.parametrize(
    ("cpu", "threads"),
    [("", 1), ("", 3), ("generic", 1), ("haswell", 2)],
    ids=["plain", "three-threads", "generic-cpu", "avx2"],
)
def test_golden_lossy_payloads_decode_alike_everywhere(tmp_path: Path, cpu: str, threads: int) -> None:
    settings = dict(os.environ)
    if cpu:
        settings |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(FOLDER), str(threads)],
        env=settings,
        capture_output=True,
        text=True,
        timeout=280,
    )
    cases = json.loads((FOLDER / "cases.json").read_text())
    wanted = [f"{name} {case['pixels_sha256']}" for name, case in sorted(cases.items())]
    assert done.stdout.split("\n")[:-1] == wanted, done.stderr
    assert len({hashlib.sha256(line.encode()).hexdigest() for line in wanted}) == len(cases) >= 6
