"""What a ledger says, as plain data: for `status`, the report and the exit code."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from dicomnn.flow.migration.job import Job
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.rows import Row
from dicomnn.flow.migration.verify import GOOD, VERDICTS

SCHEMA = "dicomnn.migration/1"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def facts(job: Job) -> dict[str, Any]:
    """Counts, sizes and what is missing; its cost does not depend on how much was transferred long ago
    more than a count over the ledger's index."""
    ledger, settings = job.ledger, job.settings
    counts = ledger.counts()
    signed = ledger.groups("signed_off != ''", "state IN ('set-aside', 'failed')")
    open_exceptions = sum(row["count"] for row in signed if not row[0])
    short, cut = ledger.short_studies(), ledger.questions("cut")
    wrong = sum(
        row["count"]
        for row in ledger.groups("verdict", "state = 'stored'")
        if row["verdict"] and row["verdict"] not in GOOD
    )
    inventory = ledger.get("inventory", "not begun")
    accounted = (
        inventory == "complete"
        and not counts["todo"]
        and not open_exceptions
        and not short
        and not cut
        and not wrong
    )
    return {
        "schema": SCHEMA,
        "job": settings.id,
        "from": settings.source,
        "to": settings.target,
        "created": settings.created,
        "inventory": inventory,
        "instances": sum(counts.values()) - counts["left"],
        **{state.replace("-", "_"): count for state, count in counts.items()},
        "signed_off": sum(row["count"] for row in signed if row[0]),
        "open_exceptions": open_exceptions,
        "studies_short": len(short),
        "questions_cut": len(cut),
        "verified_wrong": wrong,
        "accounted": accounted,
        "run": ledger.get("run"),
        "verify": ledger.get("verify"),
        "forecast": ledger.get("forecast"),
    }


def missing(found: dict[str, Any]) -> list[str]:
    """Why not every instance is accounted for, a sentence each."""
    said = []
    if found["inventory"] != "complete":
        said.append(f"the inventory is {found['inventory']}: call plan or run")
    for key, words in (
        ("todo", "instances are still to be fetched: call run"),
        (
            "open_exceptions",
            "instances are not in the archive (set aside or failed): see report; mend and "
            "run again, or sign them off",
        ),
        ("studies_short", "studies have more instances than the source listed or sent: see report"),
        ("questions_cut", "questions were not answered in full by the source: see report"),
        ("verified_wrong", "instances do not come back as they were: see report"),
    ):
        if found[key]:
            said.append(f"{found[key]} {words}")
    return said


def details(job: Job) -> dict[str, Any]:
    """`facts` with the tables of the report."""
    ledger = job.ledger
    return facts(job) | {
        "at": time.time(),
        "modalities": _modalities(ledger),
        "kinds": _grouped(ledger, "kind", "state = 'stored'"),
        "reasons": _grouped(ledger, "state, reason", "reason != ''"),
        "verdicts": [
            {
                "verdict": row["verdict"],
                "words": VERDICTS.get(row["verdict"], "not read back yet"),
                "count": row["count"],
                "bytes": row["bytes"],
                "stored_bytes": row["stored_bytes"],
            }
            for row in ledger.groups("verdict", "state = 'stored'")
        ],
        "studies": list(ledger.studies()),
        "short": [study["study_uid"] for study in ledger.short_studies()],
        "cut": ledger.questions("cut"),
        "exceptions": [_plain(row) for row in ledger.exceptions()],
    }


def _grouped(ledger: Ledger, columns: str, condition: str) -> list[dict[str, Any]]:
    return [dict(row) for row in ledger.groups(columns, condition)]


def _modalities(ledger: Ledger) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in ledger.groups("modality, state, verdict != ''", "state != 'left'"):
        one = found.setdefault(
            row["modality"] or "none",
            {"instances": 0, "stored": 0, "bytes": 0, "verified": 0, "verified_bytes": 0, "stored_bytes": 0},
        )
        one["instances"] += row["count"]
        if row["state"] == "stored":
            one["stored"] += row["count"]
            one["bytes"] += row["bytes"] or 0
            if row[2]:
                one["verified"] += row["count"]
                one["verified_bytes"] += row["bytes"] or 0
                one["stored_bytes"] += row["stored_bytes"] or 0
    return [{"modality": name, **one} for name, one in sorted(found.items())]


def _plain(row: Row) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}


def write_csv(ledger: Ledger, path: Path) -> int:
    """A row for each instance; appears whole. Spreadsheets do not take a cell for a formula. How many."""
    temporary, count = path.with_name(f".{path.name}.part"), 0
    names = [field.name for field in fields(Row)]
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in ledger.rows():
            writer.writerow([_cell(getattr(row, name)) for name in names])
            count += 1
    os.replace(temporary, path)
    return count


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
