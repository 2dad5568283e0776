"""One tile through the learned codec: side information, the coding loop, the entropy coder.

Data: start value (uint16), logarithm of the starting error (uint8, quarter octaves), then one rANS
stream: a flag and, if set, the 16 symbols of the tile code; then the pixels in raster order. With a
reference (the plane before, the neighbouring slice) the same loop sees more; the data look the same.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from dicomnn.codec import features, neural_kernel, rans
from dicomnn.codec.autoencoder import SMALLEST_MAP, layers_for_self_test, modulation, tile_code
from dicomnn.codec.framing import framed
from dicomnn.codec.intnet import self_test
from dicomnn.codec.model import CODE_LENGTH, CODE_LIMIT, Model
from dicomnn.codec.predictors import predictor_table
from dicomnn.codec.search import better_code
from dicomnn.codec.tiles import TileContext
from dicomnn.codec.workspace import Record, Stream, Tile, workspace
from dicomnn.errors import InexactArithmetic, PayloadCorrupt, UnknownModel

_HEAD = struct.Struct("<HB")
_CODED_CHANCE = 49152
_LOOK = {"fast": 0, "default": 96, "max": 128}
"""Side of the tile's centre that the autoencoder looks at; at effort fast it does not look."""
_ROUNDS = {"fast": 0, "default": 0, "max": 2}
"""Rounds of the search for a better tile code."""
_checked: set[str] = set()
_proven: set[str] = set()
_NO_RECORD = Record(
    np.zeros((1, 1), np.int8), np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.uint8)
)
_NO_WORDS, _NO_EVENTS = np.zeros(0, dtype=np.uint16), np.zeros(1, dtype=np.uint32)


def start_error(index: int) -> int:
    """Absolute error assumed outside the tile, in 1/64: 4 * 2^(index / 4), by integer steps."""
    return ((4 << (index >> 2)) * (256, 304, 362, 431)[index & 3]) >> 8


_LOG_START_ERRORS = np.log2([start_error(index) for index in range(64)])


def _index_of(error: float) -> int:
    return int(np.argmin(np.abs(_LOG_START_ERRORS - np.log2(max(error, 4.0)))))


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
    """SHA-256 of a made tile coded at every effort: exactly and with a bound, with and without a code, with
    and without a reference.

    The tile has noise, a ramp, an edge, a flat area and outliers, all from integer arithmetic.
    """
    _proven.add(model.id)
    rows, columns = np.mgrid[0:40, 0:56]
    mixed = (rows * 56 + columns) * 2654435761 % 4294967296
    tile = 900 + 7 * columns + 3 * rows + (mixed >> 27) + np.where(columns > 30, 400, 0)
    tile[26:, 36:] = 17
    tile[5, 7], tile[9, 40], tile[39, 0] = 65535, 0, 4095
    beside = np.roll(tile, 1, axis=1) + (mixed >> 29)
    whole = slice(0, 40), slice(0, 56)
    digest = hashlib.sha256()
    for effort in ("fast", "default", "max"):
        for bound in (0, 2):
            context = TileContext(65535, bound, effort, model)
            for step in (0, 1):
                code = (np.arange(CODE_LENGTH) % 7 - CODE_LIMIT) * step
                reference = framed(beside, *whole) if step else None
                digest.update(encode_with(tile.astype(np.uint16), context, reference, 900, 20, code))
    return digest.hexdigest()


def look_at(
    tile: np.ndarray, context: TileContext, reference: np.ndarray | None, model: Model
) -> tuple[int, int, np.ndarray]:
    """Start value, start error index and tile code (16,) of a tile, from its centre."""
    h, w = tile.shape
    side = _LOOK[context.effort]
    start = int(np.median(tile[0]))
    code = np.zeros(CODE_LENGTH, dtype=np.int64)
    if side == 0:
        steps = np.abs(np.diff(tile.astype(np.int32), axis=1))
        return start, _index_of(32.0 * float(steps.mean()) if steps.size else 0.0), code
    top, left = max(h - side, 0) // 2, max(w - side, 0) // 2
    centre = tile[top : top + side, left : left + side]
    seen = features.extract(
        centre,
        peak=context.peak,
        start=int(np.median(centre[0])),
        start_error=features.START_ERROR,
        effort=context.effort,
        log_table=model.log,
        reference=None if reference is None else reference[top : top + side + 8, left : left + side + 8],
    )
    costly = np.abs(seen.targets[seen.flat < 2])
    index = _index_of(float(costly.mean())) if costly.size else 0
    if min(centre.shape) >= SMALLEST_MAP:
        if model.id not in _checked:
            self_test(layers_for_self_test(model))
            _checked.add(model.id)
        code = tile_code(model, seen.maps[None])[0]
        code = better_code(model, seen, code, reference is not None, _ROUNDS[context.effort])
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


