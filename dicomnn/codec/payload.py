"""The container: header, plane records, packing tables, tile table, data (docs/format.md has every byte).

Parsing trusts nothing: sizes that the header claims are held against fixed limits and against the bytes that
are there before anything is allocated for them, and the header's CRC covers everything in front of the tiles'
data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dicomnn.codec import packing
from dicomnn.codec.checksum import crc32c
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import METHODS, Grid
from dicomnn.errors import (
    PayloadCorrupt,
    PayloadImplausible,
    PayloadTruncated,
    SamplesInvalid,
    UnsupportedFormatVersion,
    UsageError,
)

MAGIC = b"DNNP"
VERSION = 2
FIXED = struct.Struct("<4s4B3H2I16s32s")
CHECKSUM = struct.Struct("<I")
PLANE_RECORD = np.dtype([("minimum", "<u2"), ("peak", "<u2"), ("flags", "u1")])
TILE_RECORD = np.dtype([("length", "<u4"), ("checksum", "<u4")])
TABLE_HEAD = struct.Struct("<I")

MAX_DECODED = 1 << 32
"""Decoded bytes of a payload: native Pixel Data has a 32-bit length (PS3.5 section 7.1.1), so no object needs
more.
"""
MAX_GROUP = 255

_PROFILE_KINDS = ("keep", "lossless", "bounded")
_WIDE, _KNOWN_KINDS = 32, 63
_PACKING, _OWN_TABLE, _SAME_TABLE, _HAS_SIDE, _KNOWN_FLAGS = 3, 1, 2, 4, 7
_LENGTH_BITS = 24


@dataclass(frozen=True, eq=False)
class Header:
    """What a payload says about itself.

    ``model_id`` is '' when no tile needs a model. ``tile_methods`` (uint8, index into METHODS) and
    ``tile_lengths`` (int64, bytes): tiles in raster order, planes in the order: value plane of each frame,
    then the side planes of ``side_frames`` (int64, ascending), those frames that have bits outside of the
    stored values. ``group``: 0 where every frame decodes alone; else frames lie in groups of so many, and all
    but the first of a group may refer to the frame before. ``pixel_digest``: SHA-256 of the decoded raw
    words, little endian.
    """

    version: int
    profile: Profile
    effort: str
    model_id: str
    sample_format: SampleFormat
    frames: int
    rows: int
    columns: int
    group: int
    pixel_digest: bytes
    tile_methods: np.ndarray
    tile_lengths: np.ndarray
    side_frames: np.ndarray

    @property
    def grid(self) -> Grid:
        return Grid(self.rows, self.columns)


class PlaneRecord(NamedTuple):
    """Minimum and peak of a plane, and form and bytes of its packing table (None: not packed)."""

    minimum: int
    peak: int
    table: tuple[int, bytes] | None


class CodedTile(NamedTuple):
    method: int
    data: bytes


class CodedPlane(NamedTuple):
    record: PlaneRecord
    tiles: list[CodedTile]


@dataclass(frozen=True)
class Payload:
    """The bytes of a payload in pieces, so that a big one is never held twice."""

    parts: list[bytes] = field(repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    def write_to(self, fileobj: BinaryIO) -> None:
        for part in self.parts:
            fileobj.write(part)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything of a payload lies. Planes and tiles are numbered as in Header."""

    header: Header
    planes: np.ndarray
    tables: list[tuple[int, bytes]]
    table_of: np.ndarray
    side_plane_of: np.ndarray
    offsets: np.ndarray
    checksums: np.ndarray
    end: int

    def record(self, plane: int) -> PlaneRecord:
        row, table = self.planes[plane], int(self.table_of[plane])
        return PlaneRecord(int(row["minimum"]), int(row["peak"]), self.tables[table] if table >= 0 else None)

    def tile_bytes(self, payload: memoryview, plane: int, tile: int, frame: int) -> bytes:
        """The data of a tile. Raises PayloadTruncated or PayloadCorrupt (where 'frame F tile T')."""
        number = plane * self.header.grid.count + tile
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        where = name_of(frame, tile)
        if stop > len(payload):
            raise PayloadTruncated(f"The payload ends before {where}.", where=where)
        data = bytes(payload[start:stop])
        if crc32c(data) != int(self.checksums[number]):
            raise PayloadCorrupt(f"The checksum of {where} is wrong.", where=where)
        return data

    def check_tiles(self, payload: memoryview) -> None:
        """The checksums of all tiles, before long work begins. Raises PayloadCorrupt, PayloadTruncated."""
        frames = [*range(self.header.frames), *self.header.side_frames.tolist()]
        for plane, frame in enumerate(frames):
            for tile in range(self.header.grid.count):
                self.tile_bytes(payload, plane, tile, frame)

    def check_end(self, payload: memoryview) -> None:
        """Raises PayloadTruncated (where: the first tile that is missing) or PayloadCorrupt for bytes too
        many.
        """
        if len(payload) < self.end:
            missing = int(np.searchsorted(self.offsets[1:], len(payload), side="right"))
            plane, tile = divmod(min(missing, self.checksums.size - 1), self.header.grid.count)
            frame = plane
            if plane >= self.header.frames:
                frame = int(self.header.side_frames[plane - self.header.frames])
            where = name_of(frame, tile)
            raise PayloadTruncated(
                f"The payload has {len(payload)} bytes of {self.end}; it ends before or in {where}.",
                where=where,
            )
        if len(payload) > self.end:
            raise PayloadCorrupt(f"The payload has {len(payload)} bytes, {len(payload) - self.end} too many.")
        if self.end > int(self.offsets[-1]) and payload[self.end - 1] != 0:
            raise PayloadCorrupt("The padding byte after the last tile is not zero.")


