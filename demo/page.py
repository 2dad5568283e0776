"""What the demo shows on the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.modality import Study


@dataclass(frozen=True)
class Outcome:
    """What became of one study."""

    study: Study
    totals: dict[str, Any]
    """``totals`` of the study's report (docs/report.md)."""
    identical: int
    report: Path

    @property
    def exact(self) -> bool:
        return self.identical == len(self.study.images)

    @property
    def stored(self) -> int:
        return int(self.totals["bytes_after"])


def size(count: int) -> str:
    """Bytes for a person: 950 B, 12.3 KiB, 4.5 MiB."""
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, "KiB"
    if value >= 1024:
        value, unit = value / 1024, "MiB"
    return f"{value:.1f} {unit}"


def images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def progress(console: Console) -> Progress:
    """A bar of images that stays on the terminal when it is full."""
    return Progress(TextColumn("  {task.description:<34}"), BarColumn(bar_width=30), MofNCompleteColumn(),
                    TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console)


def shares(totals: dict[str, Any]) -> str:
    """Share of tiles per contender, the largest first."""
    found = sorted(totals["tile_shares"].items(), key=lambda entry: -entry[1])
    return ", ".join(f"{name} {share:.0%}" for name, share in found if share) or "none coded"


def archive_line(status: dict[str, Any]) -> str:
    """What the archive holds now, in a sentence."""
    left = status["releases_waiting"]
    originals = f"{left} originals wait for release" if left else "no original of a coded image is left"
    return (f"The archive: {size(status['bytes_received'])} received, {size(status['bytes_store'])} stored "
            f"and {size(status['bytes_index'])} of index; {originals}.")


def result_table(outcomes: list[Outcome]) -> Table:
    """One row a study, the sums below."""
    table = Table(title="Every study, there and back", title_justify="left", title_style="bold",
                  show_footer=True, header_style="bold", pad_edge=False)
    came = sum(outcome.identical for outcome in outcomes)
    sent = sum(len(outcome.study.images) for outcome in outcomes)
    before = sum(outcome.study.size for outcome in outcomes)
    after = sum(outcome.stored for outcome in outcomes)
    table.add_column("study", "together")
    table.add_column("arrived", f"{images(sent)}, {size(before)}", justify="right")
    table.add_column("shrank to", f"{size(after)} ({after / before:.0%})", justify="right")
    table.add_column("tiles won by")
    table.add_column("came back identical", f"{came} of {sent}", justify="right",
                     footer_style="green" if came == sent else "bold red")
    for outcome in outcomes:
        study, number = outcome.study, len(outcome.study.images)
        kept = sum(outcome.totals["kept"].values())
        table.add_row(
            f"{study.modality}: {study.title}", f"{images(number)}, {size(study.size)}",
            f"{size(outcome.stored)} ({outcome.stored / study.size:.0%})",
            shares(outcome.totals) + (f"; {images(kept)} kept as received" if kept else ""),
            f"[{'green' if outcome.exact else 'bold red'}]{outcome.identical} of {number}[/]")
    return table
