"""A second decoder, in plain Python and NumPy, written from docs/format.md and docs/format-neural.md; it
shares no code with the first.

It exists to be compared with: it is hundreds of times slower than `dicomnn.codec.decode` and says less about
damage. Should that one ever be lost, this and the document bring every payload back. It needs Python, NumPy
and this package's errors; no torch, no numba, no JPEG-LS library.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.reference_jpegls import decode_scan
from dicomnn.codec.reference_model import ReferenceModel
from dicomnn.codec.reference_neural import decode_neural
from dicomnn.errors import PayloadCorrupt, PayloadTruncated, UnknownModel, UnsupportedFormatVersion

EFFORTS = ("fast", "default", "max")
TILE = 256
NEURAL, JPEGLS, CONSTANT, RAW, NEIGHBOUR = range(5)


@dataclass(frozen=True)
class Tile:
    method: int
    position: int
    length: int
    checksum: int


@dataclass(frozen=True)
class Plane:
    minimum: int
    peak: int
    table: list[int] | None
    has_side: bool


@dataclass(frozen=True)
class Parsed:
    """A payload's header, planes and tiles, in the numbering of the document."""

    effort: str
    signed: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    group: int
    bound: int
    rows: int
    columns: int
    frames: int
    model_id: str
    digest: bytes
    planes: list[Plane]
    tiles: list[Tile]


def decode(payload: bytes, model_bytes: Callable[[str], bytes]) -> np.ndarray:
    """Raw words (frames, rows, columns), uint8 or uint16. ``model_bytes`` gives a model file by its id.

    Raises PayloadTruncated, PayloadCorrupt, UnsupportedFormatVersion, UnknownModel.
    """
    parsed = parse(payload)
    model = None
    if any(tile.method in (NEURAL, NEIGHBOUR) for tile in parsed.tiles):
        data = model_bytes(parsed.model_id)
        if hashlib.sha256(data).hexdigest()[:32] != parsed.model_id:
            raise UnknownModel(f"The model file given is not the model {parsed.model_id}.")
        model = ReferenceModel(data)
    dtype = "u1" if parsed.bits_allocated == 8 else "<u2"
    words = np.zeros((parsed.frames, parsed.rows, parsed.columns), dtype)
    side_plane = parsed.frames
    before = None  # the value plane of the frame before, where this one may refer to it
    for frame in range(parsed.frames):
        if parsed.group == 0 or frame % parsed.group == 0:
            before = None
        values = _plane_values(payload, parsed, frame, parsed.bound, model, before)
        before = values
        side = np.zeros_like(values)
        if parsed.planes[frame].has_side:
            side = _plane_values(payload, parsed, side_plane, 0, model, None)
            side_plane += 1
        words[frame] = _raw_words(values, side, parsed)
    if hashlib.sha256(words.tobytes()).digest() != parsed.digest:
        raise PayloadCorrupt("The decoded pixels do not have the digest that the header names.")
    return words.astype(words.dtype.newbyteorder("="))


# ------------------------------------------------------------------------------------------------ container
class _Reader:
    """Takes little endian numbers off the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def bytes(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise PayloadTruncated("The payload ends inside of its header.")
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little")


def parse(payload: bytes) -> Parsed:
    """Section 'Fixed header' to 'Tiles' of the document; checks every checksum."""
    reader = _Reader(payload)
    if reader.bytes(4) != b"DNNP":
        raise PayloadCorrupt("The payload does not begin with its magic number.")
    if reader.number(1) != 2:
        raise UnsupportedFormatVersion("The payload has a format version that the reference does not know.")
    kind, depth, group = reader.number(1), reader.number(1), reader.number(1)
    bound, rows, columns = reader.number(2), reader.number(2), reader.number(2)
    frames, tables_length = reader.number(4), reader.number(4)
    model_id, digest = reader.bytes(16), reader.bytes(32)
    end_of_tables = reader.position + tables_length
    checksum = int.from_bytes(payload[end_of_tables : end_of_tables + 4], "little")
    if crc32c(payload[:end_of_tables]) != checksum or len(payload) < end_of_tables + 4:
        raise PayloadCorrupt("The checksum of the header is wrong.")
    profile, effort = kind & 3, kind >> 2 & 3
    allocated, stored, high_bit = 16 if kind & 32 else 8, (depth & 15) + 1, depth >> 4
    if kind >> 6:
        raise UnsupportedFormatVersion("The payload uses flags that are not known.")
    if (
        profile not in (1, 2)
        or effort == 3
        or not stored - 1 <= high_bit < allocated
        or (bound > 0) != (profile == 2)
        or 0 in (rows, columns, frames)
        or (group > 0 and (group == 1 or frames == 1))
    ):
        raise PayloadCorrupt("The fixed header contradicts itself.")

    records = [(reader.number(2), reader.number(2), reader.number(1)) for _ in range(frames)]
    with_side = sum(flags >> 2 & 1 for _, _, flags in records)
    records += [(reader.number(2), reader.number(2), reader.number(1)) for _ in range(with_side)]
    planes: list[Plane] = []
    table: list[int] | None = None
    for minimum, peak, flags in records:
        if flags >> 3:
            raise UnsupportedFormatVersion("A plane has flags that are not known.")
        if flags & 3 == 1:
            table = _read_table(reader, peak + 1)
        if flags & 3 == 3 or (flags & 3 == 2 and table is None):
            raise PayloadCorrupt("A plane is packed by a table that there is not.")
        planes.append(Plane(minimum, peak, table if flags & 3 else None, bool(flags & 4)))

    tiles: list[Tile] = []
    position = end_of_tables + 4
    for _ in range(len(planes) * -(-rows // TILE) * -(-columns // TILE)):
        length, method, checksum = reader.number(3), reader.number(1), reader.number(4)
        if position + length > len(payload):
            raise PayloadTruncated("The payload ends before its last tile.")
        if crc32c(payload[position : position + length]) != checksum:
            raise PayloadCorrupt(f"The checksum of tile {len(tiles)} is wrong.", where=f"tile {len(tiles)}")
        tiles.append(Tile(method, position, length, checksum))
        position += length
    if reader.position != end_of_tables or payload[position:] != b"\0" * (position % 2):
        raise PayloadCorrupt("The payload has bytes too many or too few.")
    return Parsed(
        EFFORTS[effort],
        bool(kind & 16),
        allocated,
        stored,
        high_bit,
        group,
        bound,
        rows,
        columns,
        frames,
        model_id.hex(),
        digest,
        planes,
        tiles,
    )


def _read_table(reader: _Reader, count: int) -> list[int]:
    """Section 'Packing table': the used values, ascending."""
    length, form = reader.number(3), reader.number(1)
    data = reader.bytes(length)
    if form & 2:
        data = zlib.decompress(data, -15)
    if form & 1 == 0:
        used = [value for value in range(8 * len(data)) if data[value // 8] >> (value % 8) & 1]
    else:
        used, gap, shift = [0], 0, 0
        for byte in data:
            gap |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                used.append(used[-1] + gap + 1)
                gap, shift = 0, 0
    if len(used) != count:
        raise PayloadCorrupt("A packing table does not list the values of its plane.")
    return used


def crc32c(data: bytes) -> int:
    """CRC-32C, one byte a step."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_of_byte(value) for value in range(256)]


