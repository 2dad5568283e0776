"""``dicomnn forward``: what is sent on to other archives, what became of it, and what a person does about
it."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line
from dicomnn.errors import InstanceNotFound, UsageError

if TYPE_CHECKING:
    from dicomnn.archive import Delivery, Forwarding, Queue, Which
    from dicomnn.flow.opening import Archive
    from scp.config import Config

SCHEMA = "dicomnn.forward/1"
Opened = Callable[..., None]


@click.group("forward")
def command() -> None:
    """List, hold, release, retry, drop and send what goes to other archives.

    The rules are [[forward]] in the configuration; a running node does the sending.
    """


def _on_archive(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every one of these has; the function gets the configuration and the open archive."""
    @click.option("--archive", type=click.Path(path_type=Path), help="Folder of the archive.")
    @click.option("--config", "config_path", type=click.Path(path_type=Path), help="The node's TOML file.")
    @functools.wraps(function)
    def opened(archive: Path | None, config_path: Path | None, **more: Any) -> None:
        from dicomnn.flow.opening import open_archive
        from scp.config_read import load
        from scp.settings import place_of

        config = load(config_path)
        if archive is not None:
            config = config.with_("archive", path=str(archive))
        place = place_of(config)
        if not place.exists:
            raise UsageError(f"there is no archive in '{place.folder}'",
                             cure="Name its folder with --archive.")
        with open_archive(place) as there:
            function(config=config, archive=there, **more)

    return opened


def _meant(function: Callable[..., None]) -> Callable[..., None]:
    """The options that choose deliveries."""
    @click.option("--to", metavar="AE_TITLE", help="Only what goes to this destination.")
    @click.option("--study", metavar="UID", help="Only this study.")
    @click.option("--all", "everything", is_flag=True, help="Everything, without --to and --study.")
    @functools.wraps(function)
    def chosen(to: str | None, study: str | None, everything: bool, **more: Any) -> None:
        from dicomnn.archive import Which

        if (to is None and study is None) != everything:
            raise UsageError("name --to, --study or both; or --all, alone")
        function(which=Which(to, study), **more)

    return chosen


# ------------------------------------------------------------------ looking
@command.command("list")
@click.option("--to", metavar="AE_TITLE", help="Only what goes to this destination.")
@click.option("--study", metavar="UID", help="Only this study.")
@click.option("--state", "states", multiple=True, metavar="STATE",
              help="waiting, sending, sent, held, failed, dropped; may be repeated (default: what is open).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@_on_archive
def list_(config: Config, archive: Archive, to: str | None, study: str | None, states: tuple[str, ...],
          as_json: bool) -> None:
    """Each delivery: study, instance, destination, state, tries, the peer's last status and comment."""
    from dicomnn.archive import Leg, Which

    unknown = set(states) - {leg.value for leg in Leg}
    if unknown:
        raise UsageError(f"'{min(unknown)}' is none of {', '.join(leg.value for leg in Leg)}")
    chosen = [Leg(state) for state in states] or [leg for leg in Leg if leg.open]
    found = archive.index.forwarding.deliveries(Which(to, study, chosen))
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "queues": queues(archive.index.forwarding),
                               "deliveries": [_as_json(delivery) for delivery in found]}))
        return
    for line in text(queues(archive.index.forwarding)):
        click.echo(line)
    for delivery in found:
        click.echo(one_line(_line(delivery)))


def _as_json(delivery: Delivery) -> dict[str, Any]:
    private = ("lease_token", "instance_id")
    return {key: value for key, value in dataclasses.asdict(delivery).items() if key not in private}


def _line(delivery: Delivery) -> str:
    parts = [f"{delivery.state.value:<8} {delivery.destination:<16} {delivery.study_instance_uid} "
             f"{delivery.received_uid}", f"{delivery.tries} tries"]
    if delivery.status is not None:
        parts.append(f"{delivery.status} {delivery.comment or ''}".rstrip())
    if delivery.error_code is not None:
        parts.append(f"[{delivery.error_code}] {delivery.detail or ''}".rstrip())
    return ", ".join(parts)


