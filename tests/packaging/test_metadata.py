"""setup.cfg says what is shipped and needed; these tests hold it against what is there."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path, PurePath

import pytest

# Where the name that is imported differs from the name that is installed.
INSTALLED_AS = {"jpeg_ls": "pyjpegls", "skimage": "scikit-image", "simpleitk": "SimpleITK", "pil": "pillow",
                "prometheus_client": "prometheus-client"}
COPYLEFT = re.compile(r"\b(?:A?GPL|GNU (?:AFFERO )?GENERAL)", re.IGNORECASE)


@pytest.fixture(scope="module")
def setup_cfg(checkout: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(checkout / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def required(setup_cfg: configparser.ConfigParser) -> dict[str, str]:
    """Name -> whole requirement, of the core and of all extras."""
    found = lines(setup_cfg["options"]["install_requires"])
    for extra in setup_cfg["options.extras_require"].values():
        found += lines(extra)
    return {re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0]: line for line in found}


def test_every_room_is_packaged(setup_cfg: configparser.ConfigParser, checkout: Path) -> None:
    listed = set(lines(setup_cfg["options"]["packages"]))
    there = {".".join(path.parent.relative_to(checkout).parts)
             for room in ("dicomnn", "scp") for path in (checkout / room).rglob("*.py")}
    assert listed - {"dicomnn.models"} == there
    assert setup_cfg["options"]["package_dir"].split() == ["dicomnn.models", "=", "models"]


def test_every_data_file_of_a_room_matches_a_pattern_of_package_data(
        setup_cfg: configparser.ConfigParser, checkout: Path) -> None:
    everywhere = lines(setup_cfg["options.package_data"]["*"])
    packages = {tuple(name.split(".")) for name in lines(setup_cfg["options"]["packages"])}
    left_out = []
    for room in ("dicomnn", "scp"):
        for path in (checkout / room).rglob("*"):
            parts = path.relative_to(checkout).parts
            if path.is_dir() or path.suffix in (".py", ".pyc", ".nbi", ".nbc") or "__pycache__" in parts:
                continue
            above = (parts[:end] for end in range(len(parts) - 1, 0, -1))
            package = next((folder for folder in above if folder in packages), ())
            own = lines(setup_cfg["options.package_data"].get(".".join(package), ""))
            inside = PurePath(*parts[len(package):])
            if not any(inside.match(pattern) and len(PurePath(pattern).parts) == len(inside.parts)
                       for pattern in [*everywhere, *own]):
                left_out.append("/".join(parts))
    assert not left_out, f"these would be missing from the wheel: {left_out}"


def test_torch_is_pinned_to_one_version(setup_cfg: configparser.ConfigParser) -> None:
    assert re.fullmatch(r"torch ?==\d+\.\d+\.\d+", required(setup_cfg)["torch"])


def test_no_index_or_address_is_written_into_the_build(checkout: Path) -> None:
    for name in ("setup.cfg", "pyproject.toml", "Makefile", ".ci/run"):
        text = (checkout / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|https?://(?!127\.0\.0\.1)", text), name


def test_every_dependency_has_a_line_with_its_reason(
        setup_cfg: configparser.ConfigParser, checkout: Path) -> None:
    document = (checkout / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.-]+)` \|(.+)\|$", document, flags=re.MULTILINE))
    assert set(rows) == set(required(setup_cfg))
    for name, row in rows.items():
        licence, reason = [cell.strip() for cell in row.split("|")][:2]
        assert licence and len(reason) > 20, name
        assert not COPYLEFT.search(licence.replace("LGPL", "")), f"{name}: {licence}"


def imports_of(folder: Path) -> dict[str, set[str]]:
    """Top-level module -> files that import it; relative imports are ours and left out."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], set()).add(str(path))
    return found


def test_whatever_is_imported_is_required(setup_cfg: configparser.ConfigParser, checkout: Path) -> None:
    known = {name.lower() for name in required(setup_cfg)}
    for room in ("dicomnn", "scp"):
        for module, files in imports_of(checkout / room).items():
            if module in sys.stdlib_module_names or module in ("dicomnn", "scp"):
                continue
            name = INSTALLED_AS.get(module.lower(), module)
            assert name.lower() in known, f"{name} is imported by {sorted(files)} and not in setup.cfg"


def test_whatever_the_core_requires_is_imported(setup_cfg: configparser.ConfigParser, checkout: Path) -> None:
    imported = {INSTALLED_AS.get(module.lower(), module).lower()
                for room in ("dicomnn", "scp") for module in imports_of(checkout / room)}
    core = {re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0].lower()
            for line in lines(setup_cfg["options"]["install_requires"])}
    assert core <= imported, f"required but never imported: {core - imported}"
