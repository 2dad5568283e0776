"""Arrays -> bytes: planes, tiles, the competition of the contenders for each tile, and the container."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dicomnn.codec import contenders, packing, planes
from dicomnn.codec.contenders import CONSTANT, JPEGLS, NEIGHBOUR, NEURAL, RAW
from dicomnn.codec.contenders.raw import coded_length
from dicomnn.codec.decode import decode_plane_tiles, with_references
from dicomnn.codec.parallel import in_order
from dicomnn.codec.payload import (
    MAX_DECODED,
    MAX_GROUP,
    CodedPlane,
    CodedTile,
    Payload,
    PlaneRecord,
    assemble,
    name_of,
)
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.sample import SampleFormat, little_endian_bytes
from dicomnn.codec.tiles import Grid, TileContext
from dicomnn.errors import CodecError, SamplesInvalid, UsageError

if TYPE_CHECKING:
    from dicomnn.codec.model import Model

Progress = Callable[[int, int], None]

LEARNED = (NEURAL, NEIGHBOUR)
"""Methods that need a model."""
PACK_BELOW_DENSITY = 0.9
PACK_BELOW_SIZE = 0.99
TILES_AT_ONCE = 32
"""Tiles handed to a contender together: enough to fill batch and threads, few enough for progress to be seen.
"""


class _CodedFrame(NamedTuple):
    value: CodedPlane
    side: CodedPlane | None
    decoded: bytes
    values: np.ndarray


def encode(
    frames: np.ndarray,
    sample_format: SampleFormat,
    *,
    profile: Profile,
    model: Model | None,
    effort: str = "default",
    group: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Payload:
    """The payload of ``frames`` (frames, rows, columns), uint8 or uint16: raw words as in the file, native
    byte order, bits outside of the stored values included. May be a view of a memory map: one frame is read
    at a time.

    ``lossless`` brings every word back; ``bounded`` every stored value within its bound and inside of the
    frame's own range, and the other bits exactly. Without a ``model`` the neural contender does not compete.
    ``group``: 0 keeps every frame for itself; 2..255 lets each frame but the first of every ``group`` refer
    to the frame before it where that pays (neighbouring slices); to read one frame then takes up to
    ``group`` frames. ``progress(done, total)`` counts tiles. Raises SamplesInvalid, UsageError.
    """
    _check(frames, sample_format, profile, effort, group, threads)
    count, rows, columns = frames.shape
    group = group if count > 1 else 0
    grid = Grid(rows, columns)
    meter = _Meter(progress, count * grid.count)

    def words_of(number: int) -> np.ndarray:
        return np.ascontiguousarray(frames[number], dtype=sample_format.dtype)

    # With a bound a frame refers to what the decoder will have of the frame before: one after the other.
    decoded: dict[int, np.ndarray] = {}

    def work(number: int, threads_for_it: int) -> _CodedFrame:
        before = None
        if group and number % group:
            before = decoded.pop(number - 1, None)
            if before is None:
                before = planes.split(words_of(number - 1), sample_format)[0]
        coded = _encode_frame(
            words_of(number),
            number,
            before,
            sample_format,
            grid,
            profile,
            effort,
            model,
            threads_for_it,
            meter,
        )
        if group and profile.bound:
            decoded[number] = coded.values
        return coded

    digest = hashlib.sha256()
    value_planes: list[CodedPlane] = []
    side_planes: dict[int, CodedPlane] = {}
    tiles_each = grid.count if not (group and profile.bound) else 2 * threads
    for number, coded in enumerate(in_order(count, work, tiles_each=tiles_each, threads=threads)):
        digest.update(coded.decoded)
        value_planes.append(coded.value)
        if coded.side is not None:
            side_planes[number] = coded.side
    needs_model = any(
        tile.method in LEARNED for plane in [*value_planes, *side_planes.values()] for tile in plane.tiles
    )
    return assemble(
        profile=profile,
        effort=effort,
        model_id=model.id if model is not None and needs_model else "",
        sample_format=sample_format,
        frames=count,
        grid=grid,
        group=group,
        pixel_digest=digest.digest(),
        value_planes=value_planes,
        side_planes=side_planes,
    )


def _check(
    frames: np.ndarray, sample_format: SampleFormat, profile: Profile, effort: str, group: int, threads: int
) -> None:
    if profile.kind == "keep":
        raise UsageError("The profile keep has nothing to encode: the bytes stay as they are.")
    if effort not in EFFORTS:
        raise UsageError(f"'{effort}' is no effort; the efforts are {', '.join(EFFORTS)}.")
    if group != 0 and not 2 <= group <= MAX_GROUP:
        raise UsageError(f"A group has 2 to {MAX_GROUP} frames (0: no groups), not {group}.")
    if threads < 1:
        raise UsageError(f"The number of threads must be at least 1, not {threads}.")
    if frames.ndim != 3 or 0 in frames.shape:
        raise SamplesInvalid(f"The frames have the shape {frames.shape}, not (frames, rows, columns).")
    if frames.dtype.kind != "u" or frames.dtype.itemsize * 8 != sample_format.bits_allocated:
        raise SamplesInvalid(
            f"The frames are {frames.dtype}, but {sample_format.bits_allocated} bits allocated."
        )
    if max(frames.shape[1:]) > 65535 or frames.nbytes >= MAX_DECODED:
        raise SamplesInvalid(f"Frames of the shape {frames.shape} are larger than a DICOM object can be.")


def _encode_frame(
    words: np.ndarray,
    number: int,
    before: np.ndarray | None,
    sample_format: SampleFormat,
    grid: Grid,
    profile: Profile,
    effort: str,
    model: Model | None,
    threads: int,
    meter: _Meter,
) -> _CodedFrame:
    values, side = planes.split(words, sample_format)
    names = [name_of(number, tile) for tile in range(grid.count)]
    context = TileContext(peak=0, bound=profile.bound, effort=effort, model=model)
    value_plane = _encode_plane(values, before, grid, context, threads, meter.add)
    side_plane = None
    if side is not None:
        side_plane = _encode_plane(side, None, grid, TileContext(0, 0, effort, model), threads, None)
    if profile.bound == 0:
        return _CodedFrame(value_plane, side_plane, little_endian_bytes(words), values)
    # What a bounded tile decodes to is known by decoding it only.
    record = value_plane.record
    context = TileContext(record.peak, profile.bound, effort, model)
    contexts = with_references(context, before, record.minimum, None, grid, range(grid.count))
    coded = [(tile.method, tile.data, grid.shape(place)) for place, tile in enumerate(value_plane.tiles)]
    decoded = np.empty_like(values)
    for place, tile in enumerate(decode_plane_tiles(record, contexts, coded, names, threads)):
        decoded[grid.window(place)] = tile
    if int(np.abs(decoded.astype(np.int32) - values).max()) > profile.bound:
        raise CodecError(f"Frame {number} does not keep the bound of {profile}.")
    return _CodedFrame(
        value_plane, side_plane, little_endian_bytes(planes.join(decoded, side, sample_format)), decoded
    )


def _encode_plane(
    values: np.ndarray,
    before: np.ndarray | None,
    grid: Grid,
    context: TileContext,
    threads: int,
    done: Callable[[int], None] | None,
) -> CodedPlane:
    """The smallest way found for a plane of uint16 ``values``; peak in ``context`` is filled in here.

    ``before``: the values of the frame before, where this one may refer to it.
    """
    minimum = int(values.min())
    plane = values - np.uint16(minimum)
    context = TileContext(int(plane.max()), context.bound, context.effort, context.model)
    tiles = grid.cut(plane)
    table = used = None
    known: list[bytes | None] | None = None
    if context.bound == 0:
        used = packing.used_values(plane)
        if used.size < PACK_BELOW_DENSITY * (context.peak + 1):
            table, tiles, known = _pack_if_smaller(plane, tiles, used, grid, context)
            if table is not None:
                context = TileContext(used.size - 1, 0, context.effort, context.model)
    contexts = with_references(
        context, before, minimum, used if table else None, grid, range(grid.count)
    )
    coded: list[CodedTile] = []
    for start in range(0, len(tiles), TILES_AT_ONCE):
        stop = min(start + TILES_AT_ONCE, len(tiles))
        known_part = known[start:stop] if known else None
        coded += _compete(tiles[start:stop], contexts[start:stop], threads, known_part)
        if done is not None:
            done(stop - start)
    return CodedPlane(PlaneRecord(minimum, context.peak, table), coded)


def _pack_if_smaller(
    plane: np.ndarray, tiles: list[np.ndarray], used: np.ndarray, grid: Grid, context: TileContext
) -> tuple[tuple[int, bytes] | None, list[np.ndarray], list[bytes | None]]:
    """Packing table or None, the tiles to code, and their JPEG-LS data, which served as the yardstick."""
    packed_tiles = grid.cut(packing.pack(plane, used))
    table = packing.write_table(used)
    packed_context = TileContext(used.size - 1, 0, context.effort, None)
    as_is, packed = _jpegls(tiles, context), _jpegls(packed_tiles, packed_context)
    size_packed = _total(packed, packed_tiles, packed_context) + len(table[1])
    if size_packed < PACK_BELOW_SIZE * _total(as_is, tiles, context):
        return table, packed_tiles, packed
    return None, tiles, as_is


def _jpegls(tiles: Sequence[np.ndarray], context: TileContext) -> list[bytes | None]:
    """JPEG-LS data of each tile that is not constant."""
    module = contenders.contender(JPEGLS)
    constant = contenders.contender(CONSTANT)
    return [None if constant.applies(tile, context) else module.encode(tile, context) for tile in tiles]


def _total(coded: Sequence[bytes | None], tiles: Sequence[np.ndarray], context: TileContext) -> int:
    """Bytes of a plane whose tiles are JPEG-LS, constant (counted as nothing) or, at worst, raw."""
    constant = contenders.contender(CONSTANT)
    total = 0
    for data, tile in zip(coded, tiles, strict=True):
        if not constant.applies(tile, context):
            longest = coded_length(tile.size, context.peak)
            total += longest if data is None else min(len(data), longest)
    return total


def _compete(
    tiles: Sequence[np.ndarray],
    contexts: Sequence[TileContext],
    threads: int,
    jpegls: Sequence[bytes | None] | None,
) -> list[CodedTile]:
    """The shortest of all contenders for each tile; on a tie the first of METHODS."""
    constant = contenders.contender(CONSTANT)
    best: dict[int, CodedTile] = {}
    context = contexts[0]
    for number, tile in enumerate(tiles):
        if constant.applies(tile, context):
            data = constant.encode(tile, context)
            assert data is not None
            best[number] = CodedTile(CONSTANT, data)
    rest = [number for number in range(len(tiles)) if number not in best]
    if not rest:
        return [best[number] for number in range(len(tiles))]
    entries: dict[int, Sequence[bytes | None]] = {}
    those = [tiles[number] for number in rest], [contexts[number] for number in rest]
    for method in filter(contenders.is_available, LEARNED):
        entries[method] = contenders.encode_many(method, *those, threads)
    if jpegls is None:
        entries[JPEGLS] = _jpegls([tiles[number] for number in rest], context)
    else:
        entries[JPEGLS] = [jpegls[number] for number in rest]
    raw = contenders.contender(RAW)
    for place, number in enumerate(rest):
        lengths = {
            method: len(data) for method, datas in entries.items() if (data := datas[place]) is not None
        }
        lengths[RAW] = coded_length(tiles[number].size, context.peak)
        winner = min(lengths, key=lambda method: (lengths[method], method))
        data = raw.encode(tiles[number], context) if winner == RAW else entries[winner][place]
        assert data is not None
        best[number] = CodedTile(winner, data)
    return [best[number] for number in range(len(tiles))]


class _Meter:
    """Adds up finished tiles from several threads."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = Lock()

    def add(self, tiles: int) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._done += tiles
            self._progress(self._done, self._total)
