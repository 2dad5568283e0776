"""The table of states."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnn.archive import states
from dicomnn.archive.states import Event, Instruction, State, transition
from dicomnn.errors import InvalidTransition


def test_every_state_and_event_has_its_sentence() -> None:
    assert set(states.STATE_SENTENCES) == set(State)
    assert set(states.EVENT_SENTENCES) == set(Event)


def test_every_event_is_used_and_every_state_can_be_reached() -> None:
    assert {event for _, event in states.TRANSITIONS} == set(Event)
    assert {target for target, _ in states.TRANSITIONS.values()} == set(State)


def test_only_a_verified_object_or_a_deletion_releases_the_original() -> None:
    releasing = {event for (_, event), (_, todo) in states.TRANSITIONS.items()
                 if Instruction.RELEASE_OLD_OBJECT in todo}
    assert releasing == {Event.VERIFIED, Event.DELETE}


def test_a_lease_ends_whenever_coding_is_left() -> None:
    for (state, event), (target, todo) in states.TRANSITIONS.items():
        if state is State.CODING and target is not State.CODING:
            assert Instruction.END_LEASE in todo, event


def test_whatever_a_report_shows_makes_it_due() -> None:
    for (state, event), (target, todo) in states.TRANSITIONS.items():
        if target in (State.CODED, State.KEPT, State.DELETED) or event is Event.REPLACE:
            assert Instruction.REPORT_DUE in todo, (state, event)


def test_a_refused_transition_tells_the_story_and_what_is_allowed() -> None:
    told = r"'verified'.*'kept'.*1\.2\.3, revision 7.*retry, replace, delete"
    with pytest.raises(InvalidTransition, match=told):
        transition(State.KEPT, Event.VERIFIED, story="1.2.3, revision 7")


def test_nothing_but_a_new_arrival_wakes_a_deleted_instance() -> None:
    for event in set(Event) - {Event.RECEIVE_AGAIN}:
        with pytest.raises(InvalidTransition):
            transition(State.DELETED, event)


def test_the_picture_in_the_documentation_is_the_table(checkout: Path) -> None:
    assert states.diagram() in (checkout / "docs" / "archive.md").read_text()
