"""Large objects pass through a small memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CODE = """
import sys
from pathlib import Path
from dicomnn.codec.profile import Profile
from dicomnn.coded.reseal import reseal
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import seal
source, coded, back = map(Path, sys.argv[1:])
sealed = seal(source, coded, profile=Profile("lossless"), model=None, models=None, threads=2)
assert sealed.kind == "coded", sealed.detail
assert restore(coded, back, None, threads=2).file_identical
again = reseal(coded, back.with_suffix(".again"), model=None, models=None, effort="max", threads=2)
assert again.reason == "not-smaller"
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_512_mib_of_frames_are_sealed_restored_and_resealed_in_less_than_1_gib(
    syntax: str, tmp_path: Path, kit: Any
) -> None:
    one = kit.smooth_image(1, 512, 512)
    source = kit.make_file(
        tmp_path / "big.dcm", np.concatenate([np.roll(one, k, axis=2) for k in range(1024)]), syntax=syntax
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, source, tmp_path / "coded", tmp_path / "back"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1 << 20, f"{int(done.stdout) >> 10} MiB"