def _walk(
    mode: int,
    tile: np.ndarray,
    context: TileContext,
    reference: np.ndarray | None,
    model: Model,
    start: int,
    index: int,
    code: np.ndarray,
    stream: Stream,
) -> int:
    height, width = tile.shape
    table = predictor_table(context.effort, width, reference is not None)
    return int(
        neural_kernel.code_tile(
            mode,
            tile,
            Tile(context.peak, context.bound, start, start_error(index)),
            table,
            model.log,
            model.starts,
            model.slopes,
            *model.weights_for(modulation(model, code), context.effort == "fast"),
            workspace(height, width, table, reference),
            stream,
            _NO_RECORD,
        )
    )


def encode(tile: np.ndarray, context: TileContext, reference: np.ndarray | None) -> bytes:
    """Bytes of a tile (h, w) uint16; ``reference`` from `framed`, less the plane's minimum, or None.

    Raises UnknownModel, InexactArithmetic.
    """
    model = _require_model(context)
    start, index, code = look_at(tile, context, reference, model)
    return encode_with(tile, context, reference, start, index, code)


def encode_with(
    tile: np.ndarray,
    context: TileContext,
    reference: np.ndarray | None,
    start: int,
    index: int,
    code: np.ndarray,
) -> bytes:
    """Bytes of a tile with the side information given: what `encode` chooses, or an ablation."""
    model = _require_model(context)
    head = _code_events(model, code)
    events = np.zeros(len(head) + neural_kernel.EVENTS_PER_PIXEL * tile.size, dtype=np.uint32)
    events[: len(head)] = head
    counter = np.array([len(head)], dtype=np.int64)
    walked = np.ascontiguousarray(tile, dtype=np.uint16).copy()
    stream = Stream(events, counter, _NO_WORDS, np.zeros(3, dtype=np.int64))
    _walk(neural_kernel.ENCODE, walked, context, reference, model, start, index, code, stream)
    words = np.zeros(int(counter[0]) + 2, dtype=np.uint16)
    at, state = rans.encode_events(events, counter[0], words)
    return _HEAD.pack(start, index) + rans.pack(words, at, state)


def read_head(data: bytes, model: Model) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
    """Start value, start error index and tile code (16,) of a tile's data, then words and cursor behind them.

    Raises PayloadCorrupt.
    """
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
        rans.take(words, cursor, 0, _CODED_CHANCE)
        for i in range(CODE_LENGTH):
            cdf = model.code_cdfs[i]
            symbol = int(np.searchsorted(cdf, cursor[1] & 0xFFFF, side="right")) - 1
            rans.take(words, cursor, int(cdf[symbol]), int(cdf[symbol + 1] - cdf[symbol]))
            code[i] = symbol - CODE_LIMIT
    else:
        rans.take(words, cursor, _CODED_CHANCE, 65536 - _CODED_CHANCE)
    return start, index, code, words, cursor


def decode(
    data: bytes, shape: tuple[int, int], context: TileContext, reference: np.ndarray | None
) -> np.ndarray:
    """The tile (h, w) uint16. Raises PayloadCorrupt, UnknownModel."""
    model = _require_model(context)
    start, index, code, words, cursor = read_head(data, model)
    tile = np.zeros(shape, dtype=np.uint16)
    stream = Stream(_NO_EVENTS, np.zeros(1, dtype=np.int64), words, cursor)
    result = _walk(neural_kernel.DECODE, tile, context, reference, model, start, index, code, stream)
    if result != neural_kernel.GOOD or cursor[2] or cursor[0] != words.size or cursor[1] != rans.LOWEST_STATE:
        raise PayloadCorrupt(
            "The entropy coded data of a neural tile does not end where it should.", where="tile"
        )
    return tile
