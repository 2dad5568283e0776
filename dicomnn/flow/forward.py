"""The walk of a study that is sent on: stable, seen by the rules, queued once for each destination.

What carries it there is in `scp`; queue and ledger are in `archive/forwarding.py`.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Sequence
from dataclasses import dataclass

from dicomnn.archive.forwarding import Arrived
from dicomnn.flow.opening import Archive


@dataclass(frozen=True)
class Rule:
    """Sends a study to the destinations ``to`` where one instance fits modality and ae_title (of whoever sent
    it to us), and the study's description the pattern; empty fields fit anything. name: as the ledger tells
    it."""

    name: str
    to: tuple[str, ...]
    modality: str = ""
    ae_title: str = ""
    description: str = ""

    def fits(self, study: Arrived) -> bool:
        wanted, there = _literal(self.description), study.description.upper()
        if wanted and not fnmatch.fnmatchcase(there, wanted):
            return False
        return any((not self.modality or self.modality == modality)
                   and (not self.ae_title or self.ae_title == sender) for modality, sender in study.senders)


def _literal(pattern: str) -> str:
    """DICOM's wildcards are * and ? alone (PS3.4 C.2.2.2.4); fnmatch also knows brackets."""
    return pattern.upper().replace("[", "[[]")


@dataclass(frozen=True)
class Routed:
    """A study that the rules have seen. queued: deliveries made."""

    study_instance_uid: str
    destinations: tuple[str, ...]
    queued: int


def route_due(archive: Archive, rules: Sequence[Rule], quiet_seconds: float,
              deadline_seconds: float) -> list[Routed]:
    """Apply the rules to the studies that are due; none left: an empty list.

    Raises
    ------
    IndexFailed
        The index cannot be read or written; nothing is lost, they are still due.
    """
    done = []
    for study in archive.index.forwarding.arrived(quiet_seconds):
        wanted: dict[str, str] = {}
        for rule in rules:
            if rule.fits(study):
                for name in rule.to:
                    wanted.setdefault(name, rule.name)
        queued = archive.index.forwarding.route(study, wanted, deadline_seconds)
        if queued is not None:
            done.append(Routed(study.study_instance_uid, tuple(wanted), queued))
    return done


def back_off(failures: int, first: float, longest: float) -> float:
    """Seconds before the next try after so many failures in a row (at least 1): doubled each time, and a
    quarter more or less, so that what failed together is not tried together."""
    return float(min(first * 2.0 ** min(failures - 1, 60), longest) * random.uniform(0.75, 1.25))
