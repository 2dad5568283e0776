"""The report of a migration as one HTML page without outside parts; its rows stand in the CSV beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from dicomnn.report.drawing import escape, percent, size_bar
from dicomnn.report.reading import ratio_text, size

MOST_ROWS = 500
_WORDS = {
    "stored": "in the archive",
    "todo": "to be fetched",
    "set-aside": "set aside",
    "failed": "not delivered",
    "left": "no DICOM object",
}


def page(found: dict[str, Any], why: Sequence[str]) -> str:
    """``found``: as flow/migration/summary gives it; ``why``: what is not accounted for, a sentence each."""
    title = f"Migration {found['from']}"
    parts = (
        _head(found),
        _verdict(found, why),
        _cards(found),
        _modalities(found),
        _forecast(found),
        _verification(found),
        _exceptions(found),
        _studies(found),
        _foot(found),
    )
    css = resources.files("dicomnn.report").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{css}</style></head><body><main>{''.join(parts)}</main>"
        "</body></html>"
    )


def moment(seconds: float) -> str:
    """A time since 1970 for reading, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _head(found: dict[str, Any]) -> str:
    entries = (
        ("From", found["from"]),
        ("To", found["to"]),
        ("Job", found["job"]),
        ("Begun", moment(found["created"])),
    )
    listed = "".join(f"<div><dt>{label}</dt><dd>{escape(text)}</dd></div>" for label, text in entries)
    return (
        '<header><div><div class="kicker">Migration</div><h1>Every instance, one row</h1></div></header>'
        f'<dl class="facts">{listed}</dl>'
    )


def _verdict(found: dict[str, Any], why: Sequence[str]) -> str:
    verified = found["verify"] is not None
    if found["accounted"]:
        head = f"All {found['instances']} instances are accounted for" + (
            "" if verified else "; they have not been read back yet (dicomnn migrate verify)"
        )
        text = f"{found['stored']} are in the archive, {found['signed_off']} exceptions were signed off."
        return f'<div class="box {"verdict" if verified else "note"}"><strong>{head}</strong>{text}</div>'
    return (
        '<div class="box note"><strong>Not every instance is accounted for</strong><ul>'
        + "".join(f"<li>{escape(sentence)}</li>" for sentence in why)
        + "</ul></div>"
    )


def _cards(found: dict[str, Any]) -> str:
    came = sum(one["bytes"] for one in found["modalities"])
    cards = [
        (str(found["instances"]), "instances", f"{found['left']} other files were left"),
        (str(found["stored"]), "in the archive", size(came) + " as they came"),
        (
            str(found["set_aside"] + found["failed"]),
            "set aside or not delivered",
            f"{found['signed_off']} signed off",
        ),
        (
            str(len(found["studies"])),
            "studies that the source told of",
            f"{found['studies_short']} with fewer instances than it counts",
        ),
    ]
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="box"><b>{escape(head)}</b>{escape(text)}<span>{escape(more)}</span></div>'
            for head, text, more in cards
        )
        + "</div>"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already; those that are numbers only are set to the right."""

    def cell(text: str) -> str:
        right = ' class="number"' if text[:1].isdigit() or text == "–" else ""
        return f"<td{right}>{text}</td>"

    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _modalities(found: dict[str, Any]) -> str:
    predicted = {one["modality"]: one for one in (found["forecast"] or {}).get("strata", ())}
    rows = []
    for one in found["modalities"]:
        told = predicted.get(one["modality"])
        before, after = one["verified_bytes"], one["stored_bytes"]
        rows.append(
            (
                escape(one["modality"]),
                str(one["instances"]),
                str(one["stored"]),
                size(one["bytes"]),
                size(after) if one["verified"] else "–",
                ratio_text(before / after if after else None),
                ratio_text(told["bytes"] / told["after"]) if told and told["after"] else "–",
                size_bar(before, after) if one["verified"] else "",
            )
        )
    return "<h2>By modality</h2>" + _table(
        ("Modality", "Instances", "In the archive", "As they came", "Stored", "Ratio", "Predicted", ""), rows
    )


def _forecast(found: dict[str, Any]) -> str:
    told = found["forecast"]
    if not told:
        return ""
    saved = 1 - told["after"] / told["bytes"] if told["bytes"] else 0.0
    return (
        '<h2>What was predicted</h2><div class="box"><p>From really coding a random sample of '
        f"{told['sampled']} of {told['instances']} instances before the transfer: {size(int(told['bytes']))} "
        f"would take {size(int(told['after']))} (± {size(int(2 * told['error']))}), {percent(saved)} less. "
        "The range is two standard errors of the sample.</p></div>"
    )


def _verification(found: dict[str, Any]) -> str:
    rows = [
        (escape(one["verdict"] or "–"), escape(one["words"]), str(one["count"]), size(one["bytes"] or 0))
        for one in found["verdicts"]
    ]
    last = found["verify"]
    when = f"<p>Read back on {escape(moment(last['at']))}.</p>" if last else ""
    return f"<h2>Read back from the archive</h2>{when}" + _table(
        ("Verdict", "Meaning", "Instances", "As they came"), rows
    )


def _exceptions(found: dict[str, Any]) -> str:
    rows = [
        (
            escape(row["item"]),
            escape(_WORDS.get(row["state"], row["state"])),
            escape(row["reason"] or row["verdict"]),
            escape("; ".join(part for part in (row["detail"], row["said"], row["verdict_detail"]) if part)),
            escape(row["signed_off"] or "–"),
        )
        for row in found["exceptions"][:MOST_ROWS]
    ]
    cut = "".join(f"<li>{escape(question)}</li>" for question in found["cut"])
    more = f"<p>Questions that the source did not answer in full:</p><ul>{cut}</ul>" if cut else ""
    if not rows and not more:
        return "<h2>Exceptions</h2><p>None.</p>"
    return (
        "<h2>Exceptions</h2>"
        + more
        + _table(("Item", "State", "Reason", "What is known", "Signed off"), rows)
    )


def _studies(found: dict[str, Any]) -> str:
    if not found["studies"]:
        return ""
    short = set(found["short"])
    # The odd ones first; there may be many thousands of others.
    listed = sorted(found["studies"], key=lambda study: study["study_uid"] not in short)
    rows = [
        (
            f'<span class="uid">{escape(study["study_uid"])}</span>',
            escape(study["study_date"] or "none"),
            *(
                "–" if study[name] is None else str(study[name])
                for name in ("counted", "series_counted", "listed", "stored")
            ),
            escape(
                "; ".join(
                    part
                    for part in (
                        "fewer than counted" if study["study_uid"] in short else "",
                        "signed off: " + study["signed_off"] if study["signed_off"] else "",
                        study["note"],
                    )
                    if part
                )
            ),
        )
        for study in listed[:MOST_ROWS]
    ]
    more = len(listed) - len(rows)
    return (
        "<h2>Studies</h2>"
        + _table(
            ("Study", "Date", "Counted by the source", "by its series", "listed", "in the archive", ""), rows
        )
        + (f"<p>{more} more are in the CSV file.</p>" if more > 0 else "")
    )


def _foot(found: dict[str, Any]) -> str:
    return (
        "<footer>Written by dicomnn, " + escape(moment(found["at"])) + ". Every instance has a row with its "
        "digests in the CSV file beside this page and in the job's ledger.</footer>"
    )
