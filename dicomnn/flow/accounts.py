"""Who somebody is: users and their passwords, browsers that signed in, tokens of DICOMweb clients.

Passwords are kept as scrypt hashes (werkzeug's: 32 MiB of memory and some 100 ms each), cookies and tokens
as SHA-256 digests: what the index holds lets nobody in. Wrong passwords make the next try wait, by name and
by address, and the index remembers them over a restart.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from werkzeug.security import check_password_hash, generate_password_hash

from dicomnn.archive.accounts import ADMINISTRATOR, CONTRIBUTOR, ROLES, VIEWER, Deed, Session, Token, User
from dicomnn.errors import DicomnnError, UsageError
from dicomnn.flow.opening import Archive

__all__ = ["ADMINISTRATOR", "CONTRIBUTOR", "ROLES", "VIEWER", "Accounts", "Deed", "SignedIn", "Token",
           "TooManyFailures", "User", "WrongPassword", "may"]

SHORTEST, LONGEST = 10, 256             # characters of a password
IDLE_SECONDS = 2 * 3600.0               # a session that nobody uses ends
LONGEST_SECONDS = 12 * 3600.0           # and any other after a working day
SEEN_EVERY = 60.0
TOKEN_PREFIX = "dnn_"
FORGET_SECONDS = 3600.0                 # a failed sign-in counts for an hour
LONGEST_WAIT = 900.0
FREE_TRIES = {"pair": 4, "name": 30, "address": 20}
"""Failures without a pause: of a name from one address, of a name, from an address. Nobody who types
somebody else's name locks that one out for long, and nobody tries all names from one place."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class WrongPassword(DicomnnError):
    """Name or password is wrong; which of them is not said."""

    code = "wrong-password"
    cure = "Check name and password; an administrator can set a new password."


class TooManyFailures(DicomnnError):
    """A sign-in must wait. ``seconds``: how long."""

    code = "too-many-failures"
    cure = "Wait, then try again."

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong passwords; the next try is possible in {max(1, round(seconds))} s")
        self.seconds = seconds


@dataclass(frozen=True)
class SignedIn:
    """``cookie`` is told once and kept by the browser."""

    user: User
    cookie: str
    form_key: str
    seconds: float