def name_of(frame: int, tile: int) -> str:
    """How errors name a tile; both numbers count from 0."""
    return f"frame {frame} tile {tile}"


# ------------------------------------------------------------------------------------------------ writing
def assemble(
    *,
    profile: Profile,
    effort: str,
    model_id: str,
    sample_format: SampleFormat,
    frames: int,
    grid: Grid,
    group: int,
    pixel_digest: bytes,
    value_planes: list[CodedPlane],
    side_planes: dict[int, CodedPlane],
) -> Payload:
    """The payload of coded planes; ``side_planes`` by frame number."""
    planes = value_planes + [side_planes[frame] for frame in sorted(side_planes)]
    records = np.zeros(len(planes), PLANE_RECORD)
    tables: list[bytes] = []
    last_table = None
    for number, plane in enumerate(planes):
        minimum, peak, table = plane.record
        flags = _HAS_SIDE if number < frames and number in side_planes else 0
        if table is not None and table == last_table:
            flags |= _SAME_TABLE
        elif table is not None:
            flags |= _OWN_TABLE
            tables.append(TABLE_HEAD.pack(len(table[1]) | table[0] << _LENGTH_BITS) + table[1])
            last_table = table
        records[number] = (minimum, peak, flags)
    tiles = [tile for plane in planes for tile in plane.tiles]
    tile_records = np.zeros(len(tiles), TILE_RECORD)
    tile_records["length"] = [len(tile.data) | tile.method << _LENGTH_BITS for tile in tiles]
    tile_records["checksum"] = [crc32c(tile.data) for tile in tiles]
    variable = b"".join([records.tobytes(), *tables, tile_records.tobytes()])
    kind = _PROFILE_KINDS.index(profile.kind) | EFFORTS.index(effort) << 2 | int(sample_format.signed) << 4
    fixed = FIXED.pack(
        MAGIC,
        VERSION,
        kind | (_WIDE if sample_format.bits_allocated == 16 else 0),
        sample_format.bits_stored - 1 | sample_format.high_bit << 4,
        group,
        profile.bound,
        grid.rows,
        grid.columns,
        frames,
        len(variable),
        bytes.fromhex(model_id or "00" * 16),
        pixel_digest,
    )
    head = fixed + variable
    head += CHECKSUM.pack(crc32c(head))
    parts = [head, *(tile.data for tile in tiles if tile.data)]
    if sum(map(len, parts)) % 2:
        parts.append(b"\0")
    return Payload(parts)


