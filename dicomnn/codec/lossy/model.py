"""The lossy tier's tables from their bytes: networks, points of reconstruction, first chances.

File: ``DNNLOSSY``, version (uint32), length of the JSON header (uint32), the header, one zlib stream of all
arrays in the header's order, little endian. The id is the first 16 hex digits of the SHA-256 of the file.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dicomnn.errors import InexactArithmetic, ModelCorrupt

from .bands import STILL_CONTEXTS, Tables
from .encoding import cost_tables
from .inputs import ACTIVITY, INPUTS, inputs_of
from .magnitudes import KINDS
from .scales import ACTIVITY_SHIFT, HIDDEN, HIDDEN_TOP, SCALES
from .wavelet import MOST_LEVELS

MAGIC = b"DNNLOSSY"
VERSION = 2
LARGEST_BODY = 4 << 20
ORIENTATIONS = 3
LARGEST_MARK = 160

# name -> (dtype, shape)
SCHEMA: dict[str, tuple[str, tuple[int, ...]]] = {
    "inputs": ("<i2", (ORIENTATIONS, 2, len(INPUTS), HIDDEN)),
    "levels": ("<i4", (ORIENTATIONS, 2, MOST_LEVELS + 1, HIDDEN)),
    "heads": ("<i2", (ORIENTATIONS, 2, HIDDEN)),
    "heads_bias": ("<i4", (ORIENTATIONS, 2)),
    "frequencies": ("<u2", (SCALES, KINDS)),
    "slopes": ("<i2", (SCALES, KINDS)),
    "points": ("<i2", (ORIENTATIONS, SCALES, 3)),
    "signs": ("<u2", (ORIENTATIONS, 2, 27)),
    "still": ("<u2", (ORIENTATIONS, MOST_LEVELS + 1, STILL_CONTEXTS)),
    "lowest": ("<u2", (16, KINDS)),
    "mask": ("<u2", (1024,)),
    "blocks": ("<u2", (12,)),
}


def to_bytes(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """The file of `arrays` (names, dtypes and shapes of SCHEMA)."""
    rows, body = [], []
    for name, (dtype, shape) in SCHEMA.items():
        a = np.ascontiguousarray(arrays[name])
        cast = a.astype(dtype)
        if not np.array_equal(cast, a) or a.shape != shape:
            raise ModelCorrupt(f"array {name} does not fit {dtype} {shape}")
        rows.append({"name": name, "dtype": dtype, "shape": list(a.shape)})
        body.append(cast.tobytes())
    header = json.dumps(
        {"arrays": rows, "about": dict(about)}, sort_keys=True, separators=(",", ":")
    ).encode()
    return MAGIC + struct.pack("<II", VERSION, len(header)) + header + zlib.compress(b"".join(body), 9)


class Chances(NamedTuple):
    """First chances of a frame, int64, in 1/65536: signs (6, 27) by 2 * orientation + odd; still (3, 6,
    18); lowest (16, 40); mask (1024,); blocks (12,).
    """

    signs: np.ndarray
    still: np.ndarray
    lowest: np.ndarray
    mask: np.ndarray
    blocks: np.ndarray


class LossyModel:
    """Checked tables of one released model; immutable. `id`: 16 hex digits; `arrays`: as in the file;
    `tables` and `chances` of the kernels; `costs`: `encoding.cost_tables`.
    """

    def __init__(self, data: bytes) -> None:
        self.id = hashlib.sha256(data).hexdigest()[:16]
        self.arrays = _parse(data)
        _check_sums(self.arrays)
        self.tables = _tables(self.arrays)
        self.costs = cost_tables(self.tables.ends)
        self.chances = Chances(
            self.arrays["signs"].reshape(2 * ORIENTATIONS, -1).astype(np.int64),
            *(self.arrays[name].astype(np.int64) for name in Chances._fields[1:]),
        )


def _tables(arrays: dict[str, np.ndarray]) -> Tables:
    passes = 2 * ORIENTATIONS
    weights = np.zeros((passes, len(INPUTS) // 2, HIDDEN), np.int32)
    for p in range(passes):
        used = arrays["inputs"][p // 2, p % 2, inputs_of(p // 2, p % 2)]
        even = np.concatenate([used, np.zeros((len(used) % 2, HIDDEN), used.dtype)])
        weights[p, : len(even) // 2] = _pairs(even[0::2], even[1::2])
    heads = arrays["heads"].reshape(passes, HIDDEN)
    first = arrays["heads_bias"].reshape(passes, 1)
    ends = np.zeros((SCALES, KINDS + 1), np.uint32)
    np.cumsum(arrays["frequencies"], axis=1, dtype=np.uint32, out=ends[:, 1:])
    return Tables(
        np.ascontiguousarray(arrays["levels"].reshape(passes, -1, HIDDEN), np.int32),
        weights,
        np.concatenate([_pairs(heads[:, 0::2], heads[:, 1::2]), first], axis=1).astype(np.int32),
        ends,
        arrays["slopes"].astype(np.int64),
        arrays["points"].astype(np.float32) / np.float32(256.0),
    )


def _pairs(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Two int16 in each int32."""
    return (low.astype(np.int32) & 0xFFFF) | (high.astype(np.int32) << 16)


