"""CARD.md of a model of the lossy tier."""

from __future__ import annotations

from typing import Any

from dicomnn.training.card import NO_LICENCE, images, table

from .validation import BITS, EQUAL


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
        f"# Model {model_id} of the lossy tier",
        _what(about),
        "## Images\n\n" + images(data),
        "## Licence and origin of the images\n\n" + (licence_note.strip() or NO_LICENCE),
        "## Checked before release\n\n"
        f"{verification['frames']} pieces of validation images ({verification['pixels']} pixels in "
        f"{verification['bytes']} bytes) came back from their streams as the encoder meant them; the "
        f"reference decoder read corners of {verification['reference_decoder']} of them alike.",
        "## Measured\n\n" + _measured(about),
        f"## Command\n\n```sh\n{command}\n```\n\n"
        "Rate-distortion curves beside JPEG 2000 and JPEG XL: `dicomnn bench FOLDER --lossy`.",
    ]
    return "\n\n".join(parts) + "\n"


def _what(about: dict[str, Any]) -> str:
    parent = about["parent"]
    origin = f"It goes on from model {parent}." if parent else "It was trained from the start."
    return (
        "Six small networks of integers and a table of distributions (`docs/format-lossy.md`), points of "
        f"reconstruction and first chances. {origin} {about['steps']} steps in {about['minutes']} minutes of "
        f"one core; the networks are those of step {about['best_step']}, the best on the validation frames. "
        f"Tables, points and chances were fitted on training frames that the real encoder coded. Seed "
        f"{about['recipe']['seed']}."
    )


def _measured(about: dict[str, Any]) -> str:
    found, against = about["validated"], about["reference"]
    groups = [key[: -len(BITS) - 1] for key in found if key.endswith(f" {BITS}")]
    rows = [
        [group, f"{found[f'{group} {BITS}']:.4f}", f"{100 * found[f'{group} {EQUAL}'] - 100:+.2f} %"]
        for group in groups
    ]
    compared = f"model {against}" if against else "the first model of the run, after a few steps"
    return (
        "Pieces of validation images, real streams at steps that make some 0.05 to 1.5 bits per pixel:\n\n"
        + table(["group", "bits/pixel", "bits at equal error"], rows)
        + f"\n\nAt equal error: geometric mean over pieces against {compared}, at the same steps; less "
        "error counts at the encoder's price for a bit."
    )
