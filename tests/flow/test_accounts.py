"""Signing in: passwords, waiting after wrong ones, tokens, and administrators that cannot vanish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnn.errors import UsageError
from dicomnn.flow import accounts as room
from dicomnn.flow.accounts import Accounts, TooManyFailures, WrongPassword
from dicomnn.flow.opening import Place, open_archive
from tests.flow.conftest import Walks

PASSWORD = "seven green lamps"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(walks: Walks, clock: Clock) -> Accounts:
    walks.archive.index.accounts.clock = clock
    made = Accounts(walks.archive)
    made.add("ann", "administrator", PASSWORD, by="test")
    return made


def wrong(accounts: Accounts, times: int, name: str = "ann", address: str = "10.0.0.1") -> int:
    """How many of the tries had to wait."""
    waited = 0
    for _ in range(times):
        with pytest.raises((WrongPassword, TooManyFailures)) as caught:
            accounts.sign_in(name, "not the password", address)
        waited += isinstance(caught.value, TooManyFailures)
    return waited


def test_the_right_password_opens_a_session_that_a_cookie_finds(accounts: Accounts) -> None:
    entered = accounts.sign_in("ann", PASSWORD, "10.0.0.1")
    found = accounts.session(entered.cookie)
    assert found is not None and found[1].role == "administrator"
    accounts.sign_out(entered.cookie)
    assert accounts.session(entered.cookie) is None


def test_neither_passwords_nor_cookies_nor_tokens_lie_in_the_index(accounts: Accounts, walks: Walks) -> None:
    cookie = accounts.sign_in("ann", PASSWORD, "10.0.0.1").cookie
    token = accounts.new_token("ann", "ohif")
    walks.archive.close()
    kept = b"".join(path.read_bytes() for path in Path(walks.archive.store.root).rglob("index.sqlite*"))  # type: ignore[attr-defined]
    assert b"scrypt:" in kept
    for secret in (PASSWORD, cookie, token):
        assert secret.encode() not in kept


def test_ten_wrong_passwords_make_the_next_wait_and_the_wait_outlives_a_restart(
    accounts: Accounts, clock: Clock, walks: Walks, tmp_path: Path
) -> None:
    assert wrong(accounts, 10) >= 5
    with open_archive(Place(str(tmp_path / "archive"))) as again:
        again.index.accounts.clock = clock
        restarted = Accounts(again)
        with pytest.raises(TooManyFailures) as caught:
            restarted.sign_in("ann", PASSWORD, "10.0.0.1")
        clock.now += caught.value.seconds + 1
        assert restarted.sign_in("ann", PASSWORD, "10.0.0.1").user.name == "ann"


def test_who_types_somebody_elses_name_does_not_lock_that_one_out(accounts: Accounts) -> None:
    wrong(accounts, 12, address="10.0.0.66")
    assert accounts.sign_in("ann", PASSWORD, "10.0.0.1").user.name == "ann"


def test_the_wait_grows_and_has_an_end(accounts: Accounts, clock: Clock) -> None:
    waits = []
    for _ in range(16):
        try:
            accounts.sign_in("ann", "not the password", "10.0.0.1")
        except WrongPassword:
            pass
        except TooManyFailures as error:
            waits.append(error.seconds)
            clock.now += error.seconds + 0.1
    assert waits == sorted(waits) and waits[0] <= 2.0 and max(waits) <= room.LONGEST_WAIT


def test_an_unknown_name_and_a_wrong_password_are_told_the_same(accounts: Accounts) -> None:
    told = []
    for name in ("ann", "nobody", "<script>"):
        with pytest.raises(WrongPassword) as caught:
            accounts.sign_in(name, "not the password", "10.0.0.2")
        told.append(str(caught.value))
    assert len(set(told)) == 1


def test_a_session_ends_when_nobody_uses_it_and_after_a_day_of_use(accounts: Accounts, clock: Clock) -> None:
    cookie = accounts.sign_in("ann", PASSWORD, "10.0.0.1").cookie
    for _ in range(11):
        clock.now += 3600
        assert accounts.session(cookie) is not None
    clock.now += 3601
    assert accounts.session(cookie) is None
    cookie = accounts.sign_in("ann", PASSWORD, "10.0.0.1").cookie
    clock.now += room.IDLE_SECONDS + 1
    assert accounts.session(cookie) is None


def test_a_token_works_until_it_is_revoked(accounts: Accounts) -> None:
    token = accounts.new_token("ann", "ohif")
    found = accounts.by_token(token)
    assert found is not None and found.name == "ann" and accounts.by_token(token + "x") is None
    accounts.remove_token("ann", accounts.tokens("ann")[0].id)
    assert accounts.by_token(token) is None


@pytest.mark.parametrize("change", [
    lambda accounts: accounts.remove("ann"),
    lambda accounts: accounts.set_role("ann", "viewer"),
])
def test_the_last_administrator_stays(accounts: Accounts, change: Callable[[Accounts], None]) -> None:
    accounts.add("bob", "viewer", PASSWORD, by="test")
    with pytest.raises(UsageError, match="no administrator left"):
        change(accounts)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "annannann1", "x" * 300])
def test_a_password_that_anybody_would_guess_is_refused(accounts: Accounts, password: str) -> None:
    with pytest.raises(UsageError, match="cannot be taken"):
        accounts.set_password("ann", password)


def test_the_first_user_is_an_administrator(walks: Walks) -> None:
    with pytest.raises(UsageError, match="first user"):
        Accounts(walks.archive).add("bob", "viewer", PASSWORD, by="test")
