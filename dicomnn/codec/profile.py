"""Profiles (what is promised about the pixels) and efforts (how long the encoder may try)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomnn.errors import ProfileNotAvailable, UsageError

EFFORTS = ("fast", "default", "max")
KINDS = ("keep", "lossless", "bounded")
MAX_BOUND = 65535


@dataclass(frozen=True)
class Profile:
    """``keep`` (bytes as received), ``lossless``, or ``bounded`` with every stored value within ``bound``."""

    kind: str
    bound: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"'{self.kind}' is no profile; the profiles are keep, lossless and bounded:N.")
        if self.kind == "bounded" and not 1 <= self.bound <= MAX_BOUND:
            raise UsageError(f"The bound of 'bounded' must lie in 1..{MAX_BOUND}, not {self.bound}.")
        if self.kind != "bounded" and self.bound != 0:
            raise UsageError(f"The profile {self.kind} takes no bound (it was {self.bound}).")

    @classmethod
    def parse(cls, text: str) -> Profile:
        """``'keep'``, ``'lossless'`` or ``'bounded:N'``. Raises UsageError, ProfileNotAvailable
        (``lossy:*``).
        """
        text = text.strip()
        if text == "lossy" or text.startswith("lossy:"):
            raise ProfileNotAvailable(f"The profile '{text}' is not available in this version.")
        if text in ("keep", "lossless"):
            return cls(text)
        match = re.fullmatch(r"bounded:([0-9]{1,9})", text)
        if match is None:
            raise UsageError(
                f"'{text}' is no profile; the profiles are keep, lossless and bounded:N (N >= 1)."
            )
        return cls("bounded", int(match.group(1)))

    def __str__(self) -> str:
        return f"bounded:{self.bound}" if self.kind == "bounded" else self.kind
