"""The cache: within its bytes, least lately used out first, and nothing is made twice at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomnn.flow.byte_cache import ByteCache


def test_what_was_used_least_lately_goes_first_and_the_limit_holds() -> None:
    cache = ByteCache(100)
    for key in "abcd":
        cache.once(key, lambda: b"x" * 25)
    assert cache.size == 100 and cache.get("a") is not None
    cache.once("e", lambda: b"x" * 20)
    assert "b" not in cache and "a" in cache and "e" in cache and cache.size == 95


def test_nothing_is_kept_that_would_push_all_else_out() -> None:
    cache = ByteCache(100)
    assert cache.once("large", lambda: b"x" * 26) == b"x" * 26 and cache.size == 0
    none = ByteCache(0)
    assert none.once("a", lambda: b"1") == b"1" and none.get("a") is None


def test_who_comes_while_it_is_made_waits_for_that_one() -> None:
    cache, made, begun, go = ByteCache(0), [], threading.Event(), threading.Event()

    def make() -> bytes:
        made.append(1)
        begun.set()
        assert go.wait(10)
        return b"value"

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.once, "key", make)
        assert begun.wait(10)
        others = [pool.submit(cache.once, "key", make) for _ in range(3)]
        assert "key" in cache
        go.set()
        results = [each.result(10) for each in (first, *others)]
    assert results == [b"value"] * 4 and 1 <= len(made) <= 4
    assert made[0] == 1


def test_a_failure_is_told_to_all_who_wait_and_kept_for_nobody() -> None:
    cache = ByteCache(100)

    def fail() -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.once("key", fail)
    assert cache.once("key", lambda: b"now") == b"now"
