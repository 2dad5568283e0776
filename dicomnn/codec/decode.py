"""Bytes -> arrays. Knows no encoder.

``payload`` is bytes, a memoryview or a memory map; ``models`` gives the Model of an id (``Shelf.get``) and is
asked only when a tile of the payload needs it. All functions raise PayloadError (``where`` is 'header' or
'frame F tile T', counted from 0), UnknownModel or ModelCorrupt, and UsageError for a frame or region outside
of the image.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dicomnn.codec import contenders, packing, planes
from dicomnn.codec.framing import framed
from dicomnn.codec.parallel import in_order
from dicomnn.codec.payload import Header, Layout, PlaneRecord, name_of, parse
from dicomnn.codec.sample import little_endian_bytes
from dicomnn.codec.tiles import Grid, TileContext
from dicomnn.errors import (
    InexactArithmetic,
    ModelCorrupt,
    PayloadCorrupt,
    PayloadError,
    UnknownModel,
    UsageError,
)

if TYPE_CHECKING:
    from types import ModuleType

    from dicomnn.codec.lossy_image import LossyLayout
    from dicomnn.codec.model import Model

Buffer = bytes | bytearray | memoryview | mmap.mmap
Models = Callable[[str], "Model"]
LOSSY_MAGIC = b"DNNQ"
"""Payloads of the lossy tier begin with it (``lossy_image.py``); everything here reads them too."""


def read_header(payload: Buffer) -> Header:
    """The payload's header, checked; also checks that the payload has exactly the length that the header asks
    for.
    """
    view = memoryview(payload)
    layout = read_layout(view)
    layout.check_end(view)
    return layout.header


def read_layout(payload: memoryview) -> Layout | LossyLayout:
    """Where everything lies in a payload of either kind; only the header has been checked."""
    lossy = _lossy(payload)
    return parse(payload) if lossy is None else lossy.parse(payload)


def _lossy(payload: memoryview) -> ModuleType | None:
    """What reads the payloads of the lossy tier, where this is one."""
    if bytes(payload[:4]) != LOSSY_MAGIC:
        return None
    from dicomnn.codec import lossy_image  # its kernels take a while to load

    return lossy_image


def decode(payload: Buffer, models: Models, *, threads: int = 1) -> np.ndarray:
    """All frames: raw words (frames, rows, columns), uint8 or uint16. Their digest has been checked."""
    header = read_header(payload)
    frames = np.empty((header.frames, header.rows, header.columns), header.sample_format.dtype)
    for number, words in enumerate(decode_frames(payload, models, threads=threads)):
        frames[number] = words
    return frames


def decode_frames(payload: Buffer, models: Models, *, threads: int = 1) -> Iterator[np.ndarray]:
    """One frame (rows, columns) at a time.

    All checksums are checked before the first, the digest after the last: only then are the pixels proven.
    """
    lossy = _lossy(memoryview(payload))
    if lossy is not None:
        yield from lossy.decode_frames(memoryview(payload), models, threads=threads)
        return
    view, layout = _whole(payload)
    yield from _frames(layout, view, models, threads)


def _whole(payload: Buffer) -> tuple[memoryview, Layout]:
    """The payload, nothing missing and every checksum right."""
    view = memoryview(payload)
    layout = parse(view)
    layout.check_end(view)
    layout.check_tiles(view)
    return view, layout


def _frames(layout: Layout, view: memoryview, models: Models, threads: int) -> Iterator[np.ndarray]:
    header = layout.header
    digest = hashlib.sha256()

    def work(frame: int, threads_for_it: int) -> np.ndarray:
        return _frame(layout, view, models, frame, threads_for_it)

    one_by_one = _chain(layout, view, models, threads)
    side_by_side = in_order(header.frames, work, tiles_each=header.grid.count, threads=threads)
    for words in one_by_one if header.group else side_by_side:
        digest.update(little_endian_bytes(words))
        yield words
    if digest.digest() != header.pixel_digest:
        raise PayloadCorrupt("The decoded pixels do not have the digest that the header names.")


def _chain(layout: Layout, view: memoryview, models: Models, threads: int) -> Iterator[np.ndarray]:
    """Frames that may refer to the frame before: one after the other, the last one kept at hand."""
    values = None
    for frame in range(layout.header.frames):
        values = _values(layout, view, models, frame, threads, values)
        yield _words(layout, view, models, frame, values, threads)


def decode_frame(payload: Buffer, models: Models, frame: int, *, threads: int = 1) -> np.ndarray:
    """One frame, raw words (rows, columns). Its tiles' checksums are checked; damage elsewhere does not
    matter.
    """
    view = memoryview(payload)
    lossy = _lossy(view)
    if lossy is not None:
        words: np.ndarray = lossy.decode_frame(view, models, frame)
        return words
    layout = parse(view)
    _check_frame(layout.header, frame)
    return _frame(layout, view, models, frame, threads)


def decode_region(
    payload: Buffer,
    models: Models,
    frame: int,
    top: int,
    left: int,
    height: int,
    width: int,
    *,
    threads: int = 1,
) -> np.ndarray:
    """A rectangle of one frame, raw words (height, width); only the tiles that it touches are read, of the
    lossy tier the frame.
    """
    view = memoryview(payload)
    layout = read_layout(view)
    header = layout.header
    _check_frame(header, frame)
    inside = 0 <= top and 0 <= left and top + height <= header.rows and left + width <= header.columns
    if not inside or height < 1 or width < 1:
        raise UsageError(
            f"The region of {height} x {width} pixels at row {top}, column {left} is not inside of the image "
            f"({header.rows} x {header.columns})."
        )
    if not isinstance(layout, Layout):
        return decode_frame(payload, models, frame)[top : top + height, left : left + width].copy()
    tiles = header.grid.tiles_of(top, left, height, width)
    first, last = header.grid.window(tiles[0]), header.grid.window(tiles[-1])
    words = _window(
        layout,
        view,
        models,
        frame,
        tiles,
        (slice(first[0].start, last[0].stop), slice(first[1].start, last[1].stop)),
        threads,
    )
    row, column = top - first[0].start, left - first[1].start
    return words[row : row + height, column : column + width].copy()


def decode_plane_tiles(
    record: PlaneRecord,
    contexts: Sequence[TileContext],
    coded: list[tuple[int, bytes, tuple[int, int]]],
    names: list[str],
    threads: int,
) -> list[np.ndarray]:
    """Tiles of one plane from (method, data, shape), offset binary values with minimum and packing undone.

    The encoder calls it too, where it must know what the decoder will see. ``names`` are what errors call the
    tiles.
    """
    table = _table_of(record)
    highest = record.minimum + (record.peak if table is None else int(table[-1]))
    if highest > 0xFFFF:
        raise PayloadCorrupt("A plane record claims values of more than 16 bits.")
    values: list[np.ndarray] = [np.empty(0, np.uint16)] * len(coded)
    for method in sorted({method for method, _, _ in coded}):
        chosen = [number for number, tile in enumerate(coded) if tile[0] == method]
        for number, tile in zip(
            chosen, _decode_method(method, coded, chosen, contexts, names, threads), strict=True
        ):
            if tile.shape != coded[number][2] or int(tile.max()) > record.peak:
                raise PayloadCorrupt(f"{names[number]} decodes to impossible values.", where=names[number])
            values[number] = (tile if table is None else table[tile]) + np.uint16(record.minimum)
    return values


def _table_of(record: PlaneRecord) -> np.ndarray | None:
    return None if record.table is None else packing.read_table(*record.table, record.peak + 1)


def _decode_method(
    method: int,
    coded: list[tuple[int, bytes, tuple[int, int]]],
    chosen: list[int],
    contexts: Sequence[TileContext],
    names: list[str],
    threads: int,
) -> list[np.ndarray]:
    """The chosen tiles, all of one method. A failure among many is found by decoding them one by one."""
    datas, shapes = [coded[number][1] for number in chosen], [coded[number][2] for number in chosen]
    try:
        return contenders.decode_many(method, datas, shapes, [contexts[n] for n in chosen], threads)
    except (UnknownModel, ModelCorrupt, InexactArithmetic, MemoryError):
        raise
    except Exception as error:  # whatever hostile bytes did to a contender, the caller gets a typed error
        if len(chosen) > 1:
            return [
                tile
                for number in chosen
                for tile in _decode_method(method, coded, [number], contexts, names, threads)
            ]
        where = names[chosen[0]]
        if isinstance(error, PayloadError):
            raise type(error)(f"{error.message} ({where})", where=where) from error
        raise PayloadCorrupt(f"{where} cannot be decoded ({error}).", where=where) from error


def with_references(
    context: TileContext,
    before: np.ndarray | None,
    minimum: int,
    used: np.ndarray | None,
    grid: Grid,
    tiles: Iterable[int],
) -> list[TileContext]:
    """The context of each of ``tiles``, with the frame before around it, in the units of this plane.

    ``before``: that frame's values; ``used``: this plane's packing table, or None.
    """
    if before is None:
        return [context for _ in tiles]
    plane = before.astype(np.int32) - minimum
    if used is not None:
        plane = np.searchsorted(used, plane).astype(np.int32)
    return [replace(context, reference=framed(plane, *grid.window(tile))) for tile in tiles]


def _frame(layout: Layout, view: memoryview, models: Models, frame: int, threads: int) -> np.ndarray:
    header = layout.header
    window = (slice(0, header.rows), slice(0, header.columns))
    return _window(layout, view, models, frame, list(range(header.grid.count)), window, threads)


def _values(
    layout: Layout, view: memoryview, models: Models, frame: int, threads: int, before: np.ndarray | None
) -> np.ndarray:
    """The values of a whole frame; ``before``: those of the frame before it, where they are at hand."""
    header = layout.header
    if before is None:
        before = _before(layout, view, models, frame, list(range(header.grid.count)), threads)
    window = (slice(0, header.rows), slice(0, header.columns))
    tiles = list(range(header.grid.count))
    return _plane(layout, view, models, frame, frame, tiles, window, threads, before)


def _before(
    layout: Layout, view: memoryview, models: Models, frame: int, tiles: list[int], threads: int
) -> np.ndarray | None:
    """The values of the frame before, when one of ``tiles`` refers to it: back to one that stands alone."""
    header = layout.header

    def refers(frame: int, tiles: list[int]) -> bool:
        first = frame * header.grid.count
        return bool((header.tile_methods[[first + tile for tile in tiles]] == contenders.NEIGHBOUR).any())

    everything = list(range(header.grid.count))
    chain = []
    while refers(frame, tiles):
        frame, tiles = frame - 1, everything
        chain.append(frame)
    values = None
    for earlier in reversed(chain):
        values = _values(layout, view, models, earlier, threads, values)
    return values


def _window(
    layout: Layout,
    view: memoryview,
    models: Models,
    frame: int,
    tiles: list[int],
    window: tuple[slice, slice],
    threads: int,
) -> np.ndarray:
    """Raw words of a window that whole ``tiles`` fill."""
    before = _before(layout, view, models, frame, tiles, threads)
    values = _plane(layout, view, models, frame, frame, tiles, window, threads, before)
    side = None
    if layout.side_plane_of[frame] >= 0:
        plane = int(layout.side_plane_of[frame])
        side = _plane(layout, view, models, plane, frame, tiles, window, threads, None)
    _check_range(values, side, layout.header, frame)
    return planes.join(values, side, layout.header.sample_format)


def _words(
    layout: Layout, view: memoryview, models: Models, frame: int, values: np.ndarray, threads: int
) -> np.ndarray:
    """Raw words of a whole frame whose values are known."""
    header, side = layout.header, None
    if layout.side_plane_of[frame] >= 0:
        plane, tiles = int(layout.side_plane_of[frame]), list(range(header.grid.count))
        window = (slice(0, header.rows), slice(0, header.columns))
        side = _plane(layout, view, models, plane, frame, tiles, window, threads, None)
    _check_range(values, side, header, frame)
    return planes.join(values, side, header.sample_format)


def _plane(
    layout: Layout,
    view: memoryview,
    models: Models,
    plane: int,
    frame: int,
    tiles: list[int],
    window: tuple[slice, slice],
    threads: int,
    before: np.ndarray | None,
) -> np.ndarray:
    header, record = layout.header, layout.record(plane)
    grid = header.grid
    coded = []
    for tile in tiles:
        data = layout.tile_bytes(view, plane, tile, frame)
        coded.append((int(header.tile_methods[plane * grid.count + tile]), data, grid.shape(tile)))
    needs_model = any(method in (contenders.NEURAL, contenders.NEIGHBOUR) for method, _, _ in coded)
    context = TileContext(
        peak=record.peak,
        bound=header.profile.bound if plane < header.frames else 0,
        effort=header.effort,
        model=models(_model_id(header)) if needs_model else None,
    )
    contexts = with_references(context, before, record.minimum, _table_of(record), grid, tiles)
    names = [name_of(frame, tile) for tile in tiles]
    values = np.empty((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint16)
    for tile, pixels in zip(tiles, decode_plane_tiles(record, contexts, coded, names, threads), strict=True):
        rows, columns = grid.window(tile)
        top, left = rows.start - window[0].start, columns.start - window[1].start
        values[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return values


def _model_id(header: Header) -> str:
    if not header.model_id:
        raise PayloadCorrupt("A tile needs a model, but the header names none.")
    return header.model_id


def _check_frame(header: Header, frame: int) -> None:
    if not 0 <= frame < header.frames:
        raise UsageError(f"There is no frame {frame}: the frames are 0..{header.frames - 1}.")


def _check_range(values: np.ndarray, side: np.ndarray | None, header: Header, frame: int) -> None:
    """A payload made by hand could hold values wider than its sample format; they would spill into other
    bits.
    """
    sample_format = header.sample_format
    if int(values.max()) > sample_format.mask:
        raise PayloadCorrupt(f"Frame {frame} holds values of more than {sample_format.bits_stored} bits.")
    if side is not None and int(side.max()) >> sample_format.side_bits:
        raise PayloadCorrupt(f"Frame {frame} holds side bits where the sample format has none.")
