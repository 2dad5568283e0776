"""The tables as plain rows, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomnn.benchmark.ours import PREFIX
from dicomnn.benchmark.peers import THREADED
from dicomnn.benchmark.ratios import Mean, Row, by_group, mean
from dicomnn.benchmark.record import bits_per_pixel, pairs, scopes, tiles
from dicomnn.benchmark.run import Result, name_of
from dicomnn.benchmark.speeds import Speed

ENCODE_YARDSTICK, DECODE_YARDSTICK = "jxl-e7", "jpeg2000"


@dataclass(frozen=True)
class Table:
    """Cells are text; the first column is left-aligned, the others right."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


def all_tables(result: Result) -> list[Table]:
    """What is printed, in order."""
    tables = []
    for scope, rows in scopes(result).items():
        tables += [ratio_table(scope, rows), size_table(scope, rows)]
        if any(row.sizes[codec].tiles for row in rows for codec in row.sizes):
            tables.append(tile_table(scope, rows))
    return [*tables, speed_table(list(result.speeds.values()))]


def markdown(table: Table) -> str:
    """A heading, the table and its note."""
    lines = [
        f"## {table.title}",
        "",
        "| " + " | ".join(table.columns) + " |",
        "| --- |" + " ---: |" * (len(table.columns) - 1),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows),
        "",
    ]
    return "\n".join([*lines, table.note, ""] if table.note else lines)


def ratio_table(scope: str, rows: Sequence[Row]) -> Table:
    """Means of per-series ratios by group, for every pair."""
    cells = []
    for group, part in by_group(rows).items():
        for ours, peer in pairs(part):
            found = mean(part, ours, peer)
            if found is not None:
                cells.append([group, name_of(ours), name_of(peer), *_mean(found)])
    noise = [row.series.key for row in rows if row.noise]
    note = f"Random numbers, not counted: {', '.join(noise)}." if noise else ""
    return Table(
        f"Bytes of ours by bytes of the peer, {scope}",
        [
            "group",
            "ours",
            "peer",
            "series",
            "mean",
            "95 % interval",
            "median",
            "worst",
            "worst series",
            "< 1",
        ],
        cells,
        note,
    )


def _mean(found: Mean) -> list[str]:
    return [
        str(found.count),
        f"{found.mean:.4f}",
        f"{found.low:.4f} .. {found.high:.4f}",
        f"{found.median:.4f}",
        f"{found.worst:.4f}",
        short(found.worst_series),
        f"{found.under_one}",
    ]


def short(series: str, length: int = 40) -> str:
    """A series' key that fits into a table: source, and the end of a long UID."""
    if len(series) <= length:
        return series
    source, _, uid = series.rpartition("/")
    left = max(8, length - len(source) - 4)
    return f"{source}/...{uid[-left:]}" if source else f"...{uid[-left:]}"


def size_table(scope: str, rows: Sequence[Row]) -> Table:
    """Bits a pixel, mean over series, a column for each codec."""
    groups = {group: bits_per_pixel(part) for group, part in by_group(rows).items()}
    codecs = list(dict.fromkeys(codec for part in groups.values() for codec in part))
    return Table(
        f"Bits per pixel (mean over series), {scope}",
        ["group", "series", "frames", *(name_of(codec) for codec in codecs)],
        [
            [
                group,
                str(sum(not row.noise for row in part)),
                str(sum(len(unit.frames) for row in part for unit in row.series.units)),
                *(f"{groups[group][codec]:.3f}" if codec in groups[group] else "" for codec in codecs),
            ]
            for group, part in by_group(rows).items()
        ],
    )


def tile_table(scope: str, rows: Sequence[Row]) -> Table:
    """The share of tiles that each contender won."""
    cells = []
    for group, part in by_group(rows).items():
        for codec, won in tiles(part).items():
            total = sum(won.values())
            shares = (f"{100 * won.get(name, 0) / total:.1f} %" for name in _methods())
            cells.append([group, name_of(codec), str(total), *shares])
    return Table(f"Tiles won, {scope}", ["group", "ours", "tiles", *_methods()], cells)


def _methods() -> tuple[str, ...]:
    from dicomnn.codec.tiles import METHODS

    return METHODS


def speed_table(speeds: Sequence[Speed]) -> Table:
    """MB/s of 16-bit pixels, memory, and what that is of the two yardsticks of this run."""
    by_codec = {found.codec: found for found in speeds}
    encode = by_codec[ENCODE_YARDSTICK].encode if ENCODE_YARDSTICK in by_codec else None
    decode = by_codec[DECODE_YARDSTICK].decode if DECODE_YARDSTICK in by_codec else None
    return Table(
        "Speed, MB/s of 16-bit pixels",
        [
            "codec",
            "workers",
            "encode",
            "decode",
            "encode per core",
            "decode per core",
            "encode / JPEG XL e7",
            "decode / JPEG 2000",
            "memory of a worker",
        ],
        [
            [
                name_of(found.codec),
                str(found.workers) + (" (threads)" if found.codec.startswith(THREADED) else ""),
                _number(found.encode),
                _number(found.decode),
                _number(found.encode_core),
                _number(found.decode_core),
                _share(found.encode, encode),
                _share(found.decode, decode),
                f"{found.memory / (1 << 20):.0f} MiB",
            ]
            for found in speeds
            if found.pixels
        ],
        "encode, decode: all workers together, by the wall; per core: by processor seconds.",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share(value: float | None, yardstick: float | None) -> str:
    return "" if value is None or not yardstick else f"{value / yardstick:.3g}"


def is_ours(codec: str) -> bool:
    """Whether a key is one of ours."""
    return codec.startswith(PREFIX)
