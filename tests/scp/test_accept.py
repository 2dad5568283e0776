"""Who may connect, and which presentation contexts the node takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom import build_context

from scp.dimse.accept import Peer
from scp.dimse.contexts import is_storage, supported_for
from tests.scp.peer import CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, NodeProcess, connected


@pytest.mark.parametrize(("peer", "title", "address", "admitted"), [
    (Peer(), "ANY", "10.0.0.1", True),
    (Peer("CT1"), "CT1", "10.0.0.1", True),
    (Peer("CT1"), "CT2", "10.0.0.1", False),
    (Peer("*", "10.0.0.0/24"), "X", "10.0.0.77", True),
    (Peer("*", "10.0.0.0/24"), "X", "10.0.1.77", False),
    (Peer("CT1", "10.0.0.5"), "CT1", "::ffff:10.0.0.5", True),
    (Peer("CT1", "10.0.0.5"), "CT1", "no address", False),
])
def test_a_peer_is_admitted_by_title_and_address(peer: Peer, title: str, address: str,
                                                 admitted: bool) -> None:
    assert peer.admits(title, address) is admitted


@pytest.mark.parametrize(("uid", "stored"), [
    (CT, True), ("1.2.840.10008.5.1.4.1.1.6", True), ("1.2.840.10008.5.1.4.1.1.9999", True),
    ("1.2.826.0.1.99", True), ("1.2.840.10008.5.1.4.38.1", True),
    ("1.2.840.10008.1.1", False), ("1.2.840.10008.5.1.4.1.2.2.1", False), ("1.2.840.10008.1.20.1", False),
    ("1.2.840.10008.5.1.1.9", False), ("1.2.840.10008.3.1.2.1.1", False),
])
def test_storage_is_told_from_other_services(uid: str, stored: bool) -> None:
    assert is_storage(uid) is stored


def test_among_several_syntaxes_the_ranking_decides_not_the_order() -> None:
    (answer,) = supported_for([build_context(CT, [JPEG, DEFLATED, "1.2.3.4", IMPLICIT, EXPLICIT])])
    assert [str(t) for t in answer.transfer_syntax] == [EXPLICIT, IMPLICIT, DEFLATED, JPEG, "1.2.3.4"]


def test_a_caller_that_is_not_listed_is_rejected_and_a_listed_one_served(tmp_path: Path) -> None:
    config = ('[[peers]]\nae_title = "CT1"\naddress = "127.0.0.0/8"\n'
              '[[peers]]\nae_title = "FAR"\naddress = "10.9.9.9"\n')
    with NodeProcess(tmp_path / "archive", "--workers", "-1", config=config) as node:
        for title, welcome in (("CT1", True), ("CT2", False), ("FAR", False)):
            with connected(node.port, [build_context(CT)], title=title) as assoc:
                assert (assoc.is_established, assoc.is_rejected) == (welcome, not welcome)


def test_another_called_title_is_rejected_when_configured(tmp_path: Path) -> None:
    config = "[node]\nrequire_called_ae_title = true\n"
    with NodeProcess(tmp_path / "archive", "--workers", "-1", config=config) as node:
        with connected(node.port, [build_context(CT)], called="OTHER") as assoc:
            assert assoc.is_rejected
        with connected(node.port, [build_context(CT)]) as assoc:
            assert assoc.is_established