# ------------------------------------------------------------------------------------ planes and tiles
def _plane_values(
    payload: bytes,
    parsed: Parsed,
    number: int,
    bound: int,
    model: ReferenceModel | None,
    before: np.ndarray | None,
) -> np.ndarray:
    """Values of a plane (rows, columns) int64: tiles decoded, unpacked, minimum added.

    ``before`` is the plane that neighbour tiles refer to, None where they may not be.
    """
    plane = parsed.planes[number]
    values = np.zeros((parsed.rows, parsed.columns), np.int64)
    corners = [(top, left) for top in range(0, parsed.rows, TILE) for left in range(0, parsed.columns, TILE)]
    for place, (top, left) in enumerate(corners):
        tile = parsed.tiles[number * len(corners) + place]
        data = payload[tile.position : tile.position + tile.length]
        height, width = min(TILE, parsed.rows - top), min(TILE, parsed.columns - left)
        if tile.method in (NEURAL, NEIGHBOUR):
            assert model is not None
            reference = None
            if tile.method == NEIGHBOUR:
                if before is None:
                    raise PayloadCorrupt(f"Tile {place} of plane {number} may not refer to another frame.")
                around = np.pad(before - plane.minimum, 4, mode="edge")
                if plane.table is not None:
                    around = np.searchsorted(plane.table, around).astype(np.int64)
                reference = around[top : top + height + 8, left : left + width + 8]
            pixels = decode_neural(data, height, width, plane.peak, bound, parsed.effort, model, reference)
        elif tile.method == JPEGLS:
            pixels = np.minimum(decode_scan(data[1:], height, width, data[0], bound), plane.peak)
        elif tile.method == CONSTANT:
            pixels = np.full((height, width), int.from_bytes(data, "little"), np.int64)
        elif tile.method == RAW:
            pixels = _raw_tile(data, height, width, plane.peak)
        else:
            raise UnsupportedFormatVersion(f"A tile has the unknown method {tile.method}.")
        values[top : top + height, left : left + width] = pixels
    if plane.table is not None:
        values = np.array(plane.table)[values]
    return values + plane.minimum


def _raw_tile(data: bytes, height: int, width: int, peak: int) -> np.ndarray:
    """Section 'Raw tile'."""
    bits = max(1, peak.bit_length())
    stream = int.from_bytes(data, "little")
    pixels = [stream >> (bits * place) & ((1 << bits) - 1) for place in range(height * width)]
    return np.array(pixels, np.int64).reshape(height, width)


def _raw_words(values: np.ndarray, side: np.ndarray, parsed: Parsed) -> np.ndarray:
    """Section 'Planes', steps 2 to 4."""
    below = parsed.high_bit + 1 - parsed.bits_stored
    above = parsed.high_bit + 1
    if parsed.signed:
        values = values - (1 << (parsed.bits_stored - 1))
        words = values << below  # Python's and NumPy's integers go on with copies of the sign for ever
    else:
        words = values << below
    words = words ^ (side & ((1 << below) - 1)) ^ (side >> below << above)
    return words & ((1 << parsed.bits_allocated) - 1)
