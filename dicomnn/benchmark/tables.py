"""The tables as plain rows, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomnn.benchmark.peers import THREADED
from dicomnn.benchmark.ratios import Mean, Row, by_group, mean
from dicomnn.benchmark.record import YARDSTICK, bits_per_pixel, bound_of, pairs, scopes, tiles
from dicomnn.benchmark.run import Result, name_of
from dicomnn.benchmark.savings import UNKNOWN, Saving, savings, together, yearly
from dicomnn.benchmark.speeds import Speed
from dicomnn.benchmark.stacks import PEER, StackedSeries, key_of
from dicomnn.codec.tiles import METHODS

DECODE_YARDSTICK = "jpeg2000"
GIGABYTE = 1e9


@dataclass(frozen=True)
class Table:
    """Cells are text; the first column is left-aligned, the others right. `detail`: for the file, too long
    for a terminal.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    detail: bool = False


def all_tables(result: Result, terabytes: float | None = None) -> list[Table]:
    """What is shown, in order. `terabytes`: a yearly volume to extrapolate the savings to."""
    tables = []
    for scope, rows in scopes(result.rows, result.held_out).items():
        tables += [mean_table(scope, rows), spread_table(scope, rows), bounded_table(scope, rows)]
        tables += [size_table(scope, rows, bounded=False), tile_table(scope, rows)]
        tables += [size_table(scope, rows, bounded=True), detail_table(scope, rows)]
    if result.stacks is not None:
        for scope, stacked in scopes(result.stacks.rows, result.held_out).items():
            tables.append(neighbour_table(scope, stacked, result.settings.efforts, result.stacks.group))
    tables += [speed_table(list(result.speeds.values()))]
    codec = result.preferred
    if codec is not None:
        parts = savings(result, codec)
        tables.append(savings_table(codec, parts))
        if terabytes:
            tables.append(yearly_table(codec, parts, terabytes))
    return [table for table in tables if table.rows]


def markdown(table: Table) -> str:
    """A heading, the table and its note."""
    lines = [
        f"## {table.title}",
        "",
        "| " + " | ".join(table.columns) + " |",
        "| --- |" + " ---: |" * (len(table.columns) - 1),
        *(
            "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |"
            for row in table.rows
        ),
        "",
    ]
    return "\n".join([*lines, table.note, ""] if table.note else lines)


# ------------------------------------------------------------------ ratios
def mean_table(scope: str, rows: Sequence[Row]) -> Table:
    """Lossless: a row for each group and effort, a column for each peer."""
    compared = [(ours, peer) for ours, peer in pairs(rows) if not bound_of(ours)]
    peers = list(dict.fromkeys(peer for _, peer in compared))
    cells = []
    for group, part in by_group(rows).items():
        for ours in dict.fromkeys(ours for ours, _ in compared):
            found = {peer: mean(part, ours, peer) for peer in peers}
            count = max((one.count for one in found.values() if one), default=0)
            if count:
                shown = [_with_interval(found[peer]) for peer in peers]
                cells.append([group, name_of(ours), str(count), *shown])
    noise = [row.series.key for row in rows if row.noise]
    return Table(
        f"Lossless: our bytes / theirs, {scope}",
        ["group", "ours", "series", *map(name_of, peers)],
        cells,
        "Mean of per-series ratios, 95 % interval over series."
        + (f" Random numbers, not counted: {', '.join(noise)}." if noise else ""),
    )


def spread_table(scope: str, rows: Sequence[Row]) -> Table:
    """How series differ, against the yardstick alone."""
    return Table(
        f"Lossless against {name_of(YARDSTICK)}, {scope}",
        ["group", "ours", *MEAN_COLUMNS],
        [
            [group, name_of(ours), *_mean(found)]
            for group, part in by_group(rows).items()
            for ours, peer in pairs(part)
            if peer == YARDSTICK and (found := mean(part, ours, peer))
        ],
        "payload: the mean with our payload alone; the rest is the price of a DICOM object of one's own.",
    )


def bounded_table(scope: str, rows: Sequence[Row]) -> Table:
    """Every bound against JPEG-LS NEAR of the same bound."""
    return _pairs_table(f"Bounded: our bytes / JPEG-LS NEAR, {scope}", rows, bounded=True)


def detail_table(scope: str, rows: Sequence[Row]) -> Table:
    """Every lossless pair."""
    return _pairs_table(f"Every pair, {scope}", rows, bounded=False)


MEAN_COLUMNS = ["series", "mean", "95 % interval", "median", "payload", "< 1", "worst", "worst series"]


