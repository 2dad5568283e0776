"""Presentation contexts for a batch: one syntax each, never more than an association holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dicomnn.flow.retrieve import Match
from scp.dimse.plan import plan
from tests.scp.peer import BIG, CT, EXPLICIT, IMPLICIT, J2K, JPEG, JPEG_LS, MR

SYNTAXES = [IMPLICIT, EXPLICIT, BIG, JPEG, J2K, *(f"1.2.840.10008.1.2.4.{n}" for n in range(51, 65))]


def proposed(matches: list[Match], compress: tuple[str, ...] = ()) -> list[list[tuple[str, list[str]]]]:
    return [[(str(c.abstract_syntax), [str(t) for t in c.transfer_syntax]) for c in batch.contexts]
            for batch in plan(matches, compress)]


def test_trap_the_acceptor_picks_one_syntax_so_each_received_one_has_its_own_context() -> None:
    matches = [Match("1", CT, JPEG), Match("2", CT, BIG), Match("3", MR, EXPLICIT), Match("4", MR, "")]
    assert proposed(matches) == [[(CT, [JPEG]), (CT, [BIG]), (CT, [EXPLICIT, IMPLICIT]),
                                  (MR, [EXPLICIT]), (MR, [IMPLICIT])]]


def test_both_little_endian_syntaxes_are_always_there() -> None:
    for received in ("", EXPLICIT, IMPLICIT, JPEG):
        ((*_, last),) = proposed([Match("1", CT, received)])
        assert set(last[1]) | {received} >= {EXPLICIT, IMPLICIT}


def test_a_syntax_preferred_by_configuration_has_a_context_of_its_own() -> None:
    assert proposed([Match("1", CT, EXPLICIT)], (JPEG_LS,)) == [
        [(CT, [EXPLICIT]), (CT, [JPEG_LS]), (CT, [IMPLICIT])]]
    assert proposed([Match("1", CT, JPEG_LS)], (JPEG_LS,)) == [[(CT, [JPEG_LS]), (CT, [EXPLICIT, IMPLICIT])]]


def test_trap_more_than_128_contexts_are_split_by_class_over_further_associations() -> None:
    matches = [Match(f"1.{n}.{s}", f"1.2.{n}", syntax) for n in range(70) for s, syntax in
               enumerate((EXPLICIT, IMPLICIT))]
    batches = plan(matches)
    assert [len(batch.contexts) for batch in batches] == [128, 12]
    for batch in batches:
        classes = {match.sop_class_uid for match in batch.matches}
        assert classes == {str(context.abstract_syntax) for context in batch.contexts}


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", *SYNTAXES])), max_size=400),
       st.sampled_from([(), (JPEG_LS,), (JPEG_LS, J2K)]))
def test_whatever_is_to_be_sent_is_sent_once_with_a_context_for_it(
        pairs: list[tuple[int, str]], compress: tuple[str, ...]) -> None:
    matches = [Match(f"1.{number}", f"1.2.{sop_class}", syntax)
               for number, (sop_class, syntax) in enumerate(pairs)]
    batches = plan(matches, compress)
    assert sorted(m.sop_instance_uid for b in batches for m in b.matches) == sorted(
        m.sop_instance_uid for m in matches)
    for batch in batches:
        assert 0 < len(batch.contexts) <= 128
        there = {(str(c.abstract_syntax), str(t)) for c in batch.contexts for t in c.transfer_syntax}
        for match in batch.matches:
            for syntax in (match.received or EXPLICIT, EXPLICIT, IMPLICIT, *compress):
                assert (match.sop_class_uid, syntax) in there


def test_a_class_of_more_syntaxes_than_an_association_holds_is_split_too() -> None:
    matches = [Match(f"1.{n}", CT, f"1.2.3.{n}") for n in range(300)]
    batches = plan(matches)
    assert [len(batch.matches) for batch in batches] == [126, 126, 48]
    assert all(len(batch.contexts) <= 128 for batch in batches)
