"""``dicomnn migrate``: bring a folder, or another archive's studies, in, and prove it."""

from __future__ import annotations

import getpass
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dicomnn.cli import one_line
from dicomnn.cli._walk import jobs_option, mebibytes

if TYPE_CHECKING:
    from dicomnn.flow.migration.job import Job
    from scp.migrate import Migration

MOST_EXCEPTIONS = 20

job_option = click.option(
    "--job",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The job's folder: settings, ledger, report.",
)


def endpoint_options(function: Any) -> Any:
    """Needed once; the job remembers them."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=1),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Without a sign of life of the source for so long: ask anew.",
        ),
        click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            help="The node's TOML file: rules, profile, effort of what comes in.",
        ),
        click.option(
            "--listen",
            type=click.IntRange(0, 65535),
            help="Our port for C-MOVE (11113); the source must know it, with our AE title and address.",
        ),
        click.option("--bind", help="Our address for C-MOVE (127.0.0.1)."),
        click.option("--ae-title", help="Our AE title towards the source (DICOMNN)."),
        click.option(
            "--retrieve",
            type=click.Choice(("get", "move")),
            help="How to fetch: C-GET (usual) or C-MOVE to a listener of ours.",
        ),
        click.option("--to", "target", metavar="archive:FOLDER", help="Where to; a node may run on it."),
        click.option("--from", "source", metavar="folder:PATH|ae:TITLE@HOST:PORT", help="Where from."),
    ):
        function = option(function)
    return function


@click.group("migrate")
def command() -> None:
    """Bring a folder, or another archive's studies, into an archive, and prove that all of it came.

    \b
    plan      what is there, and what it would save: codes a random sample, changes nothing
    run       bring it in; may be stopped, killed and called again at any time
    status    where it is
    verify    read everything back, compare, ask the source again
    report    a page, and a CSV with a row for each instance
    sign-off  answer for exceptions that cannot be mended

    run, status, verify and report exit with 0 only when every instance is accounted for: in the archive, or
    set aside with its reason and signed off.
    """


@command.command("plan")
@job_option
@endpoint_options
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    help="Instances to fetch and code for the forecast; 0: only the inventory.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random choice.")
@jobs_option
def plan(folder: Path, sample: int, seed: int, jobs: int, **told: Any) -> None:
    """Ask the source for everything it has, and code a random sample of it to see what that saves.

    Nothing is written but the job's folder. Called again, it asks anew and adds what is new.
    """
    with _at_work(folder, told, jobs=jobs, make=True) as migration:
        new = migration.inventory(afresh=True)
        found = migration.forecast(sample=sample, seed=seed) if sample else None
        counts = migration.ledger.counts()
        click.echo(
            f"plan: {sum(counts.values()) - counts['left']} instances ({new} new), "
            f"{counts['set-aside']} set aside, {counts['left']} other files left"
        )
        for question in migration.ledger.questions("cut"):
            click.echo(one_line(f"  not answered in full by the source: {question}"))
        if found is not None:
            _show_forecast(found)


def _show_forecast(found: dict[str, Any]) -> None:
    click.echo(
        f"forecast from {found['sampled']} coded instances (random, by modality, seed {found['seed']}):"
    )
    for one in found["strata"]:
        share = f"{one['bytes'] / one['after']:.2f}:1" if one["after"] else "–"
        click.echo(
            one_line(
                f"  {one['modality']:<6} {one['instances']:>8} instances {_size(one['bytes']):>11} -> "
                f"{_size(one['after']):>11}  {share}  ({one['sampled']} coded, {one['kept']} kept, "
                f"{one['failed']} failed)"
            )
        )
    saved = 100 * (1 - found["after"] / found["bytes"]) if found["bytes"] else 0.0
    click.echo(
        f"  all    {found['instances']:>8} instances {_size(found['bytes']):>11} -> "
        f"{_size(found['after']):>11}  saves {saved:.1f} %, within {_size(2 * found['error'])}"
    )
    click.echo(
        f"  time   {_span(found['fetch_seconds'])} to fetch, {_span(found['coding_seconds'])} to code with "
        f"{found['jobs']} workers (side by side)"
    )


@command.command("run")
@job_option
@endpoint_options
@click.option(
    "--window",
    "windows",
    multiple=True,
    metavar="HH:MM-HH:MM",
    help="Fetch only in these hours of the day, local time; repeatable.",
)
@click.option("--rate", metavar="50/s|600/min|20MB/s", help="Fetch no faster than this.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the source may be away before the run gives up.",
)
@click.option(
    "--no-code",
    is_flag=True,
    help="Leave the coding to the node; without it, and without a running "
    "node, this command codes what comes in.",
)
@click.option("--retry-set-aside", "set_aside", is_flag=True, help="Try again what was set aside too.")
@jobs_option
def run(
    folder: Path,
    jobs: int,
    windows: tuple[str, ...],
    rate: str | None,
    patience: float,
    no_code: bool,
    set_aside: bool,
    **told: Any,
) -> None:
    """Bring in what is not in the archive yet. Stop it with Ctrl-C, call it again, it goes on.

    Each instance is durable in the archive before its row in the ledger says so. What cannot be taken is set
    aside with its reason, and the rest goes on.
    """
    from dicomnn.flow.migration.throttle import Rate, Window

    begun = time.monotonic()
    manner: dict[str, Any] = {
        "windows": tuple(map(Window.parse, windows)),
        "rate": Rate.parse(rate) if rate else None,
        "patience": patience,
        "code": not no_code,
        "set_aside": set_aside,
    }
    with _at_work(folder, told, jobs=jobs, make=True, **manner) as migration:
        did = migration.run()
        if did:
            _end(migration.job, f"run: done in {time.monotonic() - begun:.1f} s")
        else:
            _end(migration.job, "run: nothing to do")


@command.command("status")
@job_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(folder: Path, as_json: bool) -> None:
    """Counts, rate and time left of a job; also while it runs."""
    from dicomnn.flow.migration.job import open_job
    from dicomnn.flow.migration.summary import facts

    with open_job(folder) as job:
        found = facts(job)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)
    if not found["accounted"]:
        sys.exit(1)


@command.command("verify")
@job_option
@endpoint_options
@jobs_option
def verify(folder: Path, jobs: int, **told: Any) -> None:
    """Read every instance back from the archive, compare digests, and ask the source again what it has."""
    from dicomnn.flow.migration.verify import VERDICTS

    with _at_work(folder, told, jobs=jobs) as migration:
        found = migration.verify()
        for word, count in found.items():
            if count:
                click.echo(f"  {count:>8} {word}: {VERDICTS[word]}")
        _end(migration.job, f"verify: {sum(found.values())} read back")


@command.command("report")
@job_option
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), required=False)
def report(folder: Path, out: Path | None) -> None:
    """Write report.html and report.csv (a row for each instance) into OUT, by default the job's folder."""
    with _at_work(folder, {}, lock=False) as migration:
        for path in migration.report(out or folder):
            click.echo(f"report: {path}")
        _end(migration.job, "report: written")


