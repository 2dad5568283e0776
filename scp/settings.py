"""What the configuration tells each part of the node."""

from __future__ import annotations

from dicomnn.dicom.syntaxes import COMPRESSIONS
from dicomnn.flow.forward import Rule
from dicomnn.flow.ingest import Policy, ProfileRule
from dicomnn.flow.lift import NightRule
from dicomnn.flow.lossy import Lossy
from dicomnn.flow.opening import Place
from scp.config import Config
from scp.dimse.accept import Limits
from scp.dimse.destination import Destination
from scp.dimse.forward import Manner
from scp.forwarder import ForwarderSettings
from scp.pool import WorkerSettings


def place_of(config: Config) -> Place:
    """The archive that a configuration names."""
    return Place(folder=str(config.folder), store_url=config.archive.store, index_url=config.archive.index,
                 policy=config.storage.on_conflict, grace_seconds=config.archive.release_grace_seconds)


def rules_of(config: Config) -> tuple[ProfileRule, ...]:
    """The rules, as the walks know them."""
    return tuple(ProfileRule(r.profile, r.ae_title, r.modality, r.sop_class_uid, r.body_part, r.effort)
                 for r in config.rules)


def night_of(config: Config) -> NightRule | None:
    """The nightly rule, None when there is none."""
    wanted = config.recode
    if not wanted.effort:
        return None
    return NightRule(wanted.effort, wanted.model, wanted.between, wanted.after_days, wanted.limit_per_night)


def policy_of(config: Config) -> Policy:
    """What the configuration says about arrivals."""
    return Policy(
        profile=config.coding.profile,
        rules=rules_of(config),
        conflict_status=config.storage.conflict_status,
        keep_mismatched=config.storage.on_identity_mismatch == "keep",
        minimum_free_bytes=config.storage.minimum_free_bytes,
        forward=bool(config.forward),
    )


def worker_settings(config: Config) -> WorkerSettings:
    """What the node tells its workers."""
    coding, study = config.coding, config.study
    return WorkerSettings(place=place_of(config), effort=coding.effort, rules=rules_of(config),
                          lossy=Lossy(config.lossy.caps, config.lossy.compare),
                          night=night_of(config), lease_seconds=coding.lease_seconds,
                          quiet_seconds=study.quiet_seconds, reports=study.reports,
                          log_level=config.log.level, log_json=config.log.json)


def syntaxes_of(compress: str) -> tuple[str, ...]:
    """The transfer syntax that `compress` of a peer asks for, none or one."""
    return (COMPRESSIONS[compress],) if compress else ()


def destinations_of(config: Config) -> tuple[Destination, ...]:
    """Where C-MOVE and rules may send."""
    return tuple(Destination(d.ae_title, d.host, d.port, syntaxes_of(d.compress))
                 for d in config.destinations)


def limits_of(config: Config) -> Limits:
    """What a peer may ask of the node, and how long the node waits for one."""
    node = config.node
    return Limits(node.max_pdu, node.max_associations, node.max_associations_per_peer, node.acse_timeout,
                  node.dimse_timeout, node.network_timeout)


def forwarder_settings(config: Config) -> ForwarderSettings:
    """What the node tells its forwarder."""
    said = config.forwarding
    rules = tuple(Rule(f"rule {number}", rule.to, rule.modality, rule.ae_title, rule.description)
                  for number, rule in enumerate(config.forward, 1))
    manner = Manner(config.node.ae_title, limits_of(config), said.first_pause_seconds,
                    said.longest_pause_seconds, said.attempts, said.at_once)
    return ForwarderSettings(place_of(config), destinations_of(config), rules, manner, said.quiet_seconds,
                             said.deadline_hours * 3600.0, config.log.level, config.log.json)
