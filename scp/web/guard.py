"""Who may do what over HTTP: the one place where a request is let in or refused.

`factory.py` asks the `Guard` before every request and keeps the caller in ``flask.g.caller``; what answers a
request asks the caller for the right that it needs, and nothing else decides.

While there is no user the node is open to its own machine; names in ``Host`` must be that machine's too, so
that a page elsewhere cannot reach it through a name of its own (DNS rebinding). Browsers show a cookie
(SameSite=Strict), and with everything that changes something the key that stands in our forms; clients of
DICOMweb show a token, as Bearer or as the password of Basic.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request

from dicomnn.errors import DicomnnError
from dicomnn.flow.accounts import CONTRIBUTOR, VIEWER, Accounts, TooManyFailures, User
from scp.loopback import is_loopback

READ, STORE, MANAGE = "read", "store", "manage"
EVERYTHING = frozenset({READ, STORE, MANAGE})
RIGHTS = {VIEWER: frozenset({READ}), CONTRIBUTOR: frozenset({READ, STORE})}
COOKIE = "dicomnn_session"
FORM_KEY = "form_key"
FORM_KEY_HEADER = "X-Form-Key"
SAFE = ("GET", "HEAD", "OPTIONS")
PUBLIC = ("pages.asset", "pages.sign_in", "pages.healthy")
NOBODY = frozenset[str]()
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Refused(Exception):
    """The request is not served. `status`: 401 (say who you are), 403 (not you), 429 (later)."""

    def __init__(self, status: int, sentence: str, retry_after: int = 0) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after


@dataclass(frozen=True)
class Caller:
    """Who asks, and what that one may do. `name` is empty while nobody has to say who he is.

    form_key: what this caller's forms must hold; empty for clients that are no browser.
    """

    name: str
    address: str
    rights: frozenset[str]
    role: str = ""
    form_key: str = ""

    def must(self, right: str) -> None:
        """Raises Refused without this right."""
        if right not in self.rights:
            raise Refused(403, f"this needs the right to {right}" + (
                f"; {self.name} is {self.role}" if self.name else ""))

    @property
    def who(self) -> str:
        """For the audit table."""
        return self.name or ("anybody on this machine" if self.rights else "nobody")


class Guard:
    """Lets requests in. Thread-safe."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.open_key = secrets.token_urlsafe(24)       # of the forms while there is no user

    def admit(self, request: Request) -> Caller:
        """The caller of a request. Raises Refused."""
        address = request.remote_addr or ""
        if request.headers.get("Authorization", ""):
            user = self._client(request, address)
            return Caller(user.name, address, RIGHTS.get(user.role, EVERYTHING), user.role)
        _same_site(request)
        found = self.accounts.session(request.cookies.get(COOKIE, ""))
        if found is not None:
            session, user = found
            return _checked(request, Caller(user.name, address, RIGHTS.get(user.role, EVERYTHING), user.role,
                                            session.form_key))
        if not self.accounts.any():
            return self._open(request, address)
        if request.endpoint in PUBLIC or request.method == "OPTIONS":
            return Caller("", address, NOBODY)
        raise Refused(401, "please sign in")

    def _open(self, request: Request, address: str) -> Caller:
        """Whoever is on this machine may do everything; nobody else is served."""
        if not is_loopback(address):
            raise Refused(403, "only callers on this machine are served while there is no user")
        name = urlsplit(f"//{request.host}").hostname or ""
        if not is_loopback(name):
            raise Refused(403, "this name is not one of this machine's own (127.0.0.1, localhost)")
        return _checked(request, Caller("", address, EVERYTHING, form_key=self.open_key))

    def _client(self, request: Request, address: str) -> User:
        """Whoever shows a token, or name and password by Basic."""
        shown = request.authorization
        if shown is None:
            raise Refused(401, "the Authorization header cannot be read")
        secret = (shown.token if shown.type == "bearer" else shown.password) or ""
        user = self.accounts.by_token(secret)
        if user is None and shown.type == "basic" and not secret.startswith("dnn_"):
            try:
                user = self.accounts.check(shown.username or "", secret, address)
            except TooManyFailures as error:
                raise Refused(429, error.message, int(error.seconds) + 1) from error
            except DicomnnError as error:
                raise Refused(401, error.message) from error
        if user is None:
            raise Refused(401, "this token is worth nothing")
        return user


def _checked(request: Request, caller: Caller) -> Caller:
    """A browser that wants to change something must have read one of our pages: its forms hold a key.

    Left out are signing in and DICOMweb of an open node: who does that has no page of ours, and a browser's
    foreign page has been refused by `_same_site`.
    """
    client = not caller.name and request.path.startswith("/dicom-web")
    if request.method in SAFE or request.endpoint == "pages.sign_in" or client:
        return caller
    shown = request.headers.get(FORM_KEY_HEADER, "")
    if not shown and request.mimetype in _FORMS:
        shown = request.form.get(FORM_KEY, "")
    if not secrets.compare_digest(shown.encode(), caller.form_key.encode()):
        raise Refused(403, "this form is out of date; load the page again")
    return caller


def _same_site(request: Request) -> None:
    """Refuses what a page of another site makes a browser send, where it changes something."""
    if request.method in SAFE:
        return
    origin = request.headers.get("Origin", "")
    if (origin and urlsplit(origin).netloc != request.host) or request.headers.get(
            "Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "requests from other sites are refused")
