"""A part of a Markdown page that a command writes: what lies between its two marks."""

from __future__ import annotations

from pathlib import Path

from dicomnn.errors import UsageError


def marks(name: str) -> tuple[str, str]:
    """First and last line of the part that the command `name` writes."""
    return f"<!-- made by `{name}`: begin -->", f"<!-- made by `{name}`: end -->"


def part(page: Path, name: str) -> tuple[str, str]:
    """What stands before and behind the part. Raises UsageError where its marks are not there just once."""
    begin, end = marks(name)
    try:
        whole = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The page {page} cannot be read: {error.strerror or error}.") from error
    if whole.count(begin) != 1 or whole.count(end) != 1 or whole.index(begin) > whole.index(end):
        cure = f"Put in two lines: {begin} and {end}."
        raise UsageError(f"{page} has no part for this command.", cure=cure)
    return whole.split(begin)[0], whole.split(end)[1]


def fill(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks of `name`. Raises UsageError."""
    head, tail = part(page, name)
    begin, end = marks(name)
    page.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}", encoding="utf-8")
