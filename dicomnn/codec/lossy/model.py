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
from typing import Any

import numpy as np

from dicomnn.errors import InexactArithmetic, ModelCorrupt

from .bands import BINS, KINDS, LONGEST_RUN, sigmoid_table
from .contexts import CLASSES, INPUTS
from .surroundings import HIDDEN, HIDDEN_TOP
from .wavelet import MOST_LEVELS

MAGIC = b"DNNLOSSY"
VERSION = 1
LARGEST_BODY = 4 << 20
ORIENTATIONS = 3

# name -> (dtype, shape)
SCHEMA: dict[str, tuple[str, tuple[int, ...]]] = {
    "classes": ("<i2", (ORIENTATIONS, INPUTS, CLASSES, HIDDEN)),
    "levels": ("<i2", (ORIENTATIONS, MOST_LEVELS + 1, HIDDEN)),
    "heads": ("<i2", (ORIENTATIONS, 4, HIDDEN)),
    "heads_bias": ("<i4", (ORIENTATIONS, 4)),
    "offsets": ("<i4", (ORIENTATIONS, 20)),
    "points": ("<i2", (ORIENTATIONS, 3, BINS)),
    "signs": ("<u2", (ORIENTATIONS, 27)),
    "runs": ("<u2", (ORIENTATIONS, MOST_LEVELS + 1, LONGEST_RUN + 1)),
    "lowest": ("<u2", (16, KINDS)),
    "mask": ("<u2", (1024,)),
    "blocks": ("<u2", (12,)),
    "sigmoid": ("<u2", (len(sigmoid_table()),)),
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


class LossyModel:
    """Checked tables of one released model; immutable. `id`: 16 hex digits."""

    def __init__(self, data: bytes) -> None:
        self.id = hashlib.sha256(data).hexdigest()[:16]
        arrays = _parse(data)
        self.arrays = arrays
        _check_sums(arrays)
        self.points = arrays["points"].astype(np.float32) / np.float32(256.0)
        self.classes = np.ascontiguousarray(arrays["classes"])
        self.sigmoid = arrays["sigmoid"]


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
    """No sum can leave int16 (first layer) or int32 (heads); no chance is 0."""
    for o in range(ORIENTATIONS):
        rows = np.abs(arrays["classes"][o].astype(np.int64)).max(1).sum(0)
        first = int((rows + np.abs(arrays["levels"][o].astype(np.int64)).max(0)).max())
        second = np.abs(arrays["heads"][o].astype(np.int64)).sum(1) * HIDDEN_TOP
        last = int((second + np.abs(arrays["heads_bias"][o].astype(np.int64))).max())
        if first >= 1 << 15 or last >= 1 << 31:
            raise InexactArithmetic("a layer of the lossy model can form sums that its integers do not hold")
    for name in ("signs", "runs", "lowest", "mask", "blocks", "sigmoid"):
        if int(arrays[name].min()) < 1:
            raise ModelCorrupt(f"array {name} of the lossy model holds a chance of 0")
    if arrays["classes"][:, :, 0].any():
        raise ModelCorrupt("class 0 of the lossy model has weights; it stands for nothing")
    if int(np.abs(arrays["offsets"]).max()) > 1 << 20:
        raise ModelCorrupt("offsets of the lossy model are out of range")
