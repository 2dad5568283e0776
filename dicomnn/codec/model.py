"""A model from its bytes: integer weights and tables, checked before anything uses them.

File: ``DNNMODEL``, format version (uint32), length of the JSON header (uint32), the header (UTF-8),
then one zlib stream of all arrays, little endian, one after the other in the header's order.
Header: ``{"arrays": [{"name", "dtype", "shape"}...], "about": {...}}``. The model id is the first 32
hex digits of the SHA-256 of the whole file. Every sum that the networks can form is bounded by 2^24
here, so float32 evaluates them exactly in any order on any machine.
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
from .tables import FRACTIONS, SCALE_CLASSES, SYMBOLS, TAIL_CLASSES, TOTAL

MAGIC = b"DNNMODEL"
VERSION = 1
CODE_LENGTH = 16
CODE_LIMIT = 3
CODE_SYMBOLS = 2 * CODE_LIMIT + 1
EXACT_LIMIT = 1 << 24
LARGEST_BODY = 64 << 20
INPUT_LIMIT, HIDDEN_LIMIT = 127, 255

# name -> (dtype, number of dimensions); H is the width of the causal network
SCHEMA = {
    "log": ("<i4", 1),
    "compand": ("<i4", 1),
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
    forms that the kernels take: ``log``, ``compand`` int64; ``cdfs`` (33, 8, 8, 257) uint32;
    ``causal`` (six float32 arrays of integers).
    """

    def __init__(self, data: bytes, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
        self.data = data
        self.id = model_id(data)
        self.about = about
        self.arrays = arrays
        self.width = int(arrays["causal1"].shape[1])
        self.log = arrays["log"].astype(np.int64)
        self.compand = arrays["compand"].astype(np.int64)
        self.cdfs = np.zeros((SCALE_CLASSES, FRACTIONS, TAIL_CLASSES, SYMBOLS + 1), dtype=np.uint32)
        np.cumsum(arrays["frequencies"], axis=-1, dtype=np.uint32, out=self.cdfs[..., 1:])
        self.code_cdfs = np.zeros((CODE_LENGTH, CODE_SYMBOLS + 1), dtype=np.int64)
        np.cumsum(arrays["code_frequencies"], axis=-1, dtype=np.int64, out=self.code_cdfs[:, 1:])
        third = np.zeros((self.width, 8), dtype=np.float32)
        third[:, :3] = arrays["causal3"]
        third_bias = np.zeros(8, dtype=np.float32)
        third_bias[:3] = arrays["causal3_bias"]
        self.causal = (
            arrays["causal1"].astype(np.float32),
            arrays["causal1_bias"].astype(np.float32),
            arrays["causal2"].astype(np.float32),
            arrays["causal2_bias"].astype(np.float32),
            third,
            third_bias,
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
    h = a["causal1"].shape[1]
    d = a["decoder1"].shape[1]
    c1, c2, c3 = (a[f"encoder{n}"].shape[0] for n in (1, 2, 3))
    wanted = {
        "log": (256,),
        "compand": (1024,),
        "frequencies": (SCALE_CLASSES, FRACTIONS, TAIL_CLASSES, SYMBOLS),
        "code_frequencies": (CODE_LENGTH, CODE_SYMBOLS),
        "causal1": (32, h),
        "causal1_bias": (h,),
        "causal2": (h, h),
        "causal2_bias": (h,),
        "causal3": (h, 3),
        "causal3_bias": (3,),
        "decoder1": (CODE_LENGTH, d),
        "decoder1_bias": (d,),
        "decoder2": (d, 4 * h),
        "decoder2_bias": (4 * h,),
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
    if h % 8 or h > 256 or d > 1024:
        raise ModelCorrupt(f"network widths {h} and {d} are not supported")


def _check_tables(model: Model) -> None:
    if (model.cdfs[..., -1] != TOTAL).any() or (model.cdfs[..., -1] == model.cdfs[..., -2]).any():
        raise ModelCorrupt("a pixel table does not sum to 65536 or leaves no room for the escape")
    if (model.code_cdfs[:, -1] != TOTAL).any() or (np.diff(model.code_cdfs, axis=1) < 1).any():
        raise ModelCorrupt("a table of the tile code does not sum to 65536")
    log, compand = model.log, model.compand
    if log.min() < 0 or log.max() > 256 or compand.min() < 0 or compand.max() > INPUT_LIMIT:
        raise ModelCorrupt("the logarithm or companding table is out of range")


def check_bounds(a: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Largest possible |sum| of every layer; raises ModelCorrupt where it reaches 2^24."""
    h = a["causal1"].shape[1]
    shift = np.abs(modulation_bound(a)).reshape(4, h)
    worst = {}

    def layer(
        name: str,
        weights: np.ndarray,
        bias: np.ndarray,
        limit: int,
        axis: tuple[int, ...],
        extra: np.ndarray | int = 0,
    ) -> None:
        reach = np.abs(weights.astype(np.int64)).sum(axis) * limit + np.abs(bias.astype(np.int64)) + extra
        worst[name] = int(reach.max())
        if worst[name] >= EXACT_LIMIT:
            raise ModelCorrupt(
                f"layer {name} can reach {worst[name]}, beyond 2^24: float32 would not be exact"
            )

    layer("causal1", a["causal1"], a["causal1_bias"], INPUT_LIMIT, (0,), shift[1])
    layer("causal2", a["causal2"], a["causal2_bias"], HIDDEN_LIMIT, (0,), shift[3])
    layer("causal3", a["causal3"], a["causal3_bias"], HIDDEN_LIMIT, (0,))
    layer("decoder1", a["decoder1"], a["decoder1_bias"], CODE_LIMIT, (0,))
    layer("decoder2", a["decoder2"], a["decoder2_bias"], HIDDEN_LIMIT, (0,))
    layer("encoder1", a["encoder1"], a["encoder1_bias"], INPUT_LIMIT, (1, 2, 3))
    layer("encoder2", a["encoder2"], a["encoder2_bias"], HIDDEN_LIMIT, (1, 2, 3))
    layer("encoder3", a["encoder3"], a["encoder3_bias"], HIDDEN_LIMIT, (1, 2, 3))
    layer("encoder_dense", a["encoder_dense"], a["encoder_dense_bias"], HIDDEN_LIMIT, (0,))
    return worst


def modulation_bound(a: Mapping[str, np.ndarray]) -> np.ndarray:
    """(4 * H,) largest |shift| that any code can ask for, in units of the layer it is added to."""
    h = a["causal1"].shape[1]
    reach = np.abs(a["decoder2"].astype(np.int64)).sum(0) * HIDDEN_LIMIT + np.abs(
        a["decoder2_bias"].astype(np.int64)
    )
    bound = np.zeros((4, h), dtype=np.int64)
    bound[1] = ((reach.reshape(4, h)[1] >> 9) + 1) << 8
    bound[3] = ((reach.reshape(4, h)[3] >> 9) + 1) << 9
    return bound.reshape(-1)


def adversarial_inputs(weights: np.ndarray, limit: int) -> np.ndarray:
    """(2 * out, in) inputs in {-limit, limit} (or {0, limit} when signs agree) reaching the largest sums."""
    w = weights.astype(np.int64).T
    return np.concatenate([np.where(w >= 0, limit, -limit), np.where(w >= 0, -limit, limit)])


def self_test(model: Model) -> None:
    """Compare the compiled network with int64 arithmetic on adversarial and ordinary inputs.

    Raises InexactArithmetic when this machine or its libraries do not compute integers exactly.
    """
    from .causal import forward

    a = model.arrays
    rng = np.random.Generator(np.random.PCG64(20240229))
    tests = np.concatenate([adversarial_inputs(a["causal1"], INPUT_LIMIT), rng.integers(-127, 128, (64, 32))])
    modulation = np.zeros((4, model.width), dtype=np.int64)
    modulation[0::2] = rng.integers(-48, 49, (2, model.width))
    work = [np.zeros(model.width, dtype=np.float32) for _ in range(3)]
    outputs = np.zeros(3, dtype=np.int64)
    for row in tests.astype(np.int64):
        forward(row, *model.causal, modulation, *work, outputs)
        x = row @ a["causal1"].astype(np.int64) + a["causal1_bias"]
        x = np.clip(((x >> 8) * (64 + modulation[0])) >> 6, 0, HIDDEN_LIMIT)
        x = x @ a["causal2"].astype(np.int64) + a["causal2_bias"]
        x = np.clip(((x >> 9) * (64 + modulation[2])) >> 6, 0, HIDDEN_LIMIT)
        if not np.array_equal((x @ a["causal3"].astype(np.int64) + a["causal3_bias"]) >> 6, outputs):
            raise InexactArithmetic(
                "the self-test of the causal network differs from int64 arithmetic"
            )
