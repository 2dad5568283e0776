"""Who may do what over HTTP: the one place where a request is let in or refused.

`factory.py` calls `admit` before every request and keeps the caller in ``flask.g.caller``; what answers a
request asks the caller for the right that it needs, and nothing else decides.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from flask import Request

READ, STORE, MANAGE = "read", "store", "manage"
EVERYTHING = frozenset({READ, STORE, MANAGE})


class Refused(Exception):
    """The request is not served. `status`: 401 (say who you are) or 403 (not you)."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class Caller:
    """Who asks, and what that one may do. `name` is empty while nobody has to say who he is."""

    name: str
    address: str
    rights: frozenset[str]

    def must(self, right: str) -> None:
        """Raises Refused without this right."""
        if right not in self.rights:
            raise Refused(403, f"this needs the right to {right}")


def admit(request: Request) -> Caller:
    """The caller of a request. Raises Refused.

    Open on loopback: whoever is on this machine may do everything; nobody else is served.
    """
    address = request.remote_addr or ""
    if not is_loopback(address):
        raise Refused(403, "only callers on this machine are served")
    return Caller("", address, EVERYTHING)


def is_loopback(address: str) -> bool:
    """Whether an address of a socket is this machine's own; ::ffff:127.0.0.1 is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address == "localhost"
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)
