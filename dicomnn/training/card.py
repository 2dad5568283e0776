"""CARD.md: what a model was trained on, how it was checked, what it measures. Plain sentences and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dicomnn.training.images.records import LEFT_OUT, PlaneRecord
from dicomnn.training.images.split import APART, SIDES, Split

BEGIN, END = "<!-- evaluation -->", "<!-- end of evaluation -->"
UNNAMED = "not named"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "/").replace("\n", " ")


def data_of(split: Split, reasons: dict[str, int], *, name_sources: bool) -> dict[str, Any]:
    """Counts for manifest and card: nothing of a patient, and names of sources only when they may be told."""
    sources = sorted(
        {p.file.source for side in SIDES for p in split.sides[side]} | {p.file.source for p in split.apart}
    )
    called = {name: name if name_sources else f"source {n}" for n, name in enumerate(sources, 1)}
    found: dict[str, Any] = {
        "level": split.level,
        "counts": split.counts(),
        "left_out": reasons,
        "modalities": {side: _counted(split.sides[side], lambda p: p.file.group) for side in SIDES},
        "scanners": {side: _counted(split.sides[side], _scanner) for side in SIDES},
        "sources": {side: _counted(split.sides[side], lambda p: called[p.file.source]) for side in SIDES},
        "sources_named": name_sources,
    }
    return found


def _scanner(plane: PlaneRecord) -> str:
    return f"{plane.file.group}: {UNNAMED if plane.file.device.startswith('?') else plane.file.device}"


def _counted(planes: Sequence[PlaneRecord], name: Any) -> dict[str, int]:
    return dict(sorted(Counter(name(plane) for plane in planes).items()))


def card(
    model_id: str,
    about: dict[str, Any],
    data: dict[str, Any],
    verification: dict[str, Any],
    *,
    licence_note: str,
    command: str,
) -> str:
    """The whole card as Markdown."""
    parts = [
        f"# Model {model_id}",
        _what(about),
        "## Images\n\n" + images(data),
        "## Licence and origin of the images\n\n" + (licence_note.strip() or NO_LICENCE),
        "## Checked before release\n\n" + _checked(about, verification),
        "## Measured\n\n" + _measured(about, verification),
        f"{BEGIN}\n{NOT_EVALUATED}\n{END}",
        f"## Commands\n\n```sh\n{command}\n{EVALUATE.format(model_id)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


NO_LICENCE = "*To be filled in: where the images came from, and under which terms.*"
EVALUATE = "dicomnn evaluate {} FOLDER --split test --run runs/NAME --card"
NOT_EVALUATED = "Not yet measured on the test images."


def with_evaluation(text: str, measured: str) -> str:
    """The card with what `dicomnn evaluate --card` found, in place of what it said before."""
    if BEGIN not in text or END not in text:
        return text.rstrip() + f"\n\n{BEGIN}\n{measured}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    return before + f"{BEGIN}\n{measured}\n{END}" + rest.partition(END)[2]


def _what(about: dict[str, Any]) -> str:
    parent = about.get("parent")
    origin = f"It goes on from model {parent}." if parent else "It was trained from the start."
    return (
        "A tile autoencoder and a causal network, integers: see "
        f"`docs/format-neural.md`. {origin} {about['steps']} steps in {about['minutes']} minutes; the "
        f"weights are those of step {about['best_step']}, the best on the validation crops. Seed "
        f"{about['recipe']['seed']}."
    )


def images(data: dict[str, Any]) -> str:
    """How the images were split, counted by modality, scanner and source, and what was left out."""
    from dicomnn.training.images.split import LEVELS

    sides = [*SIDES, APART]
    names = {APART: "set apart"}
    counts = [
        [names.get(side, side), *(data["counts"][side][key] for key in COUNTED)]
        for side in sides
        if side != APART or data["counts"][side]["images"]
    ]
    parts = [LEVELS[data["level"]], table(["", *COUNTED], counts)]
    if not data["sources_named"]:
        numbers = ", ".join(f"{side} {len(data['sources'][side])}" for side in SIDES)
        parts.append(f"Sources (folders, their names are not told): {numbers}.")
    for title, key in (("modality", "modalities"), ("scanner", "scanners"), ("source", "sources")):
        if key == "sources" and not data["sources_named"]:
            continue
        rows = sorted({name for side in SIDES for name in data[key][side]}, key=_natural)
        parts.append(
            table(
                [f"planes by {title}", *SIDES], [[n, *(data[key][s].get(n, 0) for s in SIDES)] for n in rows]
            )
        )
    if data["left_out"]:
        rows_left = [[LEFT_OUT[code], count] for code, count in data["left_out"].items()]
        parts.append(table(["left out", "files or planes"], rows_left))
    return "\n\n".join(parts)


COUNTED = ("images", "planes", "series", "scanners", "patients")


def _natural(name: str) -> tuple[str, int, str]:
    head, _, last = name.rpartition(" ")
    return (head, int(last), "") if last.isdigit() else (name, 0, name)


def _checked(about: dict[str, Any], found: dict[str, Any]) -> str:
    return (
        f"{found['tiles']} tiles of validation images came back from their bytes, in {found['round_trips']} "
        f"round trips over all efforts and a bound; the reference decoder {found['reference_decoder']}. The "
        f"largest sum that any layer can form is {found['largest_sum']} (it must stay below {1 << 24}). "
        f"Fingerprint `{about['fingerprint']}`."
    )


def _measured(about: dict[str, Any], found: dict[str, Any]) -> str:
    validated = about["validated"]
    crops = [
        [key[: -len(" code")], f"{validated[key]:.4f}", f"{validated[key[:-5] + ' zero']:.4f}"]
        for key in sorted(validated)
        if key.endswith(" code")
    ]
    tiles = [
        [
            group,
            f["tiles"],
            f"{f['bits_per_pixel']:.4f}",
            f"{f['jpegls_bits_per_pixel']:.4f}",
            f["ratio_to_jpegls"],
        ]
        for group, f in found["groups"].items()
    ]
    return "\n\n".join(
        [
            "Validation crops, ideal code lengths of the trained network in bits per pixel (pixels of the "
            "flat rule left out, no online stage); *ref*: with the plane before them:",
            table(["group", "with tile code", "without"], crops),
            "Validation tiles, real bytes of the exported model at effort default, each tile on its own:",
            table(["group", "tiles", "bits/pixel", "JPEG-LS bits/pixel", "ours / JPEG-LS"], tiles),
        ]
    )
