"""``dicomnn recode``: code again what is coded, with more effort or a newer model."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line
from dicomnn.cli._walk import finish, jobs_option, mebibytes, sizes, walk
from dicomnn.errors import InstanceNotFound, UsageError

if TYPE_CHECKING:
    from dicomnn.archive import Lift
    from dicomnn.flow.opening import Archive
    from scp.again import Run
    from scp.config import Config

EFFORTS = ("fast", "default", "max")
MODELS = ("newest", "any")
DAY = 86400.0
MOST_FAILURES = 20


@click.command("recode")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--archive", type=click.Path(path_type=Path), help="Folder of the archive.")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="The node's TOML file.")
@click.option("--effort", type=click.Choice(EFFORTS), default="max", show_default=True,
              help="Code again what was coded with less than this.")
@click.option("--model", type=click.Choice(MODELS), default="newest", show_default=True,
              help="newest: also what was coded with an older model; any: the effort alone decides.")
@click.option("--study", metavar="UID", help="Only this study.")
@click.option("--modality", help="Only this modality, for example CT.")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS",
              help="Only what arrived at least so many days ago.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many instances.")
@click.option("--dry-run", is_flag=True, help="Say what would be coded again, and do nothing.")
@click.option("--wait", is_flag=True, help="With a running node: come back when its workers have done it.")
@click.option("--cancel", is_flag=True, help="Forget what waits to be coded again.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist at the target (with PATH).")
@jobs_option
def command(path: Path | None, out: Path | None, archive: Path | None, config_path: Path | None, effort: str,
            model: str, jobs: int, overwrite: bool, **asked: Any) -> None:
    """Make coded objects smaller: more effort, or a newer model. What comes back stays the same.

    In an archive, the workers of the running node do it when they have nothing else to do; without a
    node this command does it itself. An object is replaced only by a smaller one that was decoded and
    compared; studies can be fetched all the while. It may be stopped and called again at any time. Lossy
    objects are left alone, and what did not become smaller is not tried again.

    With PATH, coded files or a folder of them: OUT gets the same tree (default: PATH with "recoded" in its
    name); what does not become smaller is copied as it is.
    """
    if path is not None:
        only = [name for name, value in {"archive": archive, "config": config_path, **asked}.items() if value]
        if only:
            options = ", ".join("--" + name.replace("_", "-") for name in only)
            raise UsageError(f"{options} cannot be used with a PATH: a file is recoded, not an archive")
        _files(path, out, effort, model, jobs, overwrite)
        return
    if overwrite:
        raise UsageError("--overwrite is for files: give a PATH")
    from scp.config_read import load

    config = load(config_path)
    if archive is not None:
        config = config.with_("archive", path=str(archive))
    _archive(config, effort, model, jobs, **asked)


def _files(path: Path, out: Path | None, effort: str, model: str, jobs: int, overwrite: bool) -> None:
    from dicomnn.flow.files import default_target, plan

    started = time.monotonic()
    planned = plan("recode", path, out, effort=effort, model=model, jobs=jobs, overwrite=overwrite)
    finish(walk(planned, jobs=jobs), started=started, verb="recode",
           target=str(out or default_target("recode", path)))


# ------------------------------------------------------------------ an archive
def _archive(config: Config, effort: str, model: str, jobs: int, *, study: str | None, modality: str | None,
             older_than: float | None, limit: int | None, dry_run: bool, wait: bool, cancel: bool) -> None:
    from dicomnn.flow.lift import lift_to
    from dicomnn.flow.opening import open_archive
    from scp import logs
    from scp.again import Run, node_works
    from scp.settings import place_of, worker_settings

    logs.configure("warning", False)
    place = place_of(config)
    if not place.exists:
        raise UsageError(f"there is no archive in '{place.folder}'", cure="Name its folder with --archive.")
    with open_archive(place) as opened:
        if cancel:
            click.echo(f"recode: {opened.index.call_off()} instances will stay as they are")
            return
        if study is not None and opened.index.study(study) is None:
            raise InstanceNotFound("the archive has no study with this UID", subject=study)
        before = None if older_than is None else time.time() - older_than * DAY
        lift = lift_to(opened.shelf, effort, model=model, study=study, modality=modality,
                       received_before=before, failed=True)
        if dry_run:
            _tell_what(opened, lift, limit)
            return
        settings = replace(worker_settings(config), log_level="warning")
        run = Run(opened, settings, jobs)
        count, size = _ask(opened, lift, limit)
        waiting = opened.status().recode_asked
        if not count and not waiting:
            click.echo("recode: there is nothing to be coded again")
            return
        others = f", {waiting - count} others waited already" if waiting > count else ""
        click.echo(f"recode: {count} instances to be coded again, {mebibytes(size)}{others}")
        if node_works(Path(place.folder)) and not wait:
            click.echo("the running node does it when it has nothing else to do; see: dicomnn status")
            return
        _watch(run, max(count, waiting))


def _ask(archive: Archive, lift: Lift, limit: int | None) -> tuple[int, int]:
    """Let them become due; how many, and their bytes. With millions that takes a while, so it is shown."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} to be coded again, {task.fields[size]}"))
    with Progress(*columns, console=Console(file=sys.stderr), transient=True,
                  disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=None, size="")
        return archive.index.ask_again(
            lift, limit,
            told=lambda count, size: shown.update(task, completed=count, size=mebibytes(size)))


