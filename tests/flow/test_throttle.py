"""Hours and rates of a migration."""

from __future__ import annotations

import threading
import time

import pytest

from dicomnn.errors import UsageError
from dicomnn.flow.migration.source import Stopped
from dicomnn.flow.migration.throttle import Rate, Throttle, Window


@pytest.mark.parametrize(
    "text, minute, is_open",
    [
        ("20:00-06:00", 20 * 60, True),
        ("20:00-06:00", 0, True),
        ("20:00-06:00", 6 * 60, False),
        ("20:00-06:00", 12 * 60, False),
        ("08:30-09:00", 8 * 60 + 30, True),
        ("08:30-09:00", 9 * 60, False),
        ("18:00-24:00", 23 * 60 + 59, True),
        ("18:00-24:00", 0, False),
    ],
)
def test_a_window_is_open_from_its_first_minute_to_before_its_last(
    text: str, minute: int, is_open: bool
) -> None:
    assert Window.parse(text).open_at(minute) is is_open


@pytest.mark.parametrize(
    "text, per_second, of_bytes",
    [
        ("50", 50, False),
        ("50/s", 50, False),
        ("600/min", 10, False),
        ("36/h", 0.01, False),
        ("20MB/s", 20e6, True),
        ("1.5 GB/h", 1.5e9 / 3600, True),
        ("80kB", 80e3, True),
    ],
)
def test_rates_are_instances_or_bytes(text: str, per_second: float, of_bytes: bool) -> None:
    rate = Rate.parse(text)
    assert rate.per_second == pytest.approx(per_second) and rate.of_bytes is of_bytes


@pytest.mark.parametrize(
    "parse, text",
    [
        (Window.parse, "8-9"),
        (Window.parse, "08:00-08:00"),
        (Window.parse, "25:00-26:00"),
        (Window.parse, "08:61-09:00"),
        (Rate.parse, "fast"),
        (Rate.parse, "0/s"),
        (Rate.parse, "5 MiB"),
        (Rate.parse, "-3"),
    ],
)
def test_what_is_no_window_or_rate_is_refused(parse: object, text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)  # type: ignore[operator]


def test_outside_of_its_window_work_waits_and_says_for_what() -> None:
    minutes = iter([60, 60, 120])
    said = []
    throttle = Throttle(
        [Window.parse("02:00-03:00")], clock=lambda: _told(throttle, said, next(minutes)), look_seconds=0.001
    )
    throttle.window()
    assert said == ["", "the window 02:00-03:00", "the window 02:00-03:00"] and throttle.waits_for == ""


def _told(throttle: Throttle, said: list[str], minute: int) -> int:
    said.append(throttle.waits_for)
    return minute


def test_a_stop_ends_the_wait_for_a_window() -> None:
    stop = threading.Event()
    throttle = Throttle([Window.parse("02:00-03:00")], stop=stop, clock=lambda: 0, look_seconds=30.0)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        throttle.window()


@pytest.mark.parametrize("rate, size", [("100/s", 12345), ("1MB/s", 10000)])
def test_no_more_comes_than_the_rate_allows(rate: str, size: int) -> None:
    throttle = Throttle(rate=Rate.parse(rate))
    started = time.monotonic()
    for _ in range(20):
        throttle.spent(size)
    assert time.monotonic() - started >= 0.19
