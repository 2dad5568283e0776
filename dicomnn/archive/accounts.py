"""Who may use the pages and DICOMweb, and who did what: the interface of that part of the index.

Knows no password and no cookie: it is given digests and hashes. ``sql/accounts.py`` implements it; it is
reached as `Index.accounts`. Times are seconds since 1970, UTC. Raises `IndexFailed` as the index does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VIEWER, CONTRIBUTOR, ADMINISTRATOR = "viewer", "contributor", "administrator"
ROLES = (VIEWER, CONTRIBUTOR, ADMINISTRATOR)
"""Each may do what the ones before it may."""


@dataclass(frozen=True)
class User:
    """``password`` is a hash."""

    name: str
    role: str
    password: str
    created_at: float
    created_by: str
    changed_at: float


@dataclass(frozen=True)
class Session:
    """A browser that signed in; ``digest`` is that of its cookie, ``form_key`` stands in its forms."""

    digest: str
    name: str
    form_key: str
    address: str
    created_at: float
    seen_at: float
    expires_at: float


@dataclass(frozen=True)
class Token:
    """What a DICOMweb client shows instead of a password; ``digest`` is that of the token."""

    id: int
    digest: str
    name: str
    label: str
    created_at: float
    used_at: float | None


@dataclass(frozen=True)
class Deed:
    """A line of the audit table: who did what to which study, from where, and how it ended."""

    at: float
    who: str
    action: str
    subject: str
    address: str
    outcome: str
    detail: str = ""
    id: int = 0


@dataclass(frozen=True)
class Upload:
    """What somebody sent from a page. The figures are of its files: arrived, the same again, failed."""

    id: str
    who: str
    address: str
    profile: str
    started_at: float
    changed_at: float
    arrived: int = 0
    same: int = 0
    failed: int = 0
    bytes: int = 0
    studies: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Accounts(ABC):
    """See the module's first lines. Thread-safe. ``clock`` gives seconds since 1970; tests set it."""

    clock: Callable[[], float]

    # ---------------------------------------------------------------- users
    @abstractmethod
    def users(self) -> list[User]:
        """In order of names."""

    @abstractmethod
    def user(self, name: str) -> User | None: ...

    @abstractmethod
    def add_user(self, name: str, role: str, password: str, by: str) -> bool:
        """False: there is one with this name."""

    @abstractmethod
    def change_user(self, name: str, *, role: str | None = None, password: str | None = None) -> bool:
        """A new password ends the user's sessions. False: there is no such user."""

    @abstractmethod
    def remove_user(self, name: str) -> bool:
        """With sessions and tokens. False: there is no such user."""

    # ---------------------------------------------------------------- sessions and tokens
    @abstractmethod
    def open_session(self, session: Session) -> None:
        """Also forgets sessions that are over."""

    @abstractmethod
    def session(self, digest: str) -> tuple[Session, User] | None:
        """While it lasts and its user is there."""

    @abstractmethod
    def session_seen(self, digest: str, expires_at: float) -> None: ...

    @abstractmethod
    def close_session(self, digest: str) -> None: ...

    @abstractmethod
    def add_token(self, name: str, digest: str, label: str) -> Token: ...

    @abstractmethod
    def tokens(self, name: str) -> list[Token]: ...

    @abstractmethod
    def token(self, digest: str) -> tuple[Token, User] | None: ...

    @abstractmethod
    def token_used(self, token_id: int) -> None: ...

    @abstractmethod
    def remove_token(self, name: str, token_id: int) -> bool: ...

    # ---------------------------------------------------------------- signing in
    @abstractmethod
    def failures(self, keys: Sequence[str]) -> dict[str, tuple[int, float]]:
        """How often a sign-in failed under each key, and when it did last; keys without any are left out."""

    @abstractmethod
    def failed(self, keys: Sequence[str], forget_before: float) -> None:
        """Once more, just now. What failed last before ``forget_before`` no longer counts."""

    @abstractmethod
    def succeeded(self, keys: Sequence[str]) -> None:
        """Failures under these keys no longer count."""

    # ---------------------------------------------------------------- what was done
    @abstractmethod
    def note(self, deed: Deed) -> None:
        """Durable on return."""

    @abstractmethod
    def deeds(self, limit: int, *, before: int | None = None, who: str = "", subject: str = "") -> list[Deed]:
        """Newest first; ``before``: the id after which to go on."""

    @abstractmethod
    def begin_upload(self, upload: Upload) -> None: ...

    @abstractmethod
    def add_to_upload(self, upload_id: str, *, arrived: int = 0, same: int = 0, failed: int = 0,
                      size: int = 0, studies: Sequence[str] = (), facts: Mapping[str, Any] | None = None
                      ) -> bool:
        """False: there is no such upload."""

    @abstractmethod
    def upload(self, upload_id: str) -> Upload | None: ...

    @abstractmethod
    def uploads(self, limit: int, *, study: str = "") -> list[Upload]:
        """Newest first; of one study, or of all."""
