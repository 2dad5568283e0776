"""Every trap of docs/traps.md is held by tests that are there."""

from __future__ import annotations

import re
from pathlib import Path


def test_every_test_that_the_page_names_exists(checkout: Path) -> None:
    text = (checkout / "docs" / "traps.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 40
    missing = [f"{path}::{name}" for path, name in named
               if not re.search(rf"^\s*def {name}\(", (checkout / path).read_text(encoding="utf-8"),
                                flags=re.MULTILINE)]
    assert not missing


def test_every_trap_has_a_test(checkout: Path) -> None:
    text = (checkout / "docs" / "traps.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines()
            if line.startswith("| ") and not line.startswith(("| trap", "| ---"))]
    assert len(rows) > 40 and all("::test_" in row for row in rows)


def test_every_test_that_is_called_a_trap_is_on_the_page(checkout: Path) -> None:
    text = (checkout / "docs" / "traps.md").read_text(encoding="utf-8")
    called = {name for path in (checkout / "tests").rglob("*.py")
              for name in re.findall(r"def (test_trap_\w+)\(", path.read_text(encoding="utf-8"))}
    assert not {name for name in called if name not in text}
