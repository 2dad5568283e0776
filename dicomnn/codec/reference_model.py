"""The model file, read in plain Python and NumPy. Part of the reference decoder (docs/format-neural.md)."""

from __future__ import annotations

import json
import math
import struct
import zlib

import numpy as np

from dicomnn.errors import ModelCorrupt

ESCAPE = 255


class ReferenceModel:
    """Arrays and tables of a model file."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<8sII", data)
        if magic != b"DNNMODEL" or version != 2:
            raise ModelCorrupt("This is no model file of format version 2.")
        body = zlib.decompress(data[16 + length :])
        arrays: dict[str, np.ndarray] = {}
        position = 0
        for row in json.loads(data[16 : 16 + length])["arrays"]:
            count = math.prod(row["shape"])
            array = np.frombuffer(body, np.dtype(row["dtype"]).newbyteorder("<"), count, position)
            arrays[row["name"]] = array.reshape(row["shape"]).astype(np.int64)
            position += array.nbytes
        self.arrays = arrays
        self.log = arrays["log"].tolist()
        self.frequencies = arrays["frequencies"]
        self.cdfs = np.zeros((*self.frequencies.shape[:-1], ESCAPE + 2), np.int64)
        self.cdfs[..., 1:] = np.cumsum(self.frequencies, axis=-1)
        self.code_cdfs = np.zeros((16, 8), np.int64)
        self.code_cdfs[:, 1:] = np.cumsum(arrays["code_frequencies"], axis=-1)

    def log2(self, value: int) -> int:
        """log2 of an integer >= 1, in 1/256."""
        n = value.bit_length() - 1
        mantissa = value >> (n - 8) if n >= 8 else value << (8 - n)
        return 256 * n + int(self.log[mantissa & 255])

    def modulation(self, code: np.ndarray) -> list[np.ndarray]:
        """Scale and shift of the first hidden layer, scale and shift of the second."""
        a = self.arrays
        h = np.clip((code @ a["decoder1"] + a["decoder1_bias"]) >> 4, 0, 255)
        m = np.split(h @ a["decoder2"] + a["decoder2_bias"], [64, 128, 160])
        return [np.clip(m[0] >> 8, -48, 48), m[1] >> 9 << 8, np.clip(m[2] >> 8, -48, 48), m[3] >> 9 << 9]

    def network(self, inputs: list[int], modulation: list[np.ndarray], effort: str) -> list[int]:
        """Corrections of the mean (1/256 of the scale), of the log scale (1/256), and the tail (1/256)."""
        a = self.arrays
        h = (np.array(inputs) @ a["causal1"] + a["causal1_bias"] + modulation[1]) >> 8
        h = np.clip((h * (64 + modulation[0])) >> 6, 0, 255)
        if effort == "fast":
            h[32:] = 0
        h = (h @ a["causal2"] + a["causal2_bias"] + modulation[3]) >> 9
        h = np.clip((h * (64 + modulation[2])) >> 6, 0, 255)
        return [int(value) for value in (h @ a["causal3"] + a["causal3_bias"]) >> 6]