def _pairs_table(title: str, rows: Sequence[Row], *, bounded: bool) -> Table:
    return Table(
        title,
        ["group", "ours", "peer", *MEAN_COLUMNS],
        [
            [group, name_of(ours), name_of(peer), *_mean(found)]
            for group, part in by_group(rows).items()
            for ours, peer in pairs(part)
            if bool(bound_of(ours)) == bounded and (found := mean(part, ours, peer))
        ],
        detail=not bounded,
    )


def neighbour_table(scope: str, rows: Sequence[StackedSeries], efforts: Sequence[str], group: int) -> Table:
    """Thin CT as stacks: for each effort a row for each series, and the means of those that count."""
    counted = [row for row in rows if not row.noise]
    cells = []
    for effort in efforts:
        alone, before = key_of(effort, 0), key_of(effort, group)
        for row in rows:
            spacings = sorted({run.spacing for run in row.runs})
            cells.append([
                short(row.series.key),
                effort,
                str(row.slices),
                f"{spacings[0]:g}" if len(spacings) == 1 else f"{spacings[0]:g} .. {spacings[-1]:g}",
                f"{row.sizes[PEER].bits_per_pixel:.3f}",
                *(f"{row.ratio(codec, PEER):.4f}" for codec in (alone, before)),
                _neighbour_share([row], before),
            ])  # fmt: skip
        if counted:
            cells.append([
                f"mean of {len(counted)} series",
                effort,
                str(sum(row.slices for row in counted)),
                "",
                f"{bits_per_pixel(counted)[PEER]:.3f}",
                *(_with_interval(mean(counted, codec, PEER)) for codec in (alone, before)),
                _neighbour_share(counted, before),
            ])  # fmt: skip
    noise = [row.series.key for row in rows if row.noise]
    return Table(
        f"Thin-slice CT, neighbouring slice, {scope}",
        ["series", "effort", "slices", "mm apart", f"{name_of(PEER)}, bpp", "alone", "with the slice before",
         "neighbour tiles"],
        cells,
        f"Payload bytes / {name_of(PEER)} over all thin slices of a series, one payload a run; with the slice"
        f" before: groups of {group}; to read one slice takes decoding up to {group}."
        + (f" Random numbers, not counted: {', '.join(noise)}." if noise else ""),
    )  # fmt: skip


def _neighbour_share(rows: Sequence[StackedSeries], codec: str) -> str:
    won = [row.sizes[codec].tiles for row in rows]
    every = sum(sum(counts.values()) for counts in won)
    return f"{100 * sum(counts.get('neighbour', 0) for counts in won) / every:.1f} %"


def _with_interval(found: Mean | None) -> str:
    return "" if found is None else f"{found.mean:.3f} ({found.low:.3f} .. {found.high:.3f})"


def _mean(found: Mean) -> list[str]:
    return [
        str(found.count),
        f"{found.mean:.4f}",
        f"{found.low:.4f} .. {found.high:.4f}",
        f"{found.median:.4f}",
        f"{found.payload:.4f}",
        str(found.under_one),
        f"{found.worst:.4f}",
        short(found.worst_series),
    ]


def short(series: str, length: int = 34) -> str:
    """A series' key that fits into a table: source, and the end of a long UID."""
    if len(series) <= length:
        return series
    source, _, uid = series.rpartition("/")
    left = max(8, length - len(source) - 4)
    return f"{source}/...{uid[-left:]}" if source else f"...{uid[-left:]}"


# ------------------------------------------------------------------ sizes, tiles, speed
def size_table(scope: str, rows: Sequence[Row], *, bounded: bool) -> Table:
    """Bits a pixel, mean over series, a column for each codec: the lossless ones, or those with a bound."""
    groups = {group: bits_per_pixel(part) for group, part in by_group(rows).items()}
    every = dict.fromkeys(codec for part in groups.values() for codec in part)
    codecs = [codec for codec in every if bool(bound_of(codec)) == bounded]
    return Table(
        f"Bits per pixel{', bounded' if bounded else ''} (mean over series), {scope}",
        ["group", "series", "frames", *(name_of(codec) for codec in codecs)],
        [
            [
                group,
                str(sum(not row.noise for row in part)),
                str(sum(len(unit.frames) for row in part if not row.noise for unit in row.series.units)),
                *(f"{groups[group][codec]:.3f}" if codec in groups[group] else "" for codec in codecs),
            ]
            for group, part in by_group(rows).items()
            if codecs
        ],
        detail=bounded,
    )


def tile_table(scope: str, rows: Sequence[Row]) -> Table:
    """The share of tiles that each contender won."""
    cells = []
    for group, part in by_group(rows).items():
        for codec, won in tiles(part).items():
            if bound_of(codec):
                continue
            total = sum(won.values())
            shares = (f"{100 * won.get(name, 0) / total:.1f} %" for name in METHODS)
            cells.append([group, name_of(codec), str(total), *shares])
    return Table(f"Tiles won, {scope}", ["group", "ours", "tiles", *METHODS], cells)