def _parse(data: bytes) -> dict[str, np.ndarray]:
    if data[:8] != MAGIC or len(data) < 16:
        raise ModelCorrupt("these bytes are no lossy model: they do not begin with DNNLOSSY")
    version, length = struct.unpack_from("<II", data, 8)
    if version != VERSION:
        raise ModelCorrupt(f"a lossy model of version {version}; this library reads version {VERSION}")
    try:
        rows = json.loads(data[16 : 16 + length])["arrays"]
        engine = zlib.decompressobj()
        body = engine.decompress(data[16 + length :], LARGEST_BODY)
        if not engine.eof:
            raise ModelCorrupt("the arrays of the lossy model do not end where they should")
        found = {row["name"]: (row["dtype"], tuple(row["shape"])) for row in rows}
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ModelCorrupt(f"the lossy model cannot be read: {error}") from error
    if found != SCHEMA or [row["name"] for row in rows] != list(SCHEMA):
        raise ModelCorrupt("the lossy model has other arrays than this library expects")
    arrays, at = {}, 0
    for name, (dtype, shape) in SCHEMA.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if at + size > len(body):
            raise ModelCorrupt("the arrays of the lossy model end too early")
        arrays[name] = np.frombuffer(body, dtype, int(np.prod(shape)), at).reshape(shape)
        at += size
    if at != len(body):
        raise ModelCorrupt("the arrays of the lossy model are longer than they should be")
    return arrays


def _check_sums(arrays: dict[str, np.ndarray]) -> None:
    """No sum can leave int32; no chance is 0."""
    largest = np.array([LARGEST_MARK * len(sources) for sources in INPUTS])
    largest[ACTIVITY] = 16 * LARGEST_MARK >> ACTIVITY_SHIFT
    first = (np.abs(arrays["inputs"].astype(np.int64)) * largest[:, None]).sum(2)[:, :, None]
    first = first + np.abs(arrays["levels"].astype(np.int64))
    second = np.abs(arrays["heads"].astype(np.int64)).sum(2) * HIDDEN_TOP
    second += np.abs(arrays["heads_bias"].astype(np.int64))
    if int(first.max()) >= 1 << 31 or int(second.max()) >= 1 << 31:
        raise InexactArithmetic("a layer of the lossy model can form sums that its integers do not hold")
    for name in ("frequencies", "signs", "still", "lowest", "mask", "blocks"):
        if int(arrays[name].min()) < 1:
            raise ModelCorrupt(f"array {name} of the lossy model holds a chance of 0")
    if (arrays["frequencies"].sum(1, dtype=np.int64) != 1 << 16).any():
        raise ModelCorrupt("frequencies of the lossy model do not make 65536")
    if int(np.abs(arrays["points"]).max()) > 256:
        raise ModelCorrupt("points of the lossy model are out of range")
