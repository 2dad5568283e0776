"""A file has one subject: the length guard, and the names that would gather several."""

from __future__ import annotations

from pathlib import Path

LONGEST = 400
ROOMS = ("dicomnn", "scp", "demo", "sample_data", "benchmarks", "tests")
GATHERING_NAMES = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


def sources(checkout: Path) -> list[Path]:
    return sorted(path for room in ROOMS for path in (checkout / room).rglob("*.py"))


def test_no_source_file_is_longer_than_400_lines(checkout: Path) -> None:
    lengths = {str(path.relative_to(checkout)): len(path.read_text(encoding="utf-8").splitlines())
               for path in sources(checkout)}
    assert len(lengths) > 20
    too_long = {name: length for name, length in lengths.items() if length > LONGEST}
    assert not too_long, f"split by subject: {too_long}"


def test_no_file_is_named_for_gathering_many_subjects(checkout: Path) -> None:
    gathering = [str(path) for path in sources(checkout) if path.name in GATHERING_NAMES]
    assert not gathering, f"name the subject instead: {gathering}"
