"""What a room can do without: the imports are blocked in a fresh interpreter, and the room still loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# A finder that refuses the named top-level modules, put first, so an import of one fails as if not installed.
BLOCKING = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked in this test")
        return None
sys.meta_path.insert(0, Blocked())
"""


def run_blocked(blocked: set[str], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """``code`` in a new interpreter where the ``blocked`` packages cannot be imported."""
    script = BLOCKING.format(blocked=blocked) + code
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)


def test_the_codec_loads_where_pydicom_sqlalchemy_and_flask_are_missing(checkout: Path) -> None:
    blocked = {"pydicom", "pynetdicom", "sqlalchemy", "alembic", "flask", "fsspec", "click", "structlog"}
    code = """
import importlib, pkgutil, dicomnn.codec
names = [m.name for m in pkgutil.walk_packages(dicomnn.codec.__path__, "dicomnn.codec.")]
assert len(names) > 10, names
for name in names:
    importlib.import_module(name)
ours = {n for n in sys.modules if n == "dicomnn" or n.startswith(("dicomnn.", "scp"))}
strangers = {n for n in ours if not n.startswith("dicomnn.codec")} - {"dicomnn", "dicomnn.errors"}
assert not strangers, strangers
"""
    done = run_blocked(blocked, code, checkout)
    assert done.returncode == 0, done.stderr


def test_the_reference_decoder_loads_without_torch_and_numba_and_knows_errors_alone(checkout: Path) -> None:
    code = """
import dicomnn.codec.reference
ours = {n for n in sys.modules if n == "dicomnn" or n.startswith(("dicomnn.", "scp"))}
strangers = {n for n in ours if not n.startswith("dicomnn.codec.reference")}
assert strangers <= {"dicomnn", "dicomnn.errors", "dicomnn.codec"}, strangers
"""
    done = run_blocked({"torch", "numba", "pydicom", "sqlalchemy", "flask"}, code, checkout)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ["dicomnn", "dicomnn.errors", "dicomnn.dicom", "dicomnn.archive", "scp"])
def test_importing_a_room_loads_no_torch(room: str, checkout: Path) -> None:
    done = run_blocked({"torch"}, f"import {room}", checkout)
    assert done.returncode == 0, done.stderr


def test_importing_dicomnn_starts_nothing(checkout: Path) -> None:
    code = """
import threading, multiprocessing, dicomnn
assert threading.active_count() == 1, threading.enumerate()
assert not multiprocessing.active_children()
heavy = {"torch", "numba", "pydicom", "sqlalchemy", "pynetdicom"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_blocked(set(), code, checkout)
    assert done.returncode == 0, done.stderr


def imported_modules(path: Path) -> set[str]:
    """Top-level names that a source file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_intnet_holds_the_only_torch_import_of_the_codec(checkout: Path) -> None:
    importers = {path.name for path in (checkout / "dicomnn" / "codec").rglob("*.py")
                 if "torch" in imported_modules(path)}
    assert importers == {"intnet.py"}
