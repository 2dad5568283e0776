"""Profiles (what is promised about the pixels) and efforts (how long the encoder may try)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomnn.errors import UsageError

EFFORTS = ("fast", "default", "max")
KINDS = ("keep", "lossless", "bounded", "lossy")
CHANGED = ("bounded", "lossy")
"""Kinds that change pixels: a new object, marked as lossy."""
MAX_BOUND = 65535
FIGURES = {"ratio": (1.0, 1000.0), "psnr": (1e-6, 150.0), "ssim": (1e-6, 1.0)}
"""What a lossy profile may promise, with the least and the greatest value (``lossy/promise.py``)."""
PROFILES = "keep, lossless, bounded:N (N >= 1), lossy:ratio=R, lossy:psnr=P and lossy:ssim=S"


@dataclass(frozen=True)
class Profile:
    """``keep`` (bytes as received), ``lossless``, ``bounded`` with every stored value within ``bound``, or
    ``lossy`` with ``figure`` ('ratio', 'psnr' or 'ssim') of at least ``value`` on every frame.
    """

    kind: str
    bound: int = 0
    figure: str = ""
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"'{self.kind}' is no profile; the profiles are {PROFILES}.")
        if self.kind == "bounded" and not 1 <= self.bound <= MAX_BOUND:
            raise UsageError(f"The bound of 'bounded' must lie in 1..{MAX_BOUND}, not {self.bound}.")
        if self.kind != "bounded" and self.bound != 0:
            raise UsageError(f"The profile {self.kind} takes no bound (it was {self.bound}).")
        if (self.kind == "lossy") != bool(self.figure):
            raise UsageError("A lossy profile, and no other, promises a figure.")
        if self.kind == "lossy":
            if self.figure not in FIGURES:
                raise UsageError(f"'{self.figure}' can't be promised; it may be {', '.join(FIGURES)}.")
            least, most = FIGURES[self.figure]
            if not least <= self.value <= most:
                raise UsageError(
                    f"The promise {self.figure}={self.value:g} is out of range: up to {most:g}"
                    + (", and at least 1." if self.figure == "ratio" else ", and more than 0.")
                )

    @classmethod
    def parse(cls, text: str) -> Profile:
        """``'keep'``, ``'lossless'``, ``'bounded:N'``, ``'lossy:ratio=R'``, ``'lossy:psnr=P'`` or
        ``'lossy:ssim=S'``. Raises UsageError.
        """
        text = text.strip()
        if text in ("keep", "lossless"):
            return cls(text)
        if match := re.fullmatch(r"bounded:([0-9]{1,9})", text):
            return cls("bounded", int(match.group(1)))
        if match := re.fullmatch(r"lossy:([a-z]+)=([0-9]{1,6}(?:\.[0-9]{1,6})?)", text):
            return cls("lossy", figure=match.group(1), value=float(match.group(2)))
        raise UsageError(f"'{text}' is no profile; the profiles are {PROFILES}.")

    @property
    def promise(self) -> str:
        """'ratio=10' and the like of a lossy profile, '' of others."""
        return f"{self.figure}={self.value:.9g}" if self.kind == "lossy" else ""

    def __str__(self) -> str:
        if self.kind == "bounded":
            return f"bounded:{self.bound}"
        return f"lossy:{self.promise}" if self.kind == "lossy" else self.kind