# ------------------------------------------------------------------ doing
@command.command("hold")
@_meant
@_on_archive
def hold(config: Config, archive: Archive, which: Which) -> None:
    """Send nothing of it until it is released; a destination is held with all that comes."""
    if which.destination is None and which.study_instance_uid is None:
        names = [queue.destination for queue in archive.index.forwarding.queues()]
        count = sum(archive.index.forwarding.hold(dataclasses.replace(which, destination=name))
                    for name in names)
    else:
        _known(config, which.destination)
        count = archive.index.forwarding.hold(which)
    click.echo(f"forward: {count} instances held")


@command.command("release")
@_meant
@_on_archive
def release(config: Config, archive: Archive, which: Which) -> None:
    """The end of hold."""
    click.echo(f"forward: {archive.index.forwarding.release(which)} held instances wait again")


@command.command("retry")
@_meant
@_on_archive
def retry(config: Config, archive: Archive, which: Which) -> None:
    """Try now what waits for its next try, and what failed for good."""
    click.echo(f"forward: {archive.index.forwarding.retry(which)} instances are tried now")


@command.command("drop")
@_meant
@_on_archive
def drop(config: Config, archive: Archive, which: Which) -> None:
    """Do not send it; the ledger keeps that, and who said so. The instances stay in the archive."""
    count = archive.index.forwarding.discard(which, by=getpass.getuser())
    click.echo(f"forward: {count} instances will not be sent")


@command.command("send")
@click.argument("study")
@click.option("--to", required=True, metavar="AE_TITLE", help="One of [[destinations]].")
@click.option("--again", is_flag=True, help="Also what it was sent before.")
@_on_archive
def send(config: Config, archive: Archive, study: str, to: str, again: bool) -> None:
    """Send a study (by its UID), whatever the rules say: one from before them, or once more."""
    if archive.index.study(study) is None:
        raise InstanceNotFound("the archive has no study with this UID", subject=study)
    _known(config, to)
    count = archive.index.forwarding.send(study, to, by=f"asked by {getpass.getuser()}", again=again,
                                          deadline_seconds=config.forwarding.deadline_hours * 3600.0)
    click.echo(f"forward: {count} instances will be sent to {to}")


def _known(config: Config, name: str | None) -> None:
    """With a configuration, a name that is not in it is a slip."""
    known = [rule.ae_title for rule in config.destinations]
    if name is not None and known and name not in known:
        raise UsageError(f"'{name}' is none of [[destinations]]: {', '.join(known)}")


# ------------------------------------------------------------------ figures, for `dicomnn status` too
def queues(forwarding: Forwarding) -> list[dict[str, Any]]:
    """Each destination's queue as JSON; times in seconds since 1970."""
    return [_queue(queue) for queue in forwarding.queues()]


def _queue(queue: Queue) -> dict[str, Any]:
    now = time.time()
    return {"destination": queue.destination, **{leg.value: count for leg, count in queue.counts.items()},
            "open": queue.open, "oldest": queue.oldest, "deadline": queue.deadline,
            "overdue": queue.deadline is not None and queue.deadline < now, "on_hold": queue.held,
            "failures_in_a_row": queue.failures, "next_try": queue.pause_until,
            "last_error": queue.error_code, "last_detail": queue.detail,
            "last_failed": queue.failed_at, "last_accepted": queue.accepted_at,
            "failed_tries": dict(queue.failed_tries)}


def text(found: list[dict[str, Any]]) -> list[str]:
    """The same for people, a line or two a destination."""
    now, lines = time.time(), []
    for queue in found:
        states = ", ".join(f"{queue[name]} {name}" for name in
                           ("waiting", "sending", "held", "failed", "sent", "dropped")
                           if queue[name] or name in ("waiting", "sent"))
        since = f", the oldest for {now - queue['oldest']:.0f} s" if queue["oldest"] else ""
        if queue["deadline"]:
            left = queue["deadline"] - now
            since += f", OVERDUE since {-left:.0f} s" if left < 0 else f", due in {left:.0f} s"
        hold = ", ON HOLD" if queue["on_hold"] else ""
        lines.append(f"forward     {queue['destination']}: {states}{since}{hold}")
        if queue["open"] and queue["last_error"] and queue["failures_in_a_row"]:
            again = f", again in {max(0.0, queue['next_try'] - now):.0f} s" if queue["next_try"] else ""
            lines.append(one_line(f"            {queue['failures_in_a_row']} times in a row: "
                                  f"[{queue['last_error']}] {queue['last_detail']}{again}"))
    return lines
