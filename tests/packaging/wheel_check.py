"""``make wheel-test``: the built wheel, in an empty environment outside of the checkout, does its work.

Builds the wheel, installs it into a new environment in a temporary folder, and there, with the checkout
out of reach, compresses a sample, checks that it became smaller, restores it and compares the bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ("ct_thorax/ct_04.dcm", "mr_brain/t1_02.dcm", "mr_flow_bigendian/velocity.dcm")


class WheelFailed(Exception):
    """The message says which promise did not hold."""


def call(*command: str | Path, folder: Path) -> str:
    """Output of ``command`` run in ``folder``, in an environment that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PYTHON", "VIRTUAL_ENV", "DICOMNN"))}
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        shown = " ".join(str(part) for part in command)
        raise WheelFailed(f"{shown}\nended with code {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, made from the committed and present files of the checkout."""
    # From a copy, so that what an earlier build left behind in build/ cannot slip in.
    source = folder / "source"
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(
        ".venv", ".git", "build", "dist", "runs", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"))
    call(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps",
         "--wheel-dir", folder / "dist", source, folder=folder)
    shutil.rmtree(source)
    (wheel,) = (folder / "dist").glob("dicomnn-*.whl")
    return wheel


def contents(wheel: Path) -> None:
    """What must be in the wheel, and what must not."""
    names = zipfile.ZipFile(wheel).namelist()
    models = [name for name in names if name.startswith("dicomnn/models/") and name.endswith("/model.bin")]
    if not models:
        raise WheelFailed("the wheel carries no model")
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    if tops != {"dicomnn", "scp"}:
        raise WheelFailed(f"the wheel would put {sorted(tops)} into site-packages")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        raise WheelFailed("the wheel carries no licence")
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB, {len(names)} files, {len(models)} models")


def round_trip(binaries: Path, folder: Path) -> None:
    """Compress, verify and restore with the installed command; the restored bytes are the original's."""
    before, coded, after = folder / "before", folder / "coded", folder / "after"
    for name in SAMPLES:
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / "sample_data" / name, before / name)
    dicomnn = binaries / "dicomnn"
    call(dicomnn, "compress", before, coded, folder=folder)
    call(dicomnn, "verify", coded, folder=folder)
    call(dicomnn, "restore", coded, after, folder=folder)
    for name in SAMPLES:
        original, small = (before / name).read_bytes(), (coded / name).stat().st_size
        if small >= len(original):
            raise WheelFailed(f"{name} did not become smaller: {len(original)} to {small} bytes")
        if (after / name).read_bytes() != original:
            raise WheelFailed(f"{name} did not come back identical")
        print(f"{name}: {len(original)} bytes, coded {small}, restored identical")


def main() -> int:
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="dicomnn-wheel-"))
    try:
        wheel = build(folder)
        contents(wheel)
        venv.create(folder / "venv", with_pip=True)
        binaries = folder / "venv" / "bin"
        call(binaries / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", wheel,
             folder=folder)
        where = call(binaries / "python", "-c", "import dicomnn; print(dicomnn.__file__)",
                     folder=folder).strip()
        if not Path(where).is_relative_to(folder):
            raise WheelFailed(f"the checkout was imported instead of the wheel: {where}")
        round_trip(binaries, folder)
    except WheelFailed as failure:
        print(f"wheel-test failed: {failure}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"the wheel works outside of the checkout ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
