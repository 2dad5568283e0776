"""A model from its bytes: integer weights and tables, checked before anything uses them.

File: ``DNNMODEL``, format version (uint32), length of the JSON header (uint32), the header (UTF-8),
then one zlib stream of all arrays, little endian, one after the other in the header's order.
Header: ``{"arrays": [{"name", "dtype", "shape"}...], "about": {...}}``. The model id is the first 32
hex digits of the SHA-256 of the whole file. Every sum that the networks can form is bounded here: below
2^24 for the convolutions of the encoder, which float32 evaluates exactly in any order, and below 2^31
for the causal network, which int32 evaluates.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InexactArithmetic, ModelCorrupt
from .causal import (
    HIDDEN_LIMIT,
    INPUT_LIMIT,
    INPUTS,
    NARROW_WIDTH,
    ORDER,
    OUTPUTS,
    PADDED_OUTPUTS,
    WIDTH_1,
    WIDTH_2,
)
from .network_lanes import interleaved
from .pixel_tables import slopes_of, starts_of
from .tables import FRACTIONS, SCALE_CLASSES, SYMBOLS, TAIL_CLASSES, TOTAL, log_table

MAGIC = b"DNNMODEL"
VERSION = 2
CODE_LENGTH = 16
CODE_LIMIT = 3
CODE_SYMBOLS = 2 * CODE_LIMIT + 1
EXACT_LIMIT = 1 << 24
WIDE_LIMIT = 1 << 31
MODULATIONS = 2 * (WIDTH_1 + WIDTH_2)
LARGEST_BODY = 64 << 20

# name -> (dtype, number of dimensions)
SCHEMA = {
    "log": ("<i4", 1),
    "frequencies": ("<u2", 4),
    "code_frequencies": ("<u4", 2),
    "causal1": ("<i2", 2),
    "causal1_bias": ("<i4", 1),
    "causal2": ("<i2", 2),
    "causal2_bias": ("<i4", 1),
    "causal3": ("<i2", 2),
    "causal3_bias": ("<i4", 1),
    "decoder1": ("<i2", 2),
    "decoder1_bias": ("<i4", 1),
    "decoder2": ("<i2", 2),
    "decoder2_bias": ("<i4", 1),
    "encoder1": ("<i2", 4),
    "encoder1_bias": ("<i4", 1),
    "encoder2": ("<i2", 4),
    "encoder2_bias": ("<i4", 1),
    "encoder3": ("<i2", 4),
    "encoder3_bias": ("<i4", 1),
    "encoder_dense": ("<i2", 2),
    "encoder_dense_bias": ("<i4", 1),
}


def to_bytes(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """The model file of integer ``arrays`` (names and dtypes of SCHEMA)."""
    rows, body = [], []
    for name, (dtype, _) in SCHEMA.items():
        a = np.ascontiguousarray(arrays[name])
        cast = a.astype(dtype)
        if not np.array_equal(cast, a):
            raise ModelCorrupt(f"array {name} does not fit {dtype}")
        rows.append({"name": name, "dtype": dtype, "shape": list(a.shape)})
        body.append(cast.tobytes())
    header = json.dumps(
        {"arrays": rows, "about": dict(about)}, sort_keys=True, separators=(",", ":")
    ).encode()
    return MAGIC + struct.pack("<II", VERSION, len(header)) + header + zlib.compress(b"".join(body), 9)


def model_id(data: bytes) -> str:
    """First 32 hex digits of the SHA-256 of the model file."""
    return hashlib.sha256(data).hexdigest()[:32]


class Model:
    """Integer networks and tables of one released model; immutable after loading.

    Attributes: ``id`` (hex), ``about`` (dict), ``data`` (the file), ``arrays`` (as in the file) and the
    forms that the kernels take: ``log`` int64 (256,); ``starts`` and ``slopes``, from `pixel_tables`;
    ``code_cdfs`` int64 (16, 8); ``causal``, the layers as `weights_for` completes them.
    """

    def __init__(self, data: bytes, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
        self.data = data
        self.id = model_id(data)
        self.about = about
        self.arrays = arrays
        self.log = arrays["log"].astype(np.int64)
        self.starts = starts_of(arrays["frequencies"])
        self.slopes = slopes_of(arrays["frequencies"], self.log)
        self.code_cdfs = np.zeros((CODE_LENGTH, CODE_SYMBOLS + 1), dtype=np.int64)
        np.cumsum(arrays["code_frequencies"], axis=-1, dtype=np.int64, out=self.code_cdfs[:, 1:])
        third = np.zeros((WIDTH_2, PADDED_OUTPUTS), dtype=np.int64)
        third[:, :OUTPUTS] = arrays["causal3"]
        third_bias = np.zeros(PADDED_OUTPUTS, dtype=np.int32)
        third_bias[:OUTPUTS] = arrays["causal3_bias"]
        self._layers = {
            width: (interleaved(arrays["causal1"][ORDER, :width]), interleaved(arrays["causal2"][:width]))
            for width in (NARROW_WIDTH, WIDTH_1)
        }
        self._third = (interleaved(third), third_bias)

    def weights_for(self, modulation: np.ndarray, narrow: bool) -> tuple[np.ndarray, ...]:
        """What `causal.forward` takes: the layers with a tile's modulation (see `autoencoder.modulation`).

        ``narrow``: only the first NARROW_WIDTH units of the first layer.
        """
        width = NARROW_WIDTH if narrow else WIDTH_1
        first, second = self._layers[width]
        a = self.arrays
        gain1, shift1, gain2, shift2 = np.split(modulation, np.cumsum([WIDTH_1, WIDTH_1, WIDTH_2]))
        return (
            first,
            (a["causal1_bias"] + shift1)[:width].astype(np.int32),
            (64 + gain1)[:width].astype(np.int32),
            second,
            (a["causal2_bias"] + shift2).astype(np.int32),
            (64 + gain2).astype(np.int32),
            *self._third,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Model:
        """Parse, check shapes, tables and exactness bounds, and run the self-test.

        Raises ModelCorrupt, InexactArithmetic.
        """
        model = cls(bytes(data), *_parse(bytes(data)))
        _check_tables(model)
        check_bounds(model.arrays)
        self_test(model)
        return model

    def __repr__(self) -> str:
        return f"Model({self.id})"


def _parse(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if len(data) < 16 or data[:8] != MAGIC:
        raise ModelCorrupt("this is no dicomnn model file")
    version, length = struct.unpack_from("<II", data, 8)
    if version != VERSION:
        raise ModelCorrupt(f"model format version {version} is not supported (this library reads {VERSION})")
    if length > len(data) - 16:
        raise ModelCorrupt("the model file is cut off in its header")
    try:
        header = json.loads(data[16 : 16 + length])
        inflater = zlib.decompressobj()
        body = inflater.decompress(data[16 + length :], LARGEST_BODY)
        if not inflater.eof or inflater.unused_data:
            raise ModelCorrupt("the model's arrays are cut off, too long or followed by other bytes")
        arrays: dict[str, np.ndarray] = {}
        at = 0
        for row, (name, (dtype, dimensions)) in zip(header["arrays"], SCHEMA.items(), strict=True):
            shape = tuple(int(n) for n in row["shape"])
            if row["name"] != name or row["dtype"] != dtype or len(shape) != dimensions or min(shape) < 1:
                raise ModelCorrupt(
                    f"array {row['name']!r} is not what format {VERSION} has in its place ({name})"
                )
            count = int(np.prod(shape, dtype=object))
            size = count * np.dtype(dtype).itemsize
            if at + size > len(body):
                raise ModelCorrupt(f"array {name} claims more bytes than there are")
            arrays[name] = np.frombuffer(body, dtype, count, at).reshape(shape)
            at += size
        if at != len(body):
            raise ModelCorrupt("bytes are left over after the last array")
    except (ValueError, KeyError, TypeError, zlib.error) as problem:
        raise ModelCorrupt(f"the model file cannot be parsed: {problem}") from problem
    _check_shapes(arrays)
    return arrays, header.get("about", {})


def _check_shapes(a: Mapping[str, np.ndarray]) -> None:
    d = a["decoder1"].shape[1]
    c1, c2, c3 = (a[f"encoder{n}"].shape[0] for n in (1, 2, 3))
    wanted = {
        "log": (256,),
        "frequencies": (SCALE_CLASSES, FRACTIONS, TAIL_CLASSES, SYMBOLS),
        "code_frequencies": (CODE_LENGTH, CODE_SYMBOLS),
        "causal1": (INPUTS, WIDTH_1),
        "causal1_bias": (WIDTH_1,),
        "causal2": (WIDTH_1, WIDTH_2),
        "causal2_bias": (WIDTH_2,),
        "causal3": (WIDTH_2, OUTPUTS),
        "causal3_bias": (OUTPUTS,),
        "decoder1": (CODE_LENGTH, d),
        "decoder1_bias": (d,),
        "decoder2": (d, MODULATIONS),
        "decoder2_bias": (MODULATIONS,),
        "encoder1": (c1, 4, 5, 5),
        "encoder1_bias": (c1,),
        "encoder2": (c2, c1, 3, 3),
        "encoder2_bias": (c2,),
        "encoder3": (c3, c2, 3, 3),
        "encoder3_bias": (c3,),
        "encoder_dense": (2 * c3, CODE_LENGTH),
        "encoder_dense_bias": (CODE_LENGTH,),
    }
    for name, shape in wanted.items():
        if a[name].shape != shape:
            raise ModelCorrupt(f"array {name} has shape {a[name].shape}, not {shape}")
    if d > 1024:
        raise ModelCorrupt(f"a code decoder of width {d} is not supported")


def _check_tables(model: Model) -> None:
    frequencies = model.arrays["frequencies"].astype(np.int64)
    if (frequencies.sum(-1) != TOTAL).any() or (frequencies[..., -1] < 1).any():
        raise ModelCorrupt("a pixel table does not sum to 65536 or leaves no room for the escape")
    if (model.code_cdfs[:, -1] != TOTAL).any() or (np.diff(model.code_cdfs, axis=1) < 1).any():
        raise ModelCorrupt("a table of the tile code does not sum to 65536")
    if not np.array_equal(model.log, log_table()):
        raise ModelCorrupt("the logarithm table is not the one that the kernels know by heart")


def check_bounds(a: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Largest possible |sum| of every layer; raises ModelCorrupt where it reaches its limit."""
    shift = _largest_shifts(a)
    worst = {}

    def layer(
        name: str,
        inputs: int,
        axis: tuple[int, ...] = (0,),
        extra: np.ndarray | int = 0,
        limit: int = EXACT_LIMIT,
    ) -> None:
        weights, bias = a[name].astype(np.int64), a[f"{name}_bias"].astype(np.int64)
        worst[name] = int((np.abs(weights).sum(axis) * inputs + np.abs(bias) + extra).max())
        if worst[name] >= limit:
            raise ModelCorrupt(f"layer {name} can reach {worst[name]}, beyond {limit}: it would not be exact")

    # A hidden sum is shifted down, then multiplied by a gain of at most 112.
    layer("causal1", INPUT_LIMIT, extra=shift[:WIDTH_1], limit=WIDE_LIMIT)
    layer("causal2", HIDDEN_LIMIT, extra=shift[WIDTH_1:], limit=WIDE_LIMIT)
    layer("causal3", HIDDEN_LIMIT, limit=WIDE_LIMIT)
    layer("decoder1", CODE_LIMIT)
    layer("decoder2", HIDDEN_LIMIT)
    layer("encoder1", INPUT_LIMIT, (1, 2, 3))
    layer("encoder2", HIDDEN_LIMIT, (1, 2, 3))
    layer("encoder3", HIDDEN_LIMIT, (1, 2, 3))
    layer("encoder_dense", HIDDEN_LIMIT)
    return worst


