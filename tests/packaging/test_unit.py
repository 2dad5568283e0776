"""The systemd unit: it is one, it starts our command, and what the node writes it may write."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def unit(checkout: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (checkout / "scp" / "dicomnn.service").read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_the_kernels_are_cached_where_the_unit_may_write(unit: dict[str, list[str]]) -> None:
    (cache,) = [value.removeprefix("NUMBA_CACHE_DIR=") for value in unit["Environment"]
                if value.startswith("NUMBA_CACHE_DIR=")]
    assert cache.startswith(f"/var/cache/{unit['CacheDirectory'][0]}/")
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["WorkingDirectory"] == [f"/var/lib/{unit['StateDirectory'][0]}"]
    assert "MemoryDenyWriteExecute" not in unit, "the coding loop is compiled at run time"


def test_it_is_a_unit_that_systemd_takes(unit: dict[str, list[str]], checkout: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("not installed: systemd-analyze (Debian: systemd)")
    text = (checkout / "scp" / "dicomnn.service").read_text(encoding="utf-8")
    assert " serve --config /etc/dicomnn/dicomnn.toml" in unit["ExecStart"][0]
    there = tmp_path / "dicomnn.service"
    there.write_text(text.replace(unit["ExecStart"][0].split()[0], "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(there)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
