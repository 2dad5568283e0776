"""Which objects are worth another try, and when the night is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicomnn.archive import Tried
from dicomnn.errors import UsageError
from dicomnn.flow.lift import Night, NightRule, Window, higher, lift_to
from dicomnn.shelf import Shelf, default_shelf
from tests.flow.conftest import Walks
from tests.scp.peer import image

NEWEST = default_shelf().newest().id


@pytest.fixture
def two_models(tmp_path: Path) -> Shelf:
    """A shelf on which an older model was released before the newest one."""
    (tmp_path / "models" / NEWEST).mkdir(parents=True)
    (tmp_path / "models" / NEWEST / "model.bin").write_bytes(default_shelf().model_bytes(NEWEST))
    (tmp_path / "models" / "released.json").write_text(json.dumps({"models": ["0123", NEWEST]}))
    return Shelf([tmp_path / "models"])


@pytest.mark.parametrize(("tried", "model", "meant"), [
    (Tried("fast", NEWEST), "any", True),
    (Tried("default", NEWEST), "any", True),
    (Tried("max", NEWEST), "newest", False),
    (Tried("max", "0123"), "newest", True),
    (Tried("max", "0123"), "any", False),
    (Tried("max", "of a later version"), "newest", False),
    (Tried("max", ""), "newest", True),
    (Tried("max", ""), "any", False),
    (Tried("", NEWEST), "any", True),
])
def test_less_effort_or_an_older_model_is_meant(tried: Tried, model: str, meant: bool,
                                                two_models: Shelf) -> None:
    assert lift_to(two_models, "max", model=model).means(tried) is meant


def test_without_a_model_at_hand_only_the_effort_counts() -> None:
    lift = lift_to(Shelf([]), "default")
    assert lift.means(Tried("fast")) and not lift.means(Tried("default")) and not lift.means(Tried("max"))


def test_the_effort_is_never_less_than_it_was() -> None:
    assert [higher("default", "max"), higher("max", ""), higher("fast", "fast")] == ["max", "max", "fast"]
    assert higher("of a later version", "default") == "default"


@pytest.mark.parametrize(("effort", "model"), [("heroic", "newest"), ("max", "latest")])
def test_what_nobody_knows_is_refused(effort: str, model: str) -> None:
    with pytest.raises(UsageError):
        lift_to(Shelf([]), effort, model=model)


# ------------------------------------------------------------------ the window
@pytest.mark.parametrize(("between", "at", "night"), [
    ("22:00-05:00", "2026-03-02 21:59", None),
    ("22:00-05:00", "2026-03-02 22:00", "2026-03-02"),
    ("22:00-05:00", "2026-03-03 00:00", "2026-03-02"),
    ("22:00-05:00", "2026-03-03 04:59", "2026-03-02"),
    ("22:00-05:00", "2026-03-03 05:00", None),
    ("22:00-05:00", "2026-03-01 03:00", "2026-02-28"),
    ("1:30-6:15", "2026-03-03 01:29", None),
    ("1:30-6:15", "2026-03-03 01:30", "2026-03-03"),
    ("1:30-6:15", "2026-03-03 06:15", None),
    ("00:00-24:00", "2026-03-03 23:59", "2026-03-03"),
])
def test_a_night_has_the_date_on_which_it_began(between: str, at: str, night: str | None) -> None:
    assert Window.parse(between).night(datetime.fromisoformat(at)) == night


@pytest.mark.parametrize("between", ["", "22-5", "22:00", "24:00-05:00", "22:60-05:00", "22:00-24:01",
                                     "05:00-05:00"])
def test_a_span_that_is_none_is_refused(between: str) -> None:
    with pytest.raises(UsageError):
        Window.parse(between)


# ------------------------------------------------------------------ the night
class LocalTime:
    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.now


def nights(walks: Walks, number: int, **rule: object) -> tuple[Night, LocalTime]:
    """A night over an archive in which ``number`` instances of today were coded fast."""
    for item in range(1, number + 1):
        walks.put(image(item, rows=32, columns=32))
    walks.code_all("fast")
    time = LocalTime((datetime.now() + timedelta(days=2)).strftime("%Y-%m-%d 12:00"))
    return Night(walks.archive, NightRule("max", **rule), time), time  # type: ignore[arg-type]


def test_nothing_is_asked_for_by_day_and_a_few_at_a_time_by_night(walks: Walks) -> None:
    night, time = nights(walks, 10)
    assert not night.open() and night.ask() == 0
    time.now = time.now.replace(hour=22)
    assert night.open() and night.ask() == 8
    assert walks.archive.index.status().recode_waiting == {"night": 8}
    time.now += timedelta(hours=3)
    assert night.open() and night.ask() == 2
    time.now += timedelta(hours=4)
    assert not night.open()
    assert walks.archive.index.lease_again("worker", 60) == [], "what the night left over waits for the next"
    assert len(walks.archive.index.lease_again("worker", 60, 20, night=True)) == 10


def test_what_came_in_yesterday_evening_waits_a_day(walks: Walks) -> None:
    night, time = nights(walks, 2)
    time.now = datetime.now().replace(hour=23)
    assert night.open() and night.ask() == 0
    time.now += timedelta(days=1, hours=2)
    assert night.ask() == 2


def test_after_nothing_was_found_it_does_not_look_again_at_once(walks: Walks) -> None:
    night, time = nights(walks, 0)
    time.now = time.now.replace(hour=22)
    assert night.ask() == 0
    walks.put(image(1, rows=32, columns=32))
    walks.code_all("fast")
    time.now += timedelta(minutes=5)
    assert night.ask() == 0
    time.now += timedelta(minutes=6)
    assert night.ask() == 1


def test_a_night_has_its_limit_and_the_next_one_too(walks: Walks) -> None:
    night, time = nights(walks, 7, limit_per_night=3)
    time.now = time.now.replace(hour=22)
    assert night.ask() == 3
    time.now += timedelta(hours=4)
    assert night.ask() == 0
    time.now += timedelta(hours=20)
    assert night.ask() == 3