def _largest_shifts(a: Mapping[str, np.ndarray]) -> np.ndarray:
    """(WIDTH_1 + WIDTH_2,) largest |shift| that any code can ask for, in units of its layer."""
    reach = np.abs(a["decoder2"].astype(np.int64)).sum(0) * HIDDEN_LIMIT
    reach += np.abs(a["decoder2_bias"].astype(np.int64))
    _, shift1, _, shift2 = np.split(reach, np.cumsum([WIDTH_1, WIDTH_1, WIDTH_2]))
    return np.concatenate([((shift1 >> 9) + 1) << 8, ((shift2 >> 9) + 1) << 9])


def adversarial_inputs(weights: np.ndarray, limit: int) -> np.ndarray:
    """(2 * out, in) inputs in {-limit, limit} reaching the largest sums of a layer (in, out)."""
    w = weights.astype(np.int64).T
    return np.concatenate([np.where(w >= 0, limit, -limit), np.where(w >= 0, -limit, limit)])


def self_test(model: Model) -> None:
    """Compare the compiled network with int64 arithmetic on adversarial and ordinary inputs.

    Raises InexactArithmetic when this machine does not compute integers exactly.
    """
    from .causal import forward

    a = model.arrays
    rng = np.random.Generator(np.random.PCG64(20240229))
    tests = np.concatenate(
        [adversarial_inputs(a["causal1"], INPUT_LIMIT), rng.integers(-127, 128, (64, INPUTS))]
    )
    modulation = np.zeros(MODULATIONS, dtype=np.int64)
    gain1 = modulation[:WIDTH_1] = rng.integers(-48, 49, WIDTH_1)
    gain2 = modulation[2 * WIDTH_1 : 2 * WIDTH_1 + WIDTH_2] = rng.integers(-48, 49, WIDTH_2)
    wide, narrow = (model.weights_for(modulation, only) for only in (False, True))
    first, second = np.zeros(WIDTH_1, dtype=np.int16), np.zeros(WIDTH_2, dtype=np.int16)
    outputs = np.zeros(PADDED_OUTPUTS, dtype=np.int32)
    for row in tests.astype(np.int64):
        x = row @ a["causal1"].astype(np.int64) + a["causal1_bias"]
        hidden = np.clip(((x >> 8) * (64 + gain1)) >> 6, 0, HIDDEN_LIMIT)
        for weights, width in ((wide, WIDTH_1), (narrow, NARROW_WIDTH)):
            forward(row[ORDER].astype(np.int16), True, *weights, first, second, outputs)
            x = hidden[:width] @ a["causal2"][:width].astype(np.int64) + a["causal2_bias"]
            x = np.clip(((x >> 9) * (64 + gain2)) >> 6, 0, HIDDEN_LIMIT)
            if not np.array_equal(x @ a["causal3"].astype(np.int64) + a["causal3_bias"], outputs[:OUTPUTS]):
                raise InexactArithmetic("the self-test of the causal network differs from int64 arithmetic")
