"""How the inner loops of the lossy tier are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that makes no arrays. Numba then need not count references to those it is given, or
    views of them, which costs a row of a small band more than its values do.
    """
    return njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """One that becomes part of its callers, as a call that hands over many arrays costs more than it does."""
    return njit(cache=True, nogil=True, error_model="numpy", inline="always")(function)