# ------------------------------------------------------------------------------------------------ reading
def parse(payload: memoryview) -> Layout:
    """The layout of a payload; the tiles' data need not be there or right yet (see Layout.check_end,
    tile_bytes).

    Raises PayloadTruncated, PayloadCorrupt, PayloadImplausible, UnsupportedFormatVersion, all with where
    'header'.
    """
    if len(payload) < FIXED.size + CHECKSUM.size:
        raise PayloadTruncated(f"The payload has {len(payload)} bytes, fewer than its header.")
    fixed = FIXED.unpack_from(payload)
    if fixed[0] != MAGIC:
        raise PayloadCorrupt("The payload does not begin with its magic number.")
    if fixed[1] != VERSION:
        raise UnsupportedFormatVersion(
            f"The payload has format version {fixed[1]}; this dicomnn reads version {VERSION}."
        )
    grid, frames, tables_length = _read_geometry(fixed)
    data_start = FIXED.size + tables_length + CHECKSUM.size
    if len(payload) < data_start:
        raise PayloadTruncated(
            f"The payload has {len(payload)} bytes, but header and tables need {data_start}."
        )
    covered = payload[: FIXED.size + tables_length]
    if CHECKSUM.unpack_from(payload, len(covered))[0] != crc32c(covered):
        raise PayloadCorrupt("The checksum of the header is wrong.")
    profile, effort, sample_format, group = _read_kind(fixed)
    planes, tables, table_of, tiles = _read_tables(covered[FIXED.size :], frames, grid.count)
    methods = (tiles["length"] >> _LENGTH_BITS).astype(np.uint8)
    lengths = (tiles["length"] & ((1 << _LENGTH_BITS) - 1)).astype(np.int64)
    _check_tiles(methods, lengths, planes, grid)
    _check_references(methods, frames, grid, group)
    offsets = np.concatenate(([0], np.cumsum(lengths))) + data_start
    side_frames = np.flatnonzero(planes["flags"][:frames] & _HAS_SIDE)
    side_plane_of = np.full(frames, -1, np.int64)
    side_plane_of[side_frames] = frames + np.arange(side_frames.size)
    header = Header(
        version=fixed[1],
        profile=profile,
        effort=effort,
        model_id=fixed[10].hex() if any(fixed[10]) else "",
        sample_format=sample_format,
        frames=frames,
        rows=grid.rows,
        columns=grid.columns,
        group=group,
        pixel_digest=fixed[11],
        tile_methods=methods,
        tile_lengths=lengths,
        side_frames=side_frames,
    )
    end = int(offsets[-1])
    return Layout(header, planes, tables, table_of, side_plane_of, offsets, tiles["checksum"], end + end % 2)


def _read_geometry(fixed: tuple[Any, ...]) -> tuple[Grid, int, int]:
    """Grid, frames and length of the tables, each held against its limit; comes before the checksum,
    allocates nothing.
    """
    rows, columns, frames, tables_length = fixed[6:10]
    if not (rows and columns and frames):
        raise PayloadCorrupt(f"The payload claims {frames} frames of {rows} x {columns} pixels.")
    if frames * rows * columns * (2 if fixed[2] & _WIDE else 1) >= MAX_DECODED:
        raise PayloadImplausible(
            f"The payload claims {frames} frames of {rows} x {columns} pixels; no DICOM object holds so many."
        )
    grid = Grid(rows, columns)
    least = frames * (PLANE_RECORD.itemsize + grid.count * TILE_RECORD.itemsize)
    if tables_length < least:
        raise PayloadImplausible(
            f"{frames} frames of {grid.count} tiles need {least} bytes of tables, not {tables_length}."
        )
    return grid, frames, tables_length


