"""``dicomnn status``: what an archive holds and what it still has to do."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.errors import UsageError

if TYPE_CHECKING:
    from dicomnn.archive import Status
    from dicomnn.flow.opening import Archive
    from scp.config import RecodeSection

SCHEMA = "dicomnn.status/1"
POLL_SECONDS = 0.5
MOST_PROBLEMS = 20
_CONFLICTS = {"uid": "other content came under {}", "patients": "study {} names several patients",
              "studies": "series {} is in several studies"}


@click.command("status")
@click.option("--archive", type=click.Path(path_type=Path), help="Folder of the archive.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="The node's TOML file.")
@click.option("--wait-idle", type=float, metavar="SECONDS",
              help="Come back when no work is left; exit 1 when that takes longer than SECONDS.")
@click.option("--conflicts", "with_conflicts", is_flag=True,
              help="Also list UIDs that were taken, and studies and series that objects disagree about.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_context
def command(context: click.Context, archive: Path | None, config_path: Path | None, wait_idle: float | None,
            with_conflicts: bool, as_json: bool) -> None:
    """Backlog, rate, sizes, what was kept and why, failures and conflicts of an archive."""
    from dicomnn.flow.opening import open_archive
    from scp.config_read import load
    from scp.settings import place_of

    config = load(config_path)
    if archive is not None:
        config = config.with_("archive", path=str(archive))
    place = place_of(config)
    if not place.exists:
        raise UsageError(f"there is no archive in '{place.folder}'", cure="Name its folder with --archive.")
    idle = True
    with open_archive(place) as opened:
        if wait_idle is not None:
            idle = _wait(opened, wait_idle, quiet=as_json)
        facts = gather(opened, Path(place.folder), config.recode)
        if with_conflicts:
            facts["conflict_list"] = conflicts(opened)
    click.echo(json.dumps(facts) if as_json else text(facts))
    if not idle:
        click.echo(f"dicomnn: work is left after {wait_idle:g} s.", err=True)
        context.exit(1)


# ------------------------------------------------------------------ waiting
def _wait(archive: Archive, seconds: float, quiet: bool) -> bool:
    """Until no work and no due release is left; False when ``seconds`` passed first."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    end = time.monotonic() + seconds
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
               TextColumn("{task.fields[rate]}"), TimeElapsedColumn())
    shown = not quiet and sys.stderr.isatty()
    with Progress(*columns, console=Console(file=sys.stderr), disable=not shown) as progress:
        bar = progress.add_task("coding", total=None, rate="")
        while True:
            status = archive.status(60.0)
            total = status.backlog + status.coding + status.coded + status.kept_total
            progress.update(bar, total=total, completed=status.coded + status.kept_total,
                            rate=f"{status.rate.get('coded', 0.0):.1f}/s")
            if status.idle and not archive.index.due_releases(1):
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(min(POLL_SECONDS, max(0.0, end - time.monotonic())))


# ------------------------------------------------------------------ figures
def gather(archive: Archive, folder: Path, rule: RecodeSection) -> dict[str, Any]:
    """The object of ``--json``; keys are only ever added. Sizes in bytes, times in seconds since 1970.

    recode_below: coded instances that the nightly rule will lift, None without a rule.
    """
    from dicomnn.archive import State
    from dicomnn.cli import forward
    from scp import heartbeat

    status = archive.status()
    stored = status.bytes_store + status.bytes_index
    problems: list[dict[str, Any]] = []
    for instance in archive.index.instances(state=State.KEPT, reason="failed"):
        if len(problems) == MOST_PROBLEMS:
            break
        problems.append({"sop_instance_uid": instance.sop_instance_uid, "code": instance.error_code,
                         "detail": instance.detail, "attempts": instance.attempts})
    return {
        "schema": SCHEMA, **dataclasses.asdict(status), "idle": status.idle,
        "instances": status.backlog + status.coding + status.coded + status.kept_total,
        "ratio_coded": _ratio(status.bytes_before, status.bytes_after),
        "ratio": _ratio(status.bytes_received, stored), "bytes_archive": stored,
        "recode_asked": status.recode_asked, "recode_saved": status.recode_saved,
        "recode_below": _below(archive, status, rule),
        "failed": problems, "forward": forward.queues(archive.index.forwarding),
        "node": heartbeat.read(folder),
    }


