"""dicomnn verify: decode coded objects and check every digest, without writing anything."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import click

from dicomnn.cli._walk import finish, jobs_option, walk
from dicomnn.flow.files import FileResult, plan

SCHEMA = "dicomnn.verify/1"


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("original", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@jobs_option
def command(path: Path, original: Path | None, as_json: bool, jobs: int) -> None:
    """Decode coded files and check pixels and data set against the digests in them.

    With ORIGINAL (a file, or the folder that PATH mirrors) the result is compared with it too.

    \b
    JSON: schema "dicomnn.verify/1"; files, verified, not_coded, skipped, failed (counts); ok (bool);
    items: [{path, status, code, detail, exact, bytes_original, bytes_coded, dataset_digest,
    file_identical, profile, model_id, seconds}], sorted by path. status is verified, not-coded, skipped or
    failed; exact is data-set, pixels, bounded, lossy or empty.
    """
    started = time.monotonic()
    results = walk(plan("verify", path, original, jobs=jobs), jobs=jobs, quiet=as_json)
    if not as_json:
        finish(results, started=started, verb="verify")
        return
    report = as_report(results)
    click.echo(json.dumps(report, indent=2))
    sys.exit(0 if report["ok"] else 1)


def as_report(results: list[FileResult]) -> dict[str, object]:
    """The JSON object of ``--json``."""
    counts = Counter(result.status for result in results)
    return {
        "schema": SCHEMA,
        "ok": counts["failed"] == 0,
        "files": len(results),
        "verified": counts["verified"],
        "not_coded": counts["not-coded"],
        "skipped": counts["skipped"],
        "failed": counts["failed"],
        "items": [_item(result) for result in results],
    }


def _item(result: FileResult) -> dict[str, object]:
    facts = result.facts
    return {
        "path": result.name,
        "status": result.status,
        "code": result.reason,
        "detail": result.detail,
        "exact": result.exact,
        "bytes_original": result.bytes_before,
        "bytes_coded": result.bytes_after,
        "dataset_digest": facts.get("dataset_digest"),
        "file_identical": facts.get("file_identical"),
        "profile": facts.get("profile"),
        "model_id": facts.get("model_id"),
        "seconds": round(result.seconds, 3),
    }
