"""dicomnn info: what a file is, coded or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dicomnn.cli import one_line
from dicomnn.cli._walk import mebibytes, sizes

LABELS = (
    ("sop_class_uid", "SOP class"),
    ("sop_instance_uid", "SOP instance"),
    ("modality", "modality"),
    ("transfer_syntax_name", "transfer syntax"),
    ("original_transfer_syntax_name", "received as"),
    ("image", "image"),
    ("profile", "profile"),
    ("exact", "comes back"),
    ("lossy", "lossy"),
    ("effort", "effort"),
    ("model_id", "model"),
    ("tiles", "tiles"),
    ("size", "size"),
    ("bits_per_pixel", "bits per pixel"),
    ("coded_by", "coded by"),
    ("eligible", "can be coded"),
    ("note", "note"),
)


@click.command("info")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(file: Path, as_json: bool) -> None:
    """Say what FILE is: its image, its promise, its sizes. Decodes nothing.

    \b
    JSON: schema "dicomnn.info/1"; path, bytes, coded (bool), sop_class_uid, sop_instance_uid, modality,
    transfer_syntax, transfer_syntax_name, image {frames, rows, columns, bits_allocated, bits_stored, signed,
    photometric_interpretation} or null.
    A coded file also: profile, effort, model_id, exact, original_transfer_syntax, bytes_original,
    payload_bytes, ratio, bits_per_pixel, tiles {neural, jpegls, constant, raw}, pixel_digest,
    dataset_digest (its first 32 digits where another data set comes back than was received),
    original_dataset_digest, time, library_version, note, lossy (docs/report.md; null where nobody asked).
    Any other file: eligible (bool, under profile lossless), reason, reason_text.
    """
    from dicomnn.flow.describe import describe

    facts = describe(file)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in _lines(facts):
        click.echo(one_line(line))


def _lines(facts: dict[str, Any]) -> list[str]:
    shown = dict(facts)
    if facts["image"]:
        shown["image"] = (
            "{frames} x {rows} x {columns}, {bits_stored} of {bits_allocated} bits, {sign}, "
            "{photometric_interpretation}"
        ).format(sign="signed" if facts["image"]["signed"] else "unsigned", **facts["image"])
    if facts["coded"]:
        shown["size"] = sizes(facts["bytes_original"], facts["bytes"])
        shown["tiles"] = ", ".join(f"{count} {name}" for name, count in facts["tiles"].items() if count)
        shown["coded_by"] = f"dicomnn {facts['library_version']} at {facts['time']}"
        shown["model_id"] = facts["model_id"] or "none needed"
        shown["bits_per_pixel"] = f"{facts['bits_per_pixel']:.3f}"
        if facts["lossy"]:
            shown["lossy"] = _lossy(facts["lossy"])
        if facts["original_transfer_syntax"] == facts["transfer_syntax"]:
            shown.pop("original_transfer_syntax_name")
    else:
        shown["size"] = mebibytes(facts["bytes"])
        shown["eligible"] = "yes" if facts["eligible"] else f"no: {facts['reason_text']} ({facts['reason']})"
    title = "a coded object" if facts["coded"] else "an ordinary DICOM object"
    return [f"{facts['path']}: {title}"] + [
        f"  {label + ':':17} {shown[key]}" for key, label in LABELS if shown.get(key) not in (None, "")
    ]


def _lossy(facts: dict[str, Any]) -> str:
    """Promised, and what became of it."""
    said = f"{facts['promise']} {facts['outcome']}"
    if "reached_worst" in facts:
        said += f", worst frame {facts['reached_worst']:g}"
        said += f", ratio {facts['ratio_bits_stored']:.3g} by Bits Stored"
    return said + (f": {facts['reason_text']}" if facts.get("reason_text") else "")