def _below(archive: Archive, status: Status, rule: RecodeSection) -> int | None:
    if not rule.effort:
        return None
    from dicomnn.archive import Tried
    from dicomnn.flow.lift import lift_to

    lift = lift_to(archive.shelf, rule.effort, model=rule.model)
    return sum(number for effort, models in status.tried.items() for model, number in models.items()
               if lift.means(Tried(effort, model)))


def conflicts(archive: Archive) -> list[dict[str, Any]]:
    """Every conflict: kind 'uid' (other content came under it), 'patients' (a study's objects name several),
    'studies' (a series is in several); ``named`` are digests, patients, studies."""
    taken: dict[str, list[str]] = {}
    for conflict in archive.index.conflicts():
        taken.setdefault(conflict.sop_instance_uid, []).append(conflict.digest)
    listed = [{"kind": "uid", "uid": uid, "named": digests} for uid, digests in taken.items()]
    return listed + [{"kind": found.kind, "uid": found.uid, "named": list(found.named)}
                     for found in archive.index.disputed()]


def _ratio(before: int, after: int) -> float | None:
    return round(before / after, 4) if before and after else None


def text(facts: dict[str, Any]) -> str:
    """The same for people."""
    from dicomnn.cli import forward

    status, node, rate = facts, facts["node"], facts["rate"]
    running = f"{node['address']}, {node['workers']} workers" if node else "not running"
    lines = [
        f"node        {running}",
        f"backlog     {status['backlog']} waiting, {status['coding']} being coded{_since(facts)}",
        f"rate        {rate.get('received', 0):.2f} received, {rate.get('coded', 0):.2f} coded, "
        f"{rate.get('kept', 0):.2f} kept per second (last {facts['rate_seconds']:.0f} s)",
        f"coded       {status['coded']} instances: {_size(status['bytes_before'])} before, "
        f"{_size(status['bytes_after'])} after{_times(facts['ratio_coded'])}",
        *_again(facts),
        f"archive     {_size(status['bytes_received'])} received, {_size(facts['bytes_archive'])} stored "
        f"({_size(status['bytes_store'])} objects, {_size(status['bytes_index'])} index)"
        f"{_times(facts['ratio'])}",
        f"releases    {status['releases_waiting']} originals wait to be deleted",
        f"conflicts   {status['conflicts']} objects under a UID that was taken; "
        f"{status['duplicates']} sent again",
        *([f"attachments {facts['attachments']} kept for another archive"] if facts["attachments"] else []),
        f"kept        {sum(facts['kept'].values())} as received",
    ]
    lines += [f"            {count:>7} {reason}" for reason, count in facts["kept"].items()]
    given_up = sum(facts["failures"].values())
    lines.append(f"failures    {given_up} given up, {facts['retrying']} to be tried again")
    lines += [f"            {count:>7} {code}" for code, count in facts["failures"].items()]
    lines += [f"            {p['sop_instance_uid']}: {p['detail']}" for p in facts["failed"]]
    lines += forward.text(facts["forward"])
    lines += [f"conflict    {_CONFLICTS[found['kind']].format(found['uid'])}: {', '.join(found['named'])}"
              for found in facts.get("conflict_list", ())]
    return "\n".join(lines)


def _again(facts: dict[str, Any]) -> list[str]:
    """Coding again: who wants it, what it has brought, with what effort the rest was coded."""
    waiting, below = facts["recode_waiting"], facts["recode_below"]
    asked, night = waiting.get("asked", 0), waiting.get("night", 0)
    rule = "" if below is None else f", {below} below what the nightly rule wants"
    efforts = ", ".join(f"{sum(models.values())} {effort or 'unknown'}"
                        for effort, models in sorted(facts["tried"].items()))
    lines = [f"recode      {asked} asked for, {night} for the night, {sum(facts['recoding'].values())} under "
             f"way{rule}; {facts['recoded']} made smaller, {facts['recode_kept']} left as they were, "
             f"{_size(facts['recode_saved'])} saved"]
    lines += [f"            {count:>7} not coded again: {code}"
              for code, count in facts["recode_failures"].items()]
    return [*lines, f"effort      {efforts or 'nothing coded'}"]


def _since(facts: dict[str, Any]) -> str:
    oldest = facts["oldest_backlog"]
    return f", the oldest for {time.time() - oldest:.0f} s" if oldest else ""


def _times(ratio: float | None) -> str:
    return f" ({ratio:.2f} : 1)" if ratio else ""


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{count} bytes" if unit == "bytes" else f"{value:.2f} {unit}"
        value /= 1000
    raise AssertionError("the loop returns")