@command.command("sign-off")
@job_option
@click.option("--reason", required=True, help="Why it is all right that they are not in the archive.")
@click.option("--by", default=None, help="Who answers for it (the login name).")
@click.argument("items", nargs=-1)
def sign_off(folder: Path, reason: str, by: str | None, items: tuple[str, ...]) -> None:
    """Answer for exceptions: ITEMS as the report names them (paths, UIDs), or all that are open."""
    from dicomnn.flow.migration.job import open_job

    with open_job(folder) as job, job.working():
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        done = job.ledger.sign_off(items, f"{by or getpass.getuser()} {when}: {reason}")
        click.echo(f"sign-off: {done}")
        if not done:
            sys.exit(1)


# ------------------------------------------------------------------ what the verbs share
@contextmanager
def _at_work(
    folder: Path, told: dict[str, Any], *, jobs: int = 1, lock: bool = True, make: bool = False, **manner: Any
) -> Iterator[Migration]:
    from dicomnn.flow.migration.job import open_job
    from dicomnn.flow.migration.source import Stopped
    from scp import logs
    from scp.config_read import load
    from scp.migrate import Manner, Migration

    logs.configure("error", False)
    config = load(told.pop("config_path", None))
    timeout = told.pop("timeout", 60.0)
    with open_job(folder, make=make, **told) as job:
        with job.working() if lock else nullcontext(), _Bar() as bar:
            with Migration(job, config, Manner(jobs=jobs, timeout=timeout, **manner), bar.tell) as migration:
                previous = {
                    number: signal.signal(number, lambda *_: migration.stop.set())
                    for number in (signal.SIGTERM, signal.SIGINT)
                }
                try:
                    yield migration
                except Stopped:
                    click.echo("stopped; the same command goes on from here", err=True)
                    sys.exit(1)
                finally:
                    for number, handler in previous.items():
                        signal.signal(number, handler)


def _end(job: Job, words: str) -> None:
    """The outcome, and exit code 1 unless every instance is accounted for."""
    from dicomnn.flow.migration.summary import facts

    found = facts(job)
    click.echo(words)
    _show(found, job)
    if not found["accounted"]:
        sys.exit(1)


def _show(found: dict[str, Any], job: Job | None = None) -> None:
    from dicomnn.flow.migration.summary import missing

    click.echo(
        f"  {found['instances']} instances: {found['stored']} in the archive, {found['todo']} to be fetched, "
        f"{found['set_aside']} set aside, {found['failed']} failed, {found['signed_off']} signed off; "
        f"{found['left']} other files left"
    )
    now = found["run"]
    if now and now["running"] and time.time() - now["at"] < 120:
        left = "" if now["seconds_left"] is None else f", about {_span(now['seconds_left'])} left"
        waits = f"; waits for {now['waits_for']}" if now["waits_for"] else ""
        click.echo(
            f"  running (process {now['pid']}): {now['count']} in this run, {now['per_second']} a second"
            f"{left}{waits}"
        )
    for sentence in missing(found):
        click.echo(f"  not accounted for: {sentence}")
    for row in job.ledger.exceptions(MOST_EXCEPTIONS) if job is not None else ():
        if not row.signed_off:
            text = "; ".join(part for part in (row.detail, row.said, row.verdict_detail) if part)
            click.echo(one_line(f"    {row.item} [{row.reason or row.verdict}] {text}"))
    if found["accounted"]:
        click.echo("  every instance is accounted for")


def _size(count: float) -> str:
    return mebibytes(round(count))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Bar:
    """What goes on: a bar on a terminal, else a line every half minute. Use it as a context manager."""

    def __init__(self) -> None:
        from dicomnn.cli._telling import TerminalTeller

        self._teller = TerminalTeller()

    def tell(self, what: str, done: int, total: int, more: str) -> None:
        self._teller.progress(what, done, total, more)

    def __enter__(self) -> _Bar:
        self._teller.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._teller.__exit__(*error)
