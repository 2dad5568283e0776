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
    assert releasing == {Event.VERIFIED, Event.UNPACKED, Event.DELETE}   # unpacked: its digest was checked


@pytest.mark.parametrize("leased", [State.CODING, State.RECODING])
def test_a_lease_ends_whenever_coding_is_left(leased: State) -> None:
    for (state, event), (target, todo) in states.TRANSITIONS.items():
        if state is leased and target is not leased:
            assert Instruction.END_LEASE in todo, event


def test_what_is_coded_stays_coded_until_other_content_a_deletion_or_a_wish_comes() -> None:
    for (state, event), (target, _) in states.TRANSITIONS.items():
        if state.is_coded:
            left = (Event.REPLACE, Event.DELETE, Event.UNPACKED)
            assert target.is_coded or event in left, (state, event)


def test_coding_again_has_every_way_out_that_coding_has() -> None:
    def ways(leased: State) -> set[Event]:
        return {event for state, event in states.TRANSITIONS if state is leased}

    assert ways(State.RECODING) == ways(State.CODING) | {Event.UNPACKED}


def test_whatever_a_report_shows_makes_it_due() -> None:
    for (state, event), (target, todo) in states.TRANSITIONS.items():
        if state.is_coded and target.is_coded:      # one object, coded, as long as it is not another one
            shown = Instruction.POINT_TO_NEW_OBJECT in todo
        else:
            shown = target in (State.CODED, State.KEPT, State.DELETED) or event is Event.REPLACE
        assert not shown or Instruction.REPORT_DUE in todo, (state, event)


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