def speed_table(speeds: Sequence[Speed]) -> Table:
    """MB/s of 16-bit pixels, memory, and what that is of the two yardsticks of this run."""
    by_codec = {found.codec: found for found in speeds}
    encode, decode = by_codec.get(YARDSTICK), by_codec.get(DECODE_YARDSTICK)
    return Table(
        "Speed, MB/s of 16-bit pixels",
        ["codec", "cores", "encode", "decode", "encode, core", "decode, core", "encode / JPEG XL e7",
         "decode / JPEG 2000", "memory"],
        [
            [
                name_of(found.codec),
                found.codec.removeprefix(THREADED) if found.codec.startswith(THREADED)
                else str(found.workers),
                _number(found.encode),
                _number(found.decode),
                _number(found.encode_core),
                _number(found.decode_core),
                _share(found, encode, "encode"),
                _share(found, decode, "decode"),
                f"{found.memory / (1 << 20):.0f} MiB",
            ]
            for found in speeds
            if found.pixels
        ],
        "encode, decode: all cores together, by the wall; core: by processor seconds, one core. Shares: by"
        " the wall, and by processor seconds." + _busy(speeds),
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share(found: Speed, yardstick: Speed | None, way: str) -> str:
    """Of the yardstick's speed: by the wall, and by processor seconds."""
    shares = []
    for name in (way, f"{way}_core"):
        value, of = getattr(found, name), getattr(yardstick, name, None)
        if value is None or not of:
            return ""
        shares.append(f"{value / of:.3g}")
    return f"{shares[0]} ({shares[1]})"


BUSY = 1.25
"""Wall by processor seconds above which a stage did not have its cores for itself."""


def _busy(speeds: Sequence[Speed]) -> str:
    """A warning where the machine did something else in some of the stages."""
    busy = [
        name_of(found.codec)
        for found in speeds
        if not found.codec.startswith(THREADED)
        and found.encode is not None
        and found.encode_core is not None
        and found.encode_core * found.workers > BUSY * found.encode
    ]
    if not busy:
        return ""
    return f" The machine was busy in {len(busy)} of {len(speeds)} stages: trust the processor seconds."


# ------------------------------------------------------------------ savings
def savings_table(codec: str, parts: Sequence[Saving]) -> Table:
    """By modality and year, with sums."""
    rows: list[list[str]] = []
    modalities = list(dict.fromkeys(part.modality for part in parts))
    for modality in modalities:
        members = [part for part in parts if part.modality == modality]
        rows += [_saving(part) for part in members]
        if len(members) > 1:
            rows.append(_saving(together(members, modality, "all years")))
    if len(modalities) > 1:
        rows.append(_saving(together(parts, "all", "all years")))
    estimated = sum(part.estimated for part in parts)
    return Table(
        f"What this folder would take with {name_of(codec)}, by modality and study year",
        ["modality", "year", "files", "would be coded", "now", "uncompressed now", "with dicomnn", "saved",
         "saved %"],
        rows,
        "Whole files as they lie there, whatever their transfer syntax; what cannot be coded, or would not"
        " become smaller, stays as it is."
        + (f" {estimated} files were not measured wholly: estimated from their series." if estimated else ""),
    )  # fmt: skip


def _saving(part: Saving) -> list[str]:
    return [
        part.modality,
        "no date" if part.year == UNKNOWN else part.year,
        str(part.files),
        str(part.coded),
        size_text(part.now),
        f"{100 * part.native / part.now:.0f} %" if part.now else "",
        size_text(part.after),
        size_text(part.now - part.after),
        f"{100 * part.share:.1f} %",
    ]


def size_text(size: float) -> str:
    """Bytes for people, decimal as disks are sold."""
    for limit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if abs(size) >= limit:
            return f"{size / limit:.3g} {name}" if abs(size) < 100 * limit else f"{size / limit:.0f} {name}"
    return f"{size / 1e3:.1f} kB"


def yearly_table(codec: str, parts: Sequence[Saving], terabytes: float) -> Table:
    """A yearly volume with this folder's mix."""
    found = yearly(parts, terabytes)
    now, after = (sum(getattr(part, name) for part in found) for name in ("now", "after"))
    lines = [(part.modality, part.now, part.after) for part in found]
    if len(found) > 1:
        lines.append(("all", now, after))
    return Table(
        f"{terabytes:g} TB a year with {name_of(codec)}",
        ["modality", "TB now", "TB with dicomnn", "TB saved", "saved %"],
        [
            [name, f"{a:.3g}", f"{b:.3g}", f"{a - b:.3g}", f"{100 * (1 - b / a):.1f} %"]
            for name, a, b in lines
        ],
        "If the year's images are mixed and stored as those of this folder are.",
    )
