"""Accounts in the index: what is kept, over a restart too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnn.archive.accounts import ADMINISTRATOR, VIEWER, Accounts, Deed, Session, Upload
from dicomnn.archive.index import Index, open_index


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(tmp_path: Path, clock: Clock) -> Iterator[Index]:
    with open_index(f"sqlite:///{tmp_path}/index.sqlite", clock=clock) as opened:
        yield opened


@pytest.fixture
def accounts(index: Index) -> Accounts:
    return index.accounts


def session(digest: str, clock: Clock, name: str = "ann", seconds: float = 60.0) -> Session:
    return Session(digest, name, "key", "127.0.0.1", clock.now, clock.now, clock.now + seconds)


def test_a_name_is_taken_once(accounts: Accounts) -> None:
    assert accounts.add_user("ann", ADMINISTRATOR, "hash", "cli")
    assert not accounts.add_user("ann", VIEWER, "other", "cli")
    assert [(user.name, user.password) for user in accounts.users()] == [("ann", "hash")]


def test_a_session_ends_by_time_by_a_new_password_and_with_its_user(accounts: Accounts, clock: Clock) -> None:
    accounts.add_user("ann", ADMINISTRATOR, "hash", "cli")
    accounts.open_session(session("a", clock))
    found = accounts.session("a")
    assert found is not None and found[1].name == "ann"
    clock.now += 61
    assert accounts.session("a") is None
    accounts.open_session(session("b", clock))
    assert accounts.change_user("ann", password="new")
    assert accounts.session("b") is None
    accounts.open_session(session("c", clock))
    made = accounts.add_token("ann", "t", "viewer")
    assert accounts.token("t") is not None
    assert accounts.remove_user("ann")
    assert accounts.session("c") is None and accounts.token("t") is None and made.label == "viewer"


def test_failures_are_counted_and_forgotten(accounts: Accounts, clock: Clock) -> None:
    for _ in range(3):
        accounts.failed(["a", "b"], clock.now - 100)
    assert accounts.failures(["a", "b", "c"]) == {"a": (3, clock.now), "b": (3, clock.now)}
    accounts.succeeded(["a"])
    assert accounts.failures(["a", "b"]) == {"b": (3, clock.now)}
    clock.now += 200
    accounts.failed(["a"], clock.now - 100)
    assert accounts.failures(["a", "b"]) == {"a": (1, clock.now)}


def test_the_audit_table_is_read_newest_first_by_pages_and_takes_any_text(accounts: Accounts) -> None:
    for number in range(5):
        accounts.note(Deed(float(number), "ann", f"deed {number}\0\ud800", "1.2", "::1", "done"))
    first = accounts.deeds(2)
    assert [deed.at for deed in first] == [4.0, 3.0] and "\0" not in first[0].action
    assert [deed.at for deed in accounts.deeds(9, before=first[-1].id)] == [2.0, 1.0, 0.0]
    assert accounts.deeds(9, who="eve") == [] and len(accounts.deeds(9, subject="1.2")) == 5


def test_an_upload_adds_up_and_is_found_by_its_studies(accounts: Accounts) -> None:
    accounts.begin_upload(Upload("u", "ann", "::1", "lossless", 1.0, 1.0, facts={"a": 1}))
    assert accounts.add_to_upload("u", arrived=2, size=10, studies=["1.2", "1.3", "1.2"])
    assert accounts.add_to_upload("u", failed=1, studies=["1.2"])
    assert not accounts.add_to_upload("none", arrived=1)
    found = accounts.upload("u")
    assert found is not None and (found.arrived, found.failed, found.bytes, tuple(found.studies)) == (
        2, 1, 10, ("1.2", "1.3"))
    assert [upload.id for upload in accounts.uploads(5, study="1.3")] == ["u"]
    assert accounts.uploads(5, study="1.4") == []


def test_what_the_archive_holds_is_remembered_once_an_hour(index: Index, clock: Clock) -> None:
    index.remember()
    index.remember()
    clock.now += 3600
    index.remember()
    assert [held.hour for held in index.history()] == [277, 278]
