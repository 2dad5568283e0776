"""A table of the benchmark on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as RichTable

from dicomnn.cli import one_line

if TYPE_CHECKING:
    from dicomnn.benchmark.tables import Table


def show(console: Console, table: Table) -> None:
    """The table, its note and an empty line."""
    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for number, name in enumerate(table.columns):
        shown.add_column(name, justify="right" if number else "left", no_wrap=number == 0)
    for row in table.rows:
        shown.add_row(*(one_line(cell) for cell in row))
    console.print(shown)
    if table.note:
        console.print(one_line(table.note), markup=False)
    console.print()
