"""docs/dimse.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dicomnn.dicom.query_keys import KEYS, Level
from scp.dimse import status
from scp.dimse.contexts import SERVICES


@pytest.fixture(scope="module")
def page(checkout: Path) -> str:
    return (checkout / "docs" / "dimse.md").read_text(encoding="utf-8")


def test_every_service_is_listed_and_no_other(page: str) -> None:
    listed = re.findall(r"^\| [^|]+ \| (1\.2\.840[\d.]+) \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(SERVICES)


@pytest.mark.parametrize("level", Level)
def test_every_key_is_listed_at_its_level_and_no_other(page: str, level: Level) -> None:
    (row,) = re.findall(rf"^\| {level.name} \| (.+) \|$", page, flags=re.MULTILINE)
    matched = [key.keyword for key in KEYS.values() if key.level is level and not key.returned_only]
    assert row.split(", ") == matched


def test_what_is_returned_and_not_matched_is_listed(page: str) -> None:
    (row,) = re.findall(r"^\| returned, not matched \| (.+) \|$", page, flags=re.MULTILINE)
    assert row.split(", ") == [key.keyword for key in KEYS.values() if key.returned_only]


def test_every_status_that_the_node_can_give_is_listed(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| C-") or line.startswith("| | ")]
    listed = {int(code, 16) for row in rows for code in re.findall(r"\b[0-9A-F]{4}\b", row.split("|")[2])}
    given = {row.find for row in status.TABLE.values()} | {row.retrieve for row in status.TABLE.values()}
    given |= {row.store for row in status.TABLE.values()} - {status.NO_SUCH_INSTANCE}
    given |= {status.SUCCESS, status.PENDING, status.PENDING_UNSUPPORTED_KEYS, status.CANCELLED,
              status.UNKNOWN_DESTINATION, status.SOME_SUBOPERATIONS_FAILED, status.CLASS_NOT_SUPPORTED,
              status.DATA_SET_MISMATCH_WARNING}
    assert given == listed