def may(role: str, needed: str) -> bool:
    """Whether ``role`` includes ``needed``."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


class Accounts:
    """Accounts over one archive. Thread-safe."""

    def __init__(self, archive: Archive) -> None:
        self.kept = archive.index.accounts
        self._decoy = ""

    def _clock(self) -> float:
        return self.kept.clock()

    # ------------------------------------------------------------------ users
    def any(self) -> bool:
        """Whether there is a user at all; without one, the pages are open to this machine."""
        return bool(self.kept.users())

    def users(self) -> list[User]:
        return self.kept.users()

    def add(self, name: str, role: str, password: str, *, by: str) -> None:
        """Raises UsageError: no name, no role, a weak password, or the name is taken."""
        name = _name(name)
        _role(role)
        if not self.any() and role != ADMINISTRATOR:
            raise UsageError(f"the first user must be an {ADMINISTRATOR}",
                             cure="Add an administrator first, then the others.")
        if not self.kept.add_user(name, role, _hashed(password, name), by):
            raise UsageError(f"there is a user '{name}' already", cure="Choose another name.")

    def set_password(self, name: str, password: str) -> None:
        """Ends the sessions of that user. Raises UsageError."""
        if not self.kept.change_user(_name(name), password=_hashed(password, name)):
            raise _no_user(name)

    def set_role(self, name: str, role: str) -> None:
        """Raises UsageError, also for the last administrator."""
        _role(role)
        if role != ADMINISTRATOR:
            self._not_the_last(name)
        if not self.kept.change_user(_name(name), role=role):
            raise _no_user(name)

    def remove(self, name: str) -> None:
        """With sessions and tokens. The last user of all may go: then the pages are open to this machine.

        Raises UsageError: no such user, or the last administrator while there are others."""
        if len(self.kept.users()) > 1:
            self._not_the_last(name)
        if not self.kept.remove_user(_name(name)):
            raise _no_user(name)

    def _not_the_last(self, name: str) -> None:
        others = [user for user in self.kept.users() if user.role == ADMINISTRATOR and user.name != name]
        if not others:
            raise UsageError("there would be no administrator left",
                             cure="Make somebody else an administrator first.")

    # ------------------------------------------------------------------ browsers
    def sign_in(self, name: str, password: str, address: str) -> SignedIn:
        """Raises TooManyFailures before the password is looked at, and WrongPassword."""
        user = self.check(name, password, address)
        now = self._clock()
        cookie, form_key = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        self.kept.open_session(Session(_digest(cookie), user.name, form_key, address, now, now,
                                       now + IDLE_SECONDS))
        return SignedIn(user, cookie, form_key, LONGEST_SECONDS)

    def check(self, name: str, password: str, address: str) -> User:
        """The user with this name and password; counts failures. Raises as `sign_in`."""
        keys = _failure_keys(name, address)
        wait = self._wait(keys)
        if wait > 0:
            raise TooManyFailures(wait)
        user = self.kept.user(name) if _NAME.fullmatch(name) else None
        # An unknown name takes as long as a wrong password, so that names cannot be found by the clock.
        right = check_password_hash(user.password if user else self._decoy_hash(), password[:LONGEST])
        if user is None or not right:
            self.kept.failed(list(keys), self._clock() - FORGET_SECONDS)
            raise WrongPassword("name or password is wrong")
        self.kept.succeeded([key for key, kind in keys.items() if kind != "address"])
        return user

    def _wait(self, keys: dict[str, str]) -> float:
        """Seconds until the next try is looked at; doubles with each failure beyond the free ones."""
        now, longest = self._clock(), 0.0
        for key, (count, last) in self.kept.failures(list(keys)).items():
            beyond = count - FREE_TRIES[keys[key]]
            if beyond > 0 and now - last < FORGET_SECONDS:
                longest = max(longest, last + min(2.0 ** beyond, LONGEST_WAIT) - now)
        return longest

    def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = generate_password_hash(secrets.token_hex(16))
        return self._decoy

    def session(self, cookie: str) -> tuple[Session, User] | None:
        """Whose browser shows this cookie; the session lives on."""
        found = self.kept.session(_digest(cookie)) if cookie else None
        if found is None:
            return None
        session, _ = found
        now = self._clock()
        if now > session.created_at + LONGEST_SECONDS:
            self.kept.close_session(session.digest)
            return None
        if now - session.seen_at > SEEN_EVERY:
            self.kept.session_seen(session.digest, now + IDLE_SECONDS)
        return found

    def sign_out(self, cookie: str) -> None:
        self.kept.close_session(_digest(cookie))

    # ------------------------------------------------------------------ DICOMweb clients
    def new_token(self, name: str, label: str) -> str:
        """A token, told once. Raises UsageError."""
        if self.kept.user(_name(name)) is None:
            raise _no_user(name)
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.kept.add_token(name, _digest(token), label.strip()[:64] or "unnamed")
        return token

    def tokens(self, name: str) -> list[Token]:
        return self.kept.tokens(name)

    def remove_token(self, name: str, token_id: int) -> None:
        """Raises UsageError."""
        if not self.kept.remove_token(name, token_id):
            raise UsageError(f"'{name}' has no token number {token_id}", cure="List the tokens first.")

    def by_token(self, token: str) -> User | None:
        """Whose client shows this token."""
        found = self.kept.token(_digest(token)) if token.startswith(TOKEN_PREFIX) else None
        if found is None:
            return None
        known, user = found
        if known.used_at is None or self._clock() - known.used_at > SEEN_EVERY:
            self.kept.token_used(known.id)
        return user

    # ------------------------------------------------------------------ what was done
    def note(self, who: str, action: str, *, subject: str = "", address: str = "", outcome: str = "done",
             detail: str = "") -> None:
        """A line of the audit table, durable on return."""
        self.kept.note(Deed(self._clock(), who[:64], action[:64], subject[:128], address[:64], outcome[:32],
                            detail[:500]))

    def deeds(self, limit: int, *, before: int | None = None, who: str = "", subject: str = "") -> list[Deed]:
        """See `dicomnn.archive.accounts`."""
        return self.kept.deeds(limit, before=before, who=who, subject=subject)


# ---------------------------------------------------------------------- small parts
def _failure_keys(name: str, address: str) -> dict[str, str]:
    folded = hashlib.sha256(unicodedata.normalize("NFKC", name).casefold().encode("utf-8", "replace"))
    who = folded.hexdigest()[:24]           # what somebody typed into the field of the name may be a password
    return {f"{who} {address}": "pair", who: "name", f"from {address}": "address"}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name[:64]}' is no user name", cure="1 to 64 letters, digits and . _ @ -, "
                         "beginning with a letter or digit.")
    return name


def _role(role: str) -> None:
    if role not in ROLES:
        raise UsageError(f"'{role[:32]}' is no role; the roles are {', '.join(ROLES)}")


def _no_user(name: str) -> UsageError:
    return UsageError(f"there is no user '{name}'", cure="See: dicomnn users list")


def _hashed(password: str, name: str) -> str:
    """Raises UsageError for what anybody would guess."""
    problems: Sequence[tuple[bool, str]] = (
        (len(password) < SHORTEST, f"it has fewer than {SHORTEST} characters"),
        (len(password) > LONGEST, f"it has more than {LONGEST} characters"),
        (len(set(password)) < 5, "it has fewer than 5 different characters"),
        (name.casefold() in password.casefold(), "the user's name is in it"))
    for wrong, why in problems:
        if wrong:
            raise UsageError(f"this password cannot be taken: {why}", cure="Choose another one; several "
                             "words that do not belong together are easy to remember.")
    return generate_password_hash(password)
