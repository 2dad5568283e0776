"""A minute of everything at once; ten of them are `make load`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.peers
@pytest.mark.timeout(600)
def test_a_minute_of_mixed_load_gives_no_error_grows_nothing_and_drains(checkout: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.mixed_load", "--seconds", "60"], cwd=checkout,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=590)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
