"""The learned contender: predictors, causal network, tile code, online stage.

Data: start value (uint16), logarithm of the starting error (uint8, quarter octaves), then one rANS
stream: a flag and, if set, the 16 symbols of the tile code; then the pixels in raster order.
Tiles are independent; the kernels release the GIL, so many run side by side in threads.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import numpy as np

from dicomnn.codec import features, neural_kernel, rans
from dicomnn.codec.autoencoder import SMALLEST_MAP, layers_for_self_test, modulation, tile_code
from dicomnn.codec.intnet import self_test
from dicomnn.codec.model import CODE_LENGTH, CODE_LIMIT, Model
from dicomnn.codec.online import STATE
from dicomnn.codec.parallel import in_order
from dicomnn.codec.predictors import NEIGHBOURS, predictor_table
from dicomnn.codec.tiles import TileContext
from dicomnn.errors import InexactArithmetic, PayloadCorrupt, UnknownModel

METHOD = 0
NAME = "neural"

_HEAD = struct.Struct("<HB")
_CODED_CHANCE = 49152
_CENTRE = 128
_checked: set[str] = set()
_proven: set[str] = set()


def applies(tile: np.ndarray, context: TileContext) -> bool:
    """Any tile that is not constant, when a model is at hand."""
    return context.model is not None and int(tile.min()) != int(tile.max())


def start_error(index: int) -> int:
    """Absolute error assumed outside the tile, in 1/64: 4 * 2^(index / 4), by integer steps."""
    return ((4 << (index >> 2)) * (256, 304, 362, 431)[index & 3]) >> 8


def _index_of(error: float) -> int:
    return min(range(64), key=lambda k: abs(np.log2(start_error(k)) - np.log2(max(error, 4.0))))


def _require_model(context: TileContext) -> Model:
    model = context.model
    if model is None:
        raise UnknownModel("A neural tile needs its model, and none was given.")
    if model.id not in _proven:
        prove(model)
    return model


def prove(model: Model) -> None:
    """Compare this machine's compiled kernels with the fingerprint that the model was released with.

    Catches a platform or a stale compile cache that computes differently, before anything is coded
    or decoded with it. Raises InexactArithmetic.
    """
    _proven.add(model.id)
    wanted = model.about.get("fingerprint")
    if wanted is not None and fingerprint(model) != wanted:
        _proven.discard(model.id)
        raise InexactArithmetic(
            f"The compiled coding loop does not give what model {model.id} was released with.",
            cure="Delete the compile cache (__pycache__/*.nbi and *.nbc of dicomnn, or NUMBA_CACHE_DIR) and"
            " try again; if it stays, do not code on this machine and report its platform.",
        )


def fingerprint(model: Model) -> str:
    """SHA-256 of a made tile coded at every effort, exactly and with a bound, with and without a code.

    The tile has noise, a ramp, an edge, a flat area and outliers, all from integer arithmetic.
    """
    _proven.add(model.id)
    rows, columns = np.mgrid[0:40, 0:56]
    mixed = (rows * 56 + columns) * 2654435761 % 4294967296
    tile = 900 + 7 * columns + 3 * rows + (mixed >> 27) + np.where(columns > 30, 400, 0)
    tile[26:, 36:] = 17
    tile[5, 7], tile[9, 40], tile[39, 0] = 65535, 0, 4095
    digest = hashlib.sha256()
    for effort in ("fast", "default", "max"):
        for bound in (0, 2):
            context = TileContext(65535, bound, effort, model)
            for step in (0, 1):
                code = (np.arange(CODE_LENGTH) % 7 - CODE_LIMIT) * step
                digest.update(encode_with(tile.astype(np.uint16), context, 900, 20, code))
    return digest.hexdigest()


def look_at(tile: np.ndarray, context: TileContext, model: Model) -> tuple[int, int, np.ndarray]:
    """Start value, start error index and tile code (16,) of a tile, from its centre."""
    h, w = tile.shape
    top, left = max(h - _CENTRE, 0) // 2, max(w - _CENTRE, 0) // 2
    centre = tile[top : top + _CENTRE, left : left + _CENTRE]
    start = int(np.median(tile[0]))
    inputs, _, targets, flat = features.extract(
        centre,
        peak=context.peak,
        start=int(np.median(centre[0])),
        start_error=features.START_ERROR,
        effort=context.effort,
        log_table=model.log,
        compand_table=model.compand,
    )
    costly = np.abs(targets[flat < 2])
    index = _index_of(float(costly.mean())) if costly.size else 0
    code = np.zeros(CODE_LENGTH, dtype=np.int64)
    if min(centre.shape) >= SMALLEST_MAP:
        if model.id not in _checked:
            self_test(layers_for_self_test(model))
            _checked.add(model.id)
        code = tile_code(model, features.maps(inputs)[None])[0]
    return start, index, code


def _code_events(model: Model, code: np.ndarray) -> list[int]:
    """Events of the flag and, unless the code is zero, its symbols."""
    if not code.any():
        return [_CODED_CHANCE << 16 | (65536 - _CODED_CHANCE)]
    events = [_CODED_CHANCE]
    for i, symbol in enumerate(code + CODE_LIMIT):
        begin, end = int(model.code_cdfs[i, symbol]), int(model.code_cdfs[i, symbol + 1])
        events.append(begin << 16 | (end - begin))
    return events


def _kernel(
    mode: int,
    tile: np.ndarray,
    context: TileContext,
    model: Model,
    start: int,
    index: int,
    code: np.ndarray,
    events: np.ndarray,
    counter: np.ndarray,
    words: np.ndarray,
    cursor: np.ndarray,
) -> int:
    table = predictor_table(context.effort)
    height, width = tile.shape
    work = features.workspace(height, width, table)
    return int(
        neural_kernel.code_tile(
            mode,
            tile,
            context.peak,
            context.bound,
            start,
            start_error(index),
            table,
            NEIGHBOURS,
            model.log,
            model.compand,
            model.cdfs,
            *model.causal,
            modulation(model, code),
            work["padded"],
            work["errors"],
            np.zeros_like(work["errors"]),
            work["history"],
            work["any_known"],
            work["samples"],
            work["known"],
            work["columns"],
            work["boxes"],
            work["left"],
            work["scratch"],
            np.zeros(STATE, dtype=np.int64),
            events,
            counter,
            words,
            cursor,
        )
    )


def encode(tile: np.ndarray, context: TileContext) -> bytes:
    """Bytes of a tile (h, w) uint16. Raises UnknownModel, InexactArithmetic."""
    model = _require_model(context)
    start, index, code = look_at(tile, context, model)
    return encode_with(tile, context, start, index, code)


def encode_with(tile: np.ndarray, context: TileContext, start: int, index: int, code: np.ndarray) -> bytes:
    """Bytes of a tile with the side information given: what `encode` chooses, or an ablation."""
    model = _require_model(context)
    head = _code_events(model, code)
    events = np.zeros(len(head) + neural_kernel.EVENTS_PER_PIXEL * tile.size, dtype=np.uint32)
    events[: len(head)] = head
    counter = np.array([len(head)], dtype=np.int64)
    walked = np.ascontiguousarray(tile, dtype=np.uint16).copy()
    nothing = np.zeros(0, dtype=np.uint16)
    _kernel(
        neural_kernel.ENCODE,
        walked,
        context,
        model,
        start,
        index,
        code,
        events,
        counter,
        nothing,
        np.zeros(3, dtype=np.int64),
    )
    words = np.zeros(int(counter[0]) + 2, dtype=np.uint16)
    at, state = rans.encode_events(events, counter[0], words)
    return _HEAD.pack(start, index) + rans.pack(words, at, state)


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    """The tile (h, w) uint16. Raises PayloadCorrupt, UnknownModel."""
    model = _require_model(context)
    if len(data) < _HEAD.size + 4 or (len(data) - _HEAD.size) % 2:
        raise PayloadCorrupt("The data of a neural tile is too short or of odd length.", where="tile")
    start, index = _HEAD.unpack_from(data)
    if index > 63:
        raise PayloadCorrupt("The starting error of a neural tile is out of range.", where="tile")
    state = int.from_bytes(data[3:7], "little")
    words = np.frombuffer(data, "<u2", offset=7).astype(np.uint16)
    cursor = np.array([0, state, 0], dtype=np.int64)
    code = np.zeros(CODE_LENGTH, dtype=np.int64)
    if (cursor[1] & 0xFFFF) < _CODED_CHANCE:
        neural_kernel.take(words, cursor, 0, _CODED_CHANCE)
        for i in range(CODE_LENGTH):
            cdf = model.code_cdfs[i]
            symbol = int(np.searchsorted(cdf, cursor[1] & 0xFFFF, side="right")) - 1
            neural_kernel.take(words, cursor, int(cdf[symbol]), int(cdf[symbol + 1] - cdf[symbol]))
            code[i] = symbol - CODE_LIMIT
    else:
        neural_kernel.take(words, cursor, _CODED_CHANCE, 65536 - _CODED_CHANCE)
    tile = np.zeros(shape, dtype=np.uint16)
    result = _kernel(
        neural_kernel.DECODE,
        tile,
        context,
        model,
        start,
        index,
        code,
        np.zeros(1, dtype=np.uint32),
        np.zeros(1, dtype=np.int64),
        words,
        cursor,
    )
    if result != neural_kernel.GOOD or cursor[2] or cursor[0] != words.size or cursor[1] != rans.LOWEST_STATE:
        raise PayloadCorrupt(
            "The entropy coded data of a neural tile does not end where it should.", where="tile"
        )
    return tile


def encode_many(tiles: Sequence[np.ndarray], context: TileContext, threads: int) -> list[bytes | None]:
    """Several tiles of one plane, side by side."""
    return list(in_order(len(tiles), lambda n, _: encode(tiles[n], context), tiles_each=1, threads=threads))


def decode_many(
    datas: Sequence[bytes], shapes: Sequence[tuple[int, int]], context: TileContext, threads: int
) -> list[np.ndarray]:
    """Several tiles of one plane, side by side."""
    return list(
        in_order(len(datas), lambda n, _: decode(datas[n], shapes[n], context), tiles_each=1, threads=threads)
    )