def _read_kind(fixed: tuple[Any, ...]) -> tuple[Profile, str, SampleFormat, int]:
    """Profile, effort, sample format and group, of a header whose checksum is right."""
    kind, depth, group, bound = fixed[2:6]
    if kind & ~_KNOWN_KINDS:
        raise UnsupportedFormatVersion("The payload uses a reserved field of a later format.")
    profile_kind, effort = kind & 3, kind >> 2 & 3
    if effort >= len(EFFORTS) or not 1 <= profile_kind < len(_PROFILE_KINDS):
        raise PayloadCorrupt("The payload's header holds a profile or effort that does not exist.")
    if group == 1 or (group and fixed[8] == 1):
        raise PayloadCorrupt("The payload's header groups frames that have none before them.")
    try:
        profile = Profile(_PROFILE_KINDS[profile_kind], bound)
        sample_format = SampleFormat(
            16 if kind & _WIDE else 8, (depth & 15) + 1, depth >> 4, bool(kind >> 4 & 1)
        )
    except (UsageError, SamplesInvalid) as error:
        raise PayloadCorrupt(f"The payload's header contradicts itself. {error}") from error
    return profile, EFFORTS[effort], sample_format, group


def _read_tables(
    region: memoryview, frames: int, tiles_each: int
) -> tuple[np.ndarray, list[tuple[int, bytes]], np.ndarray, np.ndarray]:
    """Plane records, packing tables, table number of each plane (-1: none), tile records: exactly filling the
    region.
    """
    value_records = np.frombuffer(region, PLANE_RECORD, frames)
    side_count = int(np.count_nonzero(value_records["flags"] & _HAS_SIDE))
    plane_count = frames + side_count
    position = plane_count * PLANE_RECORD.itemsize
    tile_table = plane_count * tiles_each * TILE_RECORD.itemsize
    if position + tile_table > len(region):
        raise PayloadImplausible(f"The tables of the payload are too short for {plane_count} planes.")
    planes = np.frombuffer(region, PLANE_RECORD, plane_count)
    flags = planes["flags"]
    if (flags & ~np.uint8(_KNOWN_FLAGS)).any():
        raise UnsupportedFormatVersion("The payload uses a plane flag of a later format.")
    kinds = flags & _PACKING
    if (kinds == _PACKING).any() or (flags[frames:] & _HAS_SIDE).any():
        raise PayloadCorrupt("A plane record of the payload holds flags that contradict each other.")
    tables = []
    for _ in range(int(np.count_nonzero(kinds == _OWN_TABLE))):
        stop = len(region) - tile_table
        if position + TABLE_HEAD.size > stop:
            raise PayloadImplausible("The packing tables of the payload are longer than its tables.")
        word = TABLE_HEAD.unpack_from(region, position)[0]
        position += TABLE_HEAD.size
        form, length = word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)
        if form >= packing.FORMS or position + length > stop:
            raise PayloadImplausible(
                "A packing table of the payload is longer than its tables, or of no known form."
            )
        tables.append((form, bytes(region[position : position + length])))
        position += length
    table_of = np.where(kinds == 0, -1, np.cumsum(kinds == _OWN_TABLE) - 1)
    if ((kinds != 0) & (table_of < 0)).any():
        raise PayloadCorrupt("A plane of the payload refers to a packing table that does not exist.")
    if position + tile_table != len(region):
        raise PayloadImplausible("The tables of the payload are longer than their contents.")
    return planes, tables, table_of, np.frombuffer(region, TILE_RECORD, plane_count * tiles_each, position)


def _check_tiles(methods: np.ndarray, lengths: np.ndarray, planes: np.ndarray, grid: Grid) -> None:
    """A tile of any method is at most as long as a raw one: max(1, bits of the peak) per pixel."""
    if (methods >= len(METHODS)).any():
        raise UnsupportedFormatVersion("A tile of the payload uses a method of a later format.")
    bits = np.maximum(np.frexp(planes["peak"])[1], 1).astype(np.int64)
    limits = (np.multiply.outer(bits, grid.pixel_counts()) + 7) // 8
    if (lengths.reshape(limits.shape) > limits).any():
        raise PayloadImplausible("A tile of the payload claims more bytes than its pixels have.")


def _check_references(methods: np.ndarray, frames: int, grid: Grid, group: int) -> None:
    """Only value planes that are not the first of their group may refer to the one before."""
    refers = (methods.reshape(-1, grid.count) == METHODS.index("neighbour")).any(axis=1)
    if not refers.any():
        return
    numbers = np.flatnonzero(refers)
    if not group or ((numbers >= frames) | (numbers % group == 0)).any():
        raise PayloadCorrupt("A plane of the payload refers to a frame that it must not refer to.")
