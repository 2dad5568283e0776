"""Values of the configuration that are not allowed, or contradict each other."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from dicomnn.codec.profile import Profile
from dicomnn.dicom.caps import TABLES
from dicomnn.dicom.syntaxes import COMPRESSIONS
from dicomnn.errors import ConfigurationError, UsageError
from dicomnn.flow.lift import MODELS, Window
from scp.loopback import is_loopback

if TYPE_CHECKING:
    from scp.config import Config, DestinationRule, PluginSection, RecodeSection, WebSection

CONFLICT_POLICIES = ("never", "if-changed", "always")
COMPRESS = ("", *COMPRESSIONS)
EFFORTS = ("fast", "default", "max")
LEVELS = ("debug", "info", "warning", "error")


def check(config: Config) -> Config:
    """The same configuration, or a ConfigurationError that names the key and what is allowed."""
    node, storage, coding = config.node, config.storage, config.coding
    _one_of(storage.on_conflict, CONFLICT_POLICIES, "storage.on_conflict")
    _one_of(storage.conflict_status, ("refuse", "warn"), "storage.conflict_status")
    _one_of(storage.on_identity_mismatch, ("refuse", "keep"), "storage.on_identity_mismatch")
    _one_of(config.query.coded_availability, ("ONLINE", "NEARLINE"), "query.coded_availability")
    if config.query.max_answers < 0:
        raise ConfigurationError("'query.max_answers' must be 0 (no limit) or more")
    _one_of(coding.effort, EFFORTS, "coding.effort")
    _one_of(config.log.level, LEVELS, "log.level")
    _ae_title(node.ae_title, "node.ae_title")
    if not 0 <= node.port <= 65535:
        raise ConfigurationError(f"'node.port' must be 0 to 65535, not {node.port}")
    if not 0 <= config.metrics.port <= 65535:
        raise ConfigurationError(f"'metrics.port' must be 0 to 65535, not {config.metrics.port}")
    if not 4096 <= node.max_pdu <= 1048576:
        raise ConfigurationError("'node.max_pdu' must be 4096 to 1048576 bytes (0 would be unlimited)")
    for name in ("max_associations", "max_associations_per_peer"):
        if getattr(node, name) < 1:
            raise ConfigurationError(f"'node.{name}' must be at least 1")
    for name in ("acse_timeout", "dimse_timeout", "network_timeout"):
        if getattr(node, name) <= 0:
            raise ConfigurationError(f"'node.{name}' must be more than 0 seconds")
    _check_web(config.web)
    if coding.lease_seconds < 2:
        raise ConfigurationError("'coding.lease_seconds' must be at least 2")
    if coding.workers > 256:
        raise ConfigurationError("'coding.workers' must be at most 256")
    for where, profile in [("coding.profile", coding.profile), *(("profile in [[rules]]", rule.profile)
                                                                  for rule in config.rules)]:
        try:
            Profile.parse(profile)
        except UsageError as error:
            raise ConfigurationError(f"'{where}': {error.message}") from error
    for rule in config.rules:
        _one_of(rule.effort, ("", *EFFORTS), "effort in [[rules]]")
    _one_of(config.lossy.caps, TABLES, "lossy.caps")
    _check_recode(config.recode)
    for peer in config.peers:
        _one_of(peer.compress, COMPRESS, "compress in [[peers]]")
        if peer.address:
            try:
                ipaddress.ip_network(peer.address, strict=False)
            except ValueError as error:
                raise ConfigurationError(f"'address' in [[peers]]: {error}") from error
    _check_destinations(config.destinations)
    _check_forward(config)
    _check_plugin(config.plugin)
    if not config.peers and not node.accept_any_peer and not is_loopback(node.bind):
        raise ConfigurationError(
            f"listening on {node.bind} without a list of peers would let anybody store and read",
            cure="List the allowed callers as [[peers]] (ae_title, address), or set "
                 "accept_any_peer = true in [node].")
    return config


def _check_web(web: WebSection) -> None:
    if not -1 <= web.port <= 65535:
        raise ConfigurationError(f"'web.port' must be 0 to 65535, or -1 for no HTTP server, not {web.port}")
    if not 1 <= web.threads <= 256:
        raise ConfigurationError("'web.threads' must be 1 to 256")
    if web.max_upload < 1 << 20:
        raise ConfigurationError("'web.max_upload' must be at least 1048576 bytes")
    if web.cache_bytes < 0:
        raise ConfigurationError("'web.cache_bytes' must be 0 (no cache) or more")


def _check_recode(recode: RecodeSection) -> None:
    _one_of(recode.effort, ("", *EFFORTS), "recode.effort")
    _one_of(recode.model, MODELS, "recode.model")
    try:
        Window.parse(recode.between)
    except UsageError as error:
        raise ConfigurationError(f"'recode.between': {error.message}") from error
    if recode.after_days < 0:
        raise ConfigurationError("'recode.after_days' must not be negative")
    if recode.limit_per_night < 0:
        raise ConfigurationError("'recode.limit_per_night' must not be negative; 0 is no limit")


def _check_plugin(plugin: PluginSection) -> None:
    if not plugin.listen:
        return
    if not plugin.listen.startswith("/"):
        host, _, port = plugin.listen.rpartition(":")
        if not is_loopback(host.strip("[]")) or not port.isdecimal() or not 0 <= int(port) <= 65535:
            raise ConfigurationError(
                "'plugin.listen' must be the absolute path of a socket, or an address of this machine with a "
                f"port (127.0.0.1:11181), not '{plugin.listen}'")
    if not plugin.secret_file:
        raise ConfigurationError(
            "'plugin.secret_file' is missing: whoever reaches the address could read and delete",
            cure="Write a random line into a file that only the node and Orthanc can read.")
    if plugin.max_bytes < 1:
        raise ConfigurationError("'plugin.max_bytes' must be 1 or more")


def _check_destinations(destinations: tuple[DestinationRule, ...]) -> None:
    titles = [rule.ae_title for rule in destinations]
    for rule in destinations:
        _ae_title(rule.ae_title, "ae_title in [[destinations]]")
        if titles.count(rule.ae_title) > 1:
            raise ConfigurationError(f"'{rule.ae_title}' stands twice in [[destinations]]")
        if not rule.host:
            raise ConfigurationError(f"'host' of '{rule.ae_title}' is missing in [[destinations]]")
        if not 0 < rule.port <= 65535:
            raise ConfigurationError(f"'port' in [[destinations]] must be 1 to 65535, not {rule.port}")
        _one_of(rule.compress, COMPRESS, "compress in [[destinations]]")


def _check_forward(config: Config) -> None:
    known = {rule.ae_title for rule in config.destinations}
    for rule in config.forward:
        if not rule.to:
            raise ConfigurationError("'to' in [[forward]] must name at least one of [[destinations]]")
        for name in rule.to:
            if name not in known:
                raise ConfigurationError(f"'{name}' in [[forward]] is none of [[destinations]]")
            if name == config.node.ae_title:
                raise ConfigurationError(f"[[forward]] to '{name}' would send to this node itself")
    section = config.forwarding
    for key in ("quiet_seconds", "first_pause_seconds", "longest_pause_seconds", "deadline_hours"):
        if getattr(section, key) <= 0:
            raise ConfigurationError(f"'forwarding.{key}' must be more than 0")
    for key in ("attempts", "at_once"):
        if getattr(section, key) < 1:
            raise ConfigurationError(f"'forwarding.{key}' must be at least 1")


def _ae_title(value: str, key: str) -> None:
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", value) or not value.strip():
        raise ConfigurationError(f"'{key}' must be 1 to 16 printable ASCII characters")


def _one_of(value: str, allowed: tuple[str, ...], key: str) -> None:
    if value not in allowed:
        raise ConfigurationError(f"'{key}' must be one of {', '.join(allowed)}, not '{value}'")