def _tell_what(archive: Archive, lift: Lift, limit: int | None) -> None:
    """The list of a dry run, by what the objects were coded with."""
    counts: Counter[tuple[str, str, str]] = Counter()
    bytes_of: Counter[tuple[str, str, str]] = Counter()
    for instance in islice(archive.index.recodable(lift), limit):
        key = (instance.tried_effort or "unknown", instance.tried_model or "none",
               str(instance.attributes.get("modality") or "no modality"))
        counts[key] += 1
        bytes_of[key] += instance.object_size
    for (effort, model, modality), count in sorted(counts.items()):
        size = mebibytes(bytes_of[effort, model, modality])
        click.echo(one_line(f"  {count:>7} {modality}, effort {effort}, model {model}: {size}"))
    total = mebibytes(bytes_of.total())
    click.echo(f"recode: would code {counts.total()} instances again, {total} as they are now")
    status = archive.status()
    if status.recoded:
        share = 100 * status.recode_saved / status.recode_bytes_before
        click.echo(f"so far {status.recoded} became smaller by {share:.1f} % together, "
                   f"{status.recode_kept} did not")


def _watch(run: Run, total: int) -> None:
    """Progress on standard error if that is a terminal, then what became of it; exit 1 if any failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[size]}"))
    now = None
    with (Bars(*columns, console=Console(file=sys.stderr), transient=True,
               disable=not sys.stderr.isatty()) as bars,
          contextlib.closing(run.progress()) as looks,
          contextlib.suppress(KeyboardInterrupt)):      # ends the watching and our own workers, not the wish
        bar = bars.add_task("recode", total=total, rate="", size="")
        for now in looks:
            done = max(0, total - now.todo)
            bars.update(bar, completed=done, description="the node recodes" if now.by_node else "recode",
                        rate=f"{done / max(time.monotonic() - started, 0.1):.1f}/s",
                        size=sizes(now.before, now.after) if now.before else "")
    if now is None:
        sys.exit(1)
    failures = list(run.failures())
    if now.todo:
        click.echo(f"recode: stopped; {now.todo} instances still wait. The node does them, or call it again; "
                   "--cancel forgets them.", err=True)
    click.echo(f"recode: {now.recoded} made smaller, {now.left} left as they were, {len(failures)} failed; "
               f"{sizes(now.before, now.after)} in {time.monotonic() - started:.1f} s")
    for instance in failures[:MOST_FAILURES]:
        click.echo(one_line(f"  {instance.sop_instance_uid} [{instance.error_code}] {instance.detail}"))
    if failures or now.todo:
        sys.exit(1)
